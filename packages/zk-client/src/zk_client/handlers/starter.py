"""Starts a client's thread only when the client has lived for a moment: many sessions end before one is of use.

Rule: it starts what it was given, once, a few milliseconds later, and knows nothing of it. One thread does so for all
clients of the process; it exists while there is something to start, and a little longer.

A thread costs more than all the rest of a short session: its start and its end are four hand-overs, and each competes
with the calling thread for the interpreter.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque

from .log import logger

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

# Seconds; what is to be started waits for one to two of them.
TICK = 0.005
# How many ticks without anything to do the thread outlives.
LINGER = 2
# Seconds until it is tried again when there are too many threads.
PAUSE = 0.5


class Starter:
    """Calls functions that start something, a moment after they were handed in."""

    def __init__(self) -> None:
        self._functions: deque[Callable[[], None]] = deque()
        self._thread: threading.Thread | None = None
        self._mutex = threading.Lock()
        self._watched = False

    def soon(self, function: Callable[[], None]) -> None:
        """Have a function called in a few milliseconds; it must not wait, and nothing that it raises is passed on."""
        self._functions.append(function)
        if self._thread is None:
            with self._mutex:
                if self._thread is None:
                    self._begin()

    def _begin(self) -> None:
        if not self._watched and hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._forked)
            self._watched = True
        thread = threading.Thread(target=self._run, name="zk-starter", daemon=True)
        thread.start()
        self._thread = thread

    def _forked(self) -> None:
        """In a forked child: the thread is the parent's, and so is what it was to start."""
        self._functions = deque()
        self._thread = None
        self._mutex = threading.Lock()

    def _run(self) -> None:
        functions = self._functions
        idle = 0
        while idle < LINGER or not self._leave():
            seen = len(functions)
            idle = 0 if seen else idle + 1
            time.sleep(TICK)
            for _ in range(seen):
                function = functions.popleft()
                try:
                    function()
                except RuntimeError as error:
                    # No thread can be started: the interpreter is about to end, or there are too many.
                    logger().debug("a thread of the ZooKeeper client waits to be started: %s", error)
                    functions.append(function)
                    time.sleep(PAUSE)
                except Exception:  # noqa: BLE001 - whoever waits is not served by the end of this thread
                    logger().exception("a thread of the ZooKeeper client could not be started")
                del function

    def _leave(self) -> bool:
        """Whether nothing came while it made up its mind."""
        with self._mutex:
            # Whoever hands something in does so before looking for the thread; here it is the other way round.
            thread, self._thread = self._thread, None
            if not self._functions:
                return True
            self._thread = thread
            return False


STARTER = Starter()
