"""What tests use of `threading`, made of greenlets; nothing is patched.

Rule: only what the tests use, and as they use it.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Any

import gevent
import gevent.event
import gevent.lock
from gevent import get_hub

Event = gevent.event.Event
Lock = gevent.lock.BoundedSemaphore
Semaphore = gevent.lock.Semaphore


class Thread:
    """A greenlet that looks like a thread."""

    def __init__(self, *, target: Callable[[], object], daemon: bool = True, name: str = "greenlet of a test") -> None:
        self.name = name
        self._greenlet = gevent.Greenlet(target)

    def start(self) -> None:
        """Begin."""
        self._greenlet.start()

    def join(self, timeout: float | None = None) -> None:
        """Wait for the end."""
        self._greenlet.join(timeout)

    def is_alive(self) -> bool:
        """Whether it was begun and has not ended."""
        return bool(self._greenlet) and not self._greenlet.dead


class Condition:
    """As `threading.Condition`."""

    def __init__(self) -> None:
        self._lock = gevent.lock.RLock()
        self._waiting: list[Any] = []

    def __enter__(self) -> bool:
        return bool(self._lock.acquire())

    def __exit__(self, *exc: object) -> None:
        self._lock.release()

    def wait(self, timeout: float | None = None) -> bool:
        """Let the lock go until told."""
        told = gevent.event.Event()
        self._waiting.append(told)
        self._lock.release()
        try:
            return bool(told.wait(timeout))
        finally:
            self._lock.acquire()
            if told in self._waiting:
                self._waiting.remove(told)

    def wait_for(self, holds: Callable[[], Any], timeout: float | None = None) -> Any:
        """Wait until something holds."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while not (result := holds()):
            remaining = None if deadline is None else deadline - time.monotonic()
            if remaining is not None and remaining <= 0:
                break
            self.wait(remaining)
        return result

    def notify(self, n: int = 1) -> None:
        """Tell some that wait."""
        for told in self._waiting[:n]:
            told.set()

    def notify_all(self) -> None:
        """Tell all that wait."""
        self.notify(len(self._waiting))


class Barrier:
    """As `threading.Barrier`, used once."""

    def __init__(self, parties: int) -> None:
        self._missing = parties
        self._complete = gevent.event.Event()

    def wait(self, timeout: float | None = None) -> None:
        """Wait for the others."""
        self._missing -= 1
        if self._missing == 0:
            self._complete.set()
        assert self._complete.wait(timeout)


def off_the_hub(method: Callable[..., Any]) -> Callable[..., Any]:
    """A method that waits for real threads, on a real thread of its own."""

    @functools.wraps(method)
    def call(*args: Any, **kwargs: Any) -> Any:
        return get_hub().threadpool.apply(method, args, kwargs)

    return call
