"""What a simulated run finds in place of the clock and of the system's randomness.

Rule: only in the thread of the run, and only while it lasts. `time.monotonic` and `time.time` are virtual, the latter
by the wall clock of the process that asks; `os.urandom`, and so `uuid.uuid4`, and the functions of `random` give what
the seed decides. Not replaced: `datetime.now`, `secrets`, `random.SystemRandom`, and a name that was imported from its
module (``from time import time``) before the run.
"""

from __future__ import annotations

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

    replaced: list[tuple[Any, str, Callable[..., Any]]] = [
        (time, "monotonic", monotonic),
        (time, "monotonic_ns", lambda: int(monotonic() * 1e9)),
        (time, "time", wall),
        (time, "time_ns", lambda: int(wall() * 1e9)),
        (os, "urandom", urandom),
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
    def stand_in(*arguments: Any) -> Any:
        return ours(*arguments) if threading.get_ident() == thread else theirs(*arguments)

    return stand_in
