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
                self._worker = self._begin()
            elif not self._arrived.is_set():  # it stays set until the worker looks, and looking is cheaper than setting
                self._arrived.set()

    def _begin(self) -> Worker | None:
        try:
            return self._runtime.spawn("zk-client callbacks", self.run)
        except RuntimeError as error:
            # No thread can be started: the interpreter is about to end, or there are too many. `finish` does it then.
            logger().debug("callbacks of the ZooKeeper client wait: %s", error)
            return None

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
        elif self._queue:
            self.run()

    _leaving = False

    def run(self) -> None:
        """What the worker does."""
        while not self._is_over():
            while self._queue:
                function, arguments = self._queue.popleft()
                try:
                    function(*arguments)
                except Exception:  # noqa: BLE001 - a callback's fault is its own
                    logger().exception("exception in %r, called by the ZooKeeper client", function)
                # A finished callback's arguments must not be kept alive by this frame.
                del function, arguments

    def _is_over(self) -> bool:
        """Wait for more; whether none came, and the worker leaves."""
        if self._queue:
            return False
        arrived = self._arrived.wait(0 if self._leaving else LINGER)
        with self._mutex:
            self._arrived.clear()
            if self._queue or (arrived and not self._leaving):
                return False
            self._worker = None
            self._leaving = False
            return True

    @staticmethod
    def call_each(functions: tuple[Callable[[Any], object], ...], argument: Any) -> None:
        """Call each with the same; an exception in one is logged."""
        for function in functions:
            try:
                function(argument)
            except Exception:  # noqa: BLE001 - a listener's fault is its own
                logger().exception("exception in %r, called by the ZooKeeper client", function)
