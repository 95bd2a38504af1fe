"""What a simulated run finds in place of the clock and of the system's randomness.

Rule: only in the thread of the run, and only while it lasts. `time.monotonic`, `time.perf_counter` and `time.time` are
virtual, the latter by the wall clock of the process that asks; `os.urandom`, and so `uuid.uuid4`, `secrets` and
`random.SystemRandom`, and the functions of `random` give what the seed decides. `time.sleep` is refused, which would
halt everybody. `asyncio.as_completed` begins its coroutines in their order, not in that of a set. Not replaced:
`datetime.now`, `time.localtime()`, `uuid.uuid1`, `random.Random()`, and a name that was imported from its module
(``from time import time``) before the run.
"""

from __future__ import annotations

import asyncio
import os
import random
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from .process import CURRENT

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from .loop import SimulatedLoop

__all__ = ["EPOCH", "standins"]

EPOCH = 1_700_000_000  # seconds since 1970 at which virtual time begins


@contextmanager
def standins(loop: SimulatedLoop, seed: int) -> Generator[None, None, None]:
    """Replace clocks and randomness for a `with` block."""
    thread = threading.get_ident()
    chance = random.Random(seed)

    def monotonic() -> float:
        return loop.time()

    def wall() -> float:
        process = CURRENT.get()
        return EPOCH + loop.time() + (0.0 if process is None else process.clock_offset)

    def urandom(size: int) -> bytes:
        return chance.getrandbits(8 * size).to_bytes(size, "big") if size else b""

    def sleep(seconds: float) -> None:
        if seconds > 0:
            raise RuntimeError("a simulation has one thread, which time.sleep would halt: await asyncio.sleep")

    as_completed: Callable[..., Any] = asyncio.as_completed

    def in_order(awaitables: Any, **options: Any) -> Any:
        if asyncio.isfuture(awaitables) or asyncio.iscoroutine(awaitables):
            return as_completed(awaitables, **options)  # which refuses it
        return as_completed([asyncio.ensure_future(each) for each in dict.fromkeys(awaitables)], **options)

    replaced: list[tuple[Any, str, Callable[..., Any]]] = [
        (time, "monotonic", monotonic),
        (time, "monotonic_ns", lambda: int(monotonic() * 1e9)),
        (time, "perf_counter", monotonic),
        (time, "perf_counter_ns", lambda: int(monotonic() * 1e9)),
        (time, "sleep", sleep),
        (time, "time", wall),
        (time, "time_ns", lambda: int(wall() * 1e9)),
        (os, "urandom", urandom),
        (random, "_urandom", urandom),
        (asyncio, "as_completed", in_order),
    ]
    real = [(module, name, getattr(module, name)) for module, name, _ in replaced]
    state = random.getstate()
    random.seed(seed)
    for (module, name, ours), (_, _, theirs) in zip(replaced, real, strict=True):
        setattr(module, name, _for_thread(thread, ours, theirs))
    try:
        yield
    finally:
        for module, name, theirs in real:
            setattr(module, name, theirs)
        random.setstate(state)


def _for_thread(thread: int, ours: Callable[..., Any], theirs: Callable[..., Any]) -> Callable[..., Any]:
    def stand_in(*arguments: Any, **options: Any) -> Any:
        return (ours if threading.get_ident() == thread else theirs)(*arguments, **options)

    return stand_in
