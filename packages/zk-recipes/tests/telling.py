"""What the tests on running servers wait with: a function that remembers what it was told, and a thread's result."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zk_testing.member import ZooKeeperServer

PATIENCE = 20.0  # seconds after which something that must happen counts as not happening


class Told:
    """A function that remembers its arguments; `wait` for those that fulfil a condition."""

    def __init__(self) -> None:
        self.calls: list[tuple[object, ...]] = []
        self.threads: set[str] = set()
        self._changed = threading.Condition()

    def __call__(self, *arguments: object) -> None:
        with self._changed:
            self.calls.append(arguments)
            self.threads.add(threading.current_thread().name)
            self._changed.notify_all()

    def __bool__(self) -> bool:
        return False  # a function object may count as false and is called all the same

    def wait(self, is_right: Callable[..., bool], timeout: float = PATIENCE) -> tuple[object, ...]:
        """Return the first call that fulfils the condition."""
        with self._changed:
            found: list[tuple[object, ...]] = []

            def look() -> bool:
                found[:] = [call for call in self.calls if is_right(*call)]
                return bool(found)

            assert self._changed.wait_for(look, timeout), f"not told in {timeout} s; told {self.calls[-5:]}"
            return found[0]


def server_watches(server: ZooKeeperServer) -> int:
    """How many watches the server keeps for everybody."""
    (line,) = (line for line in server.send_command("mntr").splitlines() if line.startswith("zk_watch_count"))
    return int(line.split()[1])


def wait_until(condition: Callable[[], object]) -> None:
    """Wait until a condition holds that asks a server: the question itself takes the time between two looks."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"it did not come true in {PATIENCE} s"


def wait_for_threads_to_end(name: str) -> None:
    """Wait until no thread of that name is left."""
    deadline = time.monotonic() + PATIENCE
    for thread in threading.enumerate():
        if thread.name.startswith(name):
            thread.join(max(0.0, deadline - time.monotonic()))
            assert not thread.is_alive(), f"{thread.name} still runs after {PATIENCE} s"
