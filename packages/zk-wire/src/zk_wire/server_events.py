"""What a server's connection makes of the bytes it was given.

Rule: facts from the wire, nothing decided; what to answer stands in each docstring.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NamedTuple, TypeAlias

    from .session import ConnectRequest
else:
    from ._typing import NamedTuple


class ConnectReceived(NamedTuple):
    """The first frame of a client."""

    request: ConnectRequest


class RequestReceived(NamedTuple):
    """A request that could be decoded."""

    xid: int
    opcode: int
    request: object


class MalformedRequest(NamedTuple):
    """A request of a known kind that cannot be decoded: answer -5; to AUTH and SASL, close.

    is_null: it could be, but for null where a value belongs. Real servers decode that, and stumble over it later.
    """

    xid: int
    opcode: int
    reason: str
    is_null: bool = False


class UnknownRequest(NamedTuple):
    """A request of an unknown kind: answer -6 with zxid -1, and close.

    Events that follow it came in the same bytes. Servers that have read on by then do what is asked, without an answer.
    """

    xid: int
    opcode: int


class AdminCommand(NamedTuple):
    """A four-letter word in place of a session: answer in plain text, and close.  No event follows it.

    argument: of `stmk` the eight bytes behind it, an int64.
    """

    word: str
    argument: bytes = b""


ServerEvent: TypeAlias = ConnectReceived | RequestReceived | MalformedRequest | UnknownRequest | AdminCommand
