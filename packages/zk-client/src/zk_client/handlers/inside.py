"""Where `stop` is called from a place in which it may not wait: inside the client itself, or at the interpreter's end.

Rule: only `stop` asks, so that no other call pays for it.

A signal handler and a `__del__` run between any two lines of the thread that they interrupt, also of the client's own.
That one may hold the client's locks, or be the one that reads, so waiting would be for oneself.
"""

from __future__ import annotations

from .dispatcher import Dispatcher

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType

_HANDLERS = __name__.rpartition(".")[0]
_INSIDE = (_HANDLERS, f"{_HANDLERS.rpartition('.')[0]}._session")


def interrupts_the_client(frame: FrameType | None) -> bool:
    """Whether this frame, or one it was called by, is the client's own code, which holds its locks.

    Callbacks are called by the client too, but with nothing in its hands.
    """
    while frame is not None:
        if frame.f_code in (Dispatcher.run.__code__, Dispatcher.call_each.__code__):
            return False
        if str(frame.f_globals.get("__name__", "")).startswith(_INSIDE):
            return True
        frame = frame.f_back
    return False
