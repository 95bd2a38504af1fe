"""Runs what users handed in: callbacks, watch functions, state listeners.

Rule: user code never runs on the reader. One worker runs everything in the order it was queued; it is started for
the first item and leaves after a second without any. An exception is logged with its traceback and harms nothing.
"""

from __future__ import annotations

from collections import deque

from .log import logger

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .base import Runtime, Worker

LINGER = 1.0


class Dispatcher:
    """A queue of user calls and the worker that runs them."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._queue: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self._mutex = runtime.lock()
        self._arrived = runtime.event()
        self._worker: Worker | None = None

    @property
    def busy(self) -> bool:
        """Whether anything is queued or running."""
        return self._worker is not None

    def submit(self, function: Callable[..., object], *arguments: Any) -> None:
        """Run `function(*arguments)` after everything queued before."""
        with self._mutex:
            self._queue.append((function, arguments))
            if self._worker is None:
                self._worker = self._runtime.spawn("zk-client callbacks", self._run)
            elif not self._arrived.is_set():  # it stays set until the worker looks, and looking is cheaper than setting
                self._arrived.set()

    def is_current(self) -> bool:
        """Whether the caller is being run by this dispatcher."""
        worker = self._worker
        return worker is not None and self._runtime.is_current(worker)

    def forked(self) -> None:
        """In a forked child: run nothing of what was queued; also when it is this dispatcher's worker that forked."""
        self._queue.clear()
        self._mutex = self._runtime.lock()
        self._arrived = self._runtime.event()
        self._worker = None
        self._leaving = True

    def finish(self, timeout: float) -> None:
        """Wait until everything queued has run and the worker has left, at most `timeout` seconds."""
        with self._mutex:
            worker = self._worker
            self._leaving = True
            self._arrived.set()
        if worker is not None:
            worker.join(timeout)

    _leaving = False

    def _run(self) -> None:
        while True:
            while self._queue:
                function, arguments = self._queue.popleft()
                try:
                    function(*arguments)
                except Exception:  # noqa: BLE001 - a callback's fault is its own
                    logger().exception("exception in %r, called by the ZooKeeper client", function)
                # A finished callback's arguments must not be kept alive by this frame.
                del function, arguments
            arrived = self._arrived.wait(0 if self._leaving else LINGER)
            with self._mutex:
                self._arrived.clear()
                if not self._queue and (not arrived or self._leaving):
                    self._worker = None
                    self._leaving = False
                    return
