"""Bytes of a frame, damaged in a chosen way.

Rule: nothing random: the same frame is damaged in the same way. TCP's checksum makes damage rare on a real line; this
is a broken middlebox, a bug in a server, or something that is no ZooKeeper at all.

No damaged request may become one that destroys a real server: a TTL node's lifetime or a multi's inner operations are
never altered by a byte; such a request becomes garbage as a whole.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from zk_wire import OpCode

__all__ = ["Corruption", "Damage", "corrupt"]

Damage = Literal["flip", "truncate", "length", "garbage"]

_PREFIX = 4  # bytes: a frame's length
_GARBAGE = 0xA5  # as an opcode, four of them are no operation of any version
_ONLY_GARBAGE = (OpCode.CREATE_TTL, OpCode.MULTI)


class Corruption(NamedTuple):
    """What to damage.

    "flip": every bit of the byte `at`, counted from the frame's start (the first 4 bytes are its length, which is left
    alone), or from its end where negative.   "truncate": the second half of the body is missing, and the length says
    so.   "length": the length prefix is `length`.   "garbage": each byte of the body is 0xA5.
    """

    damage: Damage
    at: int = -1
    length: int = -1


def corrupt(frame: bytes, corruption: Corruption, *, opcode: int | None, raw: bool) -> bytes:
    """Return a frame damaged; of raw pieces (no frames) all but "flip" is garbage.

    A position outside the body means its nearest byte.   opcode: of a request; None of anything else.
    """
    damage = corruption.damage
    prefix = 0 if raw else _PREFIX
    if len(frame) <= prefix or (raw and damage != "flip") or opcode in _ONLY_GARBAGE:
        damage = "garbage"
    if damage == "flip":
        at = corruption.at if corruption.at >= 0 else len(frame) + corruption.at
        at = min(max(at, prefix), len(frame) - 1)
        return frame[:at] + bytes([frame[at] ^ 0xFF]) + frame[at + 1 :]
    if damage == "truncate":
        kept = (len(frame) - prefix) // 2
        return kept.to_bytes(_PREFIX, "big") + frame[prefix : prefix + kept]
    if damage == "length":
        return corruption.length.to_bytes(_PREFIX, "big", signed=True) + frame[prefix:]
    return frame[:prefix] + bytes([_GARBAGE]) * (len(frame) - prefix)
