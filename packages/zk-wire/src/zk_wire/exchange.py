"""One request on its way to its reply.

Rule: a connection sets xid, zxid, error and reply, and nothing else; a subclass may add what it likes.
"""

from __future__ import annotations

from .opcodes import OpCode
from .primitives import unpack_int

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Generic, TypeVar

    from .record import Request

    T = TypeVar("T")
else:
    from ._typing import Generic, TypeVar

R_co = TypeVar("R_co", covariant=True)

_WITHOUT_PATH = frozenset((11, 14, 16, 22, 100, 101, 102, 105, 107, -11))


class Exchange(Generic[R_co]):
    """One request on its way to its reply.

    payload: opcode and record.   decode: reads the bytes behind the header of a reply without error.
    Once answered: zxid and error (0 is none) from the reply's header; reply, where there was no error.
    xid is 0 until the request is sent.
    """

    __slots__ = ("decode", "error", "payload", "reply", "xid", "zxid")

    def __init__(self, payload: bytes, decode: Callable[[bytes, int, int], R_co]) -> None:
        self.payload = payload
        self.decode = decode
        self.xid = 0
        self.zxid = 0
        self.error = 0
        self.reply: R_co | None = None

    @staticmethod
    def of(request: Request[T]) -> Exchange[T]:
        """Return an exchange for a request; LocalProtocolError when it cannot be encoded."""
        return Exchange(request.payload(), request.decode_response)

    def __repr__(self) -> str:
        return f"<Exchange {describe(self.payload)} xid={self.xid} zxid={self.zxid} error={self.error}>"


def describe(payload: bytes) -> str:
    """Say what a request asks for: its operation and, where it has one, its path.  Never its data."""
    if len(payload) < 4:
        return "an empty request"
    opcode: int = unpack_int(payload)[0]
    try:
        name = OpCode(opcode).name
    except ValueError:
        return f"opcode {opcode}"
    if opcode in _WITHOUT_PATH or len(payload) < 8:
        return name
    size: int = unpack_int(payload, 4)[0]
    path = payload[8 : 8 + max(size, 0)].decode("utf-8", "replace")
    return f"{name} {path[:200]!r}"
