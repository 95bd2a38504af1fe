"""A pytest plugin: suites written for threads, run on greenlets in a process where nothing is patched.

    PYTHONPATH=tests python -m pytest -p greenworld tests/test_live_operations.py

Rule: only what the tests hold is exchanged. In their modules `threading` is one of greenlets, a `Client` runs on gevent
unless told otherwise, and waits for what happens on a fault proxy (whose threads are real) leave the hub running.
The standard library stays as it is, and so does everything of ours below the tests.
"""

from __future__ import annotations

import functools
import sys
import threading
import time
import types
from collections.abc import Callable
from typing import Any

import gevent
import gevent.event
import gevent.lock
import pytest

_running: list[Thread] = []


class Thread:
    """A greenlet that looks like a thread."""

    def __init__(
        self,
        group: None = None,
        target: Callable[..., object] | None = None,
        name: str | None = None,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
        *,
        daemon: bool | None = None,
    ) -> None:
        self.name = name or "greenlet of a test"
        self.daemon = daemon
        self._target = target
        self._arguments = (args, kwargs or {})
        self._greenlet = gevent.Greenlet(self._run)

    def _run(self) -> None:
        _running.append(self)
        try:
            self.run()
        finally:
            _running.remove(self)

    def run(self) -> None:
        """Do what it was made for."""
        if self._target is not None:
            args, kwargs = self._arguments
            self._target(*args, **kwargs)

    def start(self) -> None:
        """Begin."""
        self._greenlet.start()

    def join(self, timeout: float | None = None) -> None:
        """Wait for the end."""
        self._greenlet.join(timeout)

    def is_alive(self) -> bool:
        """Whether it was begun and has not ended."""
        return bool(self._greenlet) and not self._greenlet.dead

    @property
    def ident(self) -> int:
        """A number of its own."""
        return id(self._greenlet)


class Timer(Thread):
    """A greenlet that waits first."""

    def __init__(self, interval: float, function: Callable[..., object], args: Any = (), kwargs: Any = None) -> None:
        super().__init__(target=function, args=tuple(args), kwargs=kwargs)
        self._interval = interval
        self._cancelled = gevent.event.Event()

    def cancel(self) -> None:
        """Not any more."""
        self._cancelled.set()

    def run(self) -> None:
        """Wait, then do it."""
        if not self._cancelled.wait(self._interval):
            super().run()


class Condition:
    """As `threading.Condition`."""

    def __init__(self, lock: Any = None) -> None:
        self._lock = lock or gevent.lock.RLock()
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


_main = types.SimpleNamespace(name="MainThread", ident=0)


def current_thread() -> Any:
    """The caller's; workers of a client are known by their names."""
    current = gevent.getcurrent()
    for thread in _running:
        if thread._greenlet is current:
            return thread
    return _main if not isinstance(current, gevent.Greenlet) else types.SimpleNamespace(name=current.name)


green_threading = types.SimpleNamespace(
    Thread=Thread,
    Timer=Timer,
    Condition=Condition,
    Barrier=Barrier,
    Event=gevent.event.Event,
    Lock=gevent.lock.BoundedSemaphore,
    RLock=gevent.lock.RLock,
    Semaphore=gevent.lock.Semaphore,
    current_thread=current_thread,
    main_thread=lambda: _main,
    get_ident=lambda: id(gevent.getcurrent()),
    enumerate=lambda: list(_running),
    active_count=lambda: len(_running) + 1,
)


def off_the_hub(method: Callable[..., Any]) -> Callable[..., Any]:
    """A method that waits for real threads, on a real thread of its own."""

    @functools.wraps(method)
    def call(*args: Any, **kwargs: Any) -> Any:
        ended: list[tuple[Any, BaseException | None]] = []

        def run() -> None:
            try:
                ended.append((method(*args, **kwargs), None))
            except BaseException as error:
                ended.append((None, error))

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        while not ended:
            gevent.sleep(0.001)
        thread.join()
        result, error = ended[0]
        if error is not None:
            raise error
        return result

    return call


def pytest_configure(config: pytest.Config) -> None:
    """Put clients on greenlets, and the waits for proxies off the hub."""
    import zk_client.handlers.worlds as worlds
    from zk_testing.faults import FaultProxy
    from zk_testing.faults.fault import Fault

    choose = worlds.choose

    @functools.wraps(choose)
    def green(runtime: Any) -> Any:
        return choose("gevent" if runtime is None else runtime)

    worlds.choose = green
    Fault.wait = off_the_hub(Fault.wait)  # type: ignore[method-assign]
    for name in ("wait_for", "wait_for_connections"):
        setattr(FaultProxy, name, off_the_hub(getattr(FaultProxy, name)))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Exchange what the tests' modules hold."""
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None) or ""
        if "/tests/" in file and module.__name__ != __name__ and getattr(module, "threading", None) is threading:
            module.threading = green_threading  # type: ignore[attr-defined]
        if "/tests/" in file and getattr(module, "time", None) is time:
            module.time = types.SimpleNamespace(**vars(time) | {"sleep": gevent.sleep})  # type: ignore[attr-defined]
