"""What a blocking client does beside everything else: clean-ups, operations with steps, the search for a better server.

Rule: each runs in a worker of its own, and is known until it has ended, so that `stop` leaves none behind.
"""

from __future__ import annotations

from ..faces import run_blocking
from .log import logger

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

    from .base import Runtime, Worker


class Workers:
    """The workers of one client."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._mutex = runtime.lock()
        self._workers: dict[object, Worker | None] = {}
        self._cleaning = 0
        self._clean = runtime.event()
        self._clean.set()

    def spawn(self, name: str, function: Callable[[], object]) -> None:
        """Run a function in a worker; an exception is logged."""
        key = object()

        def run() -> None:
            try:
                function()
            except Exception:  # noqa: BLE001 - nobody waits for it
                logger().exception("exception in a worker of the ZooKeeper client (%s)", name)
            finally:
                with self._mutex:
                    self._workers.pop(key, None)

        with self._mutex:
            self._workers[key] = None
        worker = self._runtime.spawn(name, run)
        with self._mutex:
            if key in self._workers:
                self._workers[key] = worker

    def clean_up(self, body: Coroutine[Any, Any, object]) -> None:
        """Run a clean-up; `finish_cleaning` waits for it."""
        with self._mutex:
            self._cleaning += 1
            self._clean.clear()

        def run() -> None:
            try:
                run_blocking(body)
            finally:
                with self._mutex:
                    self._cleaning -= 1
                    if not self._cleaning:
                        self._clean.set()

        self.spawn("zk-client clean-up", run)

    def finish_cleaning(self, timeout: float) -> None:
        """Wait until every clean-up has ended, at most `timeout` seconds."""
        self._clean.wait(timeout)

    def join(self, timeout: float) -> None:
        """Wait until every worker but the calling one has ended, at most `timeout` seconds."""
        deadline = self._runtime.now() + timeout
        with self._mutex:
            workers = list(self._workers.values())
        for worker in workers:
            if worker is not None:
                worker.join(max(0.0, deadline - self._runtime.now()))
