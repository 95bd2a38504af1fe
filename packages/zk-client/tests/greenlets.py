"""What the tests on greenlets share: counting those of clients, waiting, and killing one at its k-th wait.

Rule: nothing here is patched, and nobody sleeps but to let the hub run.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from typing import Any

import gevent
import greenlet
from gevent import get_hub

PATIENCE = 20.0


def greenlets() -> list[str]:
    """The names of the greenlets that belong to clients."""
    alive = (thing for thing in gc.get_objects() if isinstance(thing, gevent.Greenlet) and not thing.dead)
    return [found.name for found in alive if found.name.startswith("zk-client")]


def until(holds: Callable[[], object], what: str, patience: float = PATIENCE) -> None:
    """Let the hub run until something holds."""
    deadline = time.monotonic() + patience
    while not holds():
        assert time.monotonic() < deadline, f"not within {patience} s: {what}"
        gevent.sleep(0.001)


def kill_at(wait: int, delay: float, function: Callable[[], Any], error: BaseException) -> tuple[bool, Any]:
    """Run a function in a greenlet and throw an error in when it waits for the `wait`-th time, `delay` seconds later.

    Returns whether it waited that often, and what ended the greenlet: its result or its error.
    """
    outcome: list[Any] = []
    waits = 0

    def run() -> None:
        try:
            outcome.append(function())
        except BaseException as end:
            outcome.append(end)

    victim = gevent.Greenlet(run)

    def throw() -> None:
        if not victim.dead:
            victim.kill(error, block=False)

    def trace(event: str, switch: tuple[Any, Any]) -> None:
        nonlocal waits
        if switch[0] is victim:
            waits += 1
            if waits == wait:
                if delay:
                    timer = get_hub().loop.timer(delay)
                    timer.start(throw)
                    timers.append(timer)
                else:
                    get_hub().loop.run_callback(throw)

    timers: list[Any] = []
    before = greenlet.settrace(trace)
    try:
        victim.start()
        victim.join(PATIENCE)
    finally:
        greenlet.settrace(before)
        for timer in timers:
            timer.close()
    assert victim.dead, f"still running {PATIENCE} s after it was killed"
    return waits >= wait, outcome[0]


def every_wait(function: Callable[[], Any], make: Callable[[], BaseException], delay: float) -> Iterator[Any]:
    """Run a function again and again, killed at its first wait, its second one, ... until it comes through unharmed.

    Yields what ended each run.
    """
    wait = 1
    while True:
        reached, outcome = kill_at(wait, delay, function, make())
        yield outcome
        if not reached:
            assert wait > 1, "it never waited, so nothing was tested"
            return
        wait += 1
        assert wait < 200, "it waits without end"
