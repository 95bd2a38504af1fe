"""What a conversation with a server is made of, and how it is written down as code.

Rule: a step can be sent to a real server without harm, or `is_harmless` says that it cannot.

Never sent: opcode 13 outside a multi, and opcode 21 with flags other than 5 and 6 or a ttl below 1.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from zk_wire import CheckVersionRequest, CreateTTLRequest, MultiRequest, Record, Request

__all__ = [
    "BASE",
    "SLOTS",
    "WORDS",
    "Ask",
    "Burst",
    "Bytes",
    "Connect",
    "Lose",
    "Step",
    "Word",
    "as_code",
    "is_harmless",
]

BASE = "/d"
SLOTS = 3
WORDS = ["srvr", "wchs", "wchp", "wchc", "dump", "cons", "stat", "mntr", "isro", "ruok", "conf", "dirs", "gtmk"]


@dataclass(frozen=True)
class Ask:
    """Send a request on a slot's connection."""

    slot: int
    request: Request[Any]
    xid: int | None = None


@dataclass(frozen=True)
class Burst:
    """Send several requests in one segment."""

    slot: int
    requests: list[Request[Any]]


@dataclass(frozen=True)
class Bytes:
    """Send a frame's content that may be no request."""

    slot: int
    opcode: int
    body: bytes


@dataclass(frozen=True)
class Connect:
    """Begin a session in a slot, or resume the slot's own.   behind: requests in the same segment."""

    slot: int
    resume: bool = False
    wrong_password: bool = False
    zxid_ahead: bool = False
    timeout_ms: int = 60_000
    read_only: bool | None = False
    behind: list[Request[Any]] | None = None


@dataclass(frozen=True)
class Lose:
    """End a slot's connection without a word."""

    slot: int


@dataclass(frozen=True)
class Word:
    """Ask a four-letter word on a connection of its own."""

    word: str


Step = Ask | Burst | Bytes | Connect | Lose | Word


def is_harmless(request: Request[Any]) -> bool:
    """Whether a real server survives a request."""
    parts = request.ops if isinstance(request, MultiRequest) else [request]
    return not isinstance(request, CheckVersionRequest) and all(
        not isinstance(part, CreateTTLRequest) or (part.flags in (5, 6) and part.ttl_ms > 0) for part in parts
    )


def as_code(value: object) -> str:
    """A step, or what is in it, as an expression; also what a repr keeps secret."""
    if isinstance(value, Record):
        shown = (as_code(getattr(value, name)) for name in type(value).fields)
        return f"{type(value).__name__}({', '.join(shown)})"
    if isinstance(value, Step):
        shown = (
            f"{field.name}={as_code(given)}"
            for field in fields(value)
            if (given := getattr(value, field.name)) != field.default
        )
        return f"{type(value).__name__}({', '.join(shown)})"
    if isinstance(value, tuple):
        return f"{type(value).__name__}({', '.join(map(as_code, value))})"
    if isinstance(value, list):
        return f"[{', '.join(map(as_code, value))}]"
    return repr(value)
