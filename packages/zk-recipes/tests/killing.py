"""Greenlets that are killed at each of their waits in turn; only for tests that have asked for gevent."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import gevent
import greenlet


def killed_at_every_wait(function: Callable[[], Any], *, more_than: int) -> Iterator[None]:
    """Run a function in greenlets: the first is killed at its first wait, the next at its second, until one lives.

    more_than: so many waits there have to be, or nothing was tested.
    """
    reached = True
    wait = 0
    while reached:
        reached, wait, waits = False, wait + 1, 0
        victim = gevent.Greenlet(function)

        def trace(event: str, switch: tuple[Any, Any], victim: Any = victim, wait: int = wait) -> None:
            nonlocal waits, reached
            if switch[0] is victim:
                waits += 1
                if waits == wait:
                    reached = True
                    gevent.get_hub().loop.run_callback(lambda: victim.kill(block=False))

        before = greenlet.settrace(trace)
        try:
            victim.start()
            victim.join(20)
        finally:
            greenlet.settrace(before)
        assert victim.dead
        yield
    assert wait > more_than, f"only {wait} waits: too few to have tested anything"
