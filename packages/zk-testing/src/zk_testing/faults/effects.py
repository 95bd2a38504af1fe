"""The words of the fault language: directions, ends, and what may become of one frame.

Rule: plain values, checked where they are made. Nothing here knows which frame is meant (`fault`) or moves bytes.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from .corruption import Corruption

__all__ = [
    "BOTH",
    "HALF",
    "TO_CLIENT",
    "TO_SERVER",
    "WHOLE",
    "Direction",
    "Effect",
    "How",
    "Pace",
    "Part",
    "Side",
    "Then",
    "Way",
    "check_choice",
    "directions_of",
]

Direction = Literal["to_server", "to_client"]
Way = Literal["to_server", "to_client", "both"]
Side = Literal["client", "server"]
Part = Literal["request", "reply"]
How = Literal["fin", "reset"]
Then = Literal["cut", "reset", "freeze"]

TO_SERVER: Final[Direction] = "to_server"
TO_CLIENT: Final[Direction] = "to_client"
BOTH: Final[tuple[Direction, ...]] = (TO_SERVER, TO_CLIENT)

WHOLE: Final = None  # every byte of the frame passes
HALF: Final = -1  # the first half of it does


class Pace(NamedTuple):
    """How fast bytes pass: at most `piece` at once, `pause` seconds between two pieces, `per_byte` seconds for each."""

    piece: int
    pause: float = 0.0
    per_byte: float = 0.0

    def and_also(self, other: Pace) -> Pace:
        """Both at once: the smaller pieces, the longer times."""
        return Pace(min(self.piece, other.piece), max(self.pause, other.pause), max(self.per_byte, other.per_byte))


class Effect(NamedTuple):
    """What becomes of one frame.

    keep: how many of its bytes pass: WHOLE, HALF, or a number (0: it is lost).   end: what then becomes of the
    connection; always given where not the whole frame passes.   delay: seconds it is held, and all that is behind it.
    still: seconds for which nothing passes on its connection, either way.   corruption: what is done to its bytes.
    """

    keep: int | None = WHOLE
    end: Then | None = None
    delay: float = 0.0
    still: float = 0.0
    pace: Pace | None = None
    corruption: Corruption | None = None


def check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    """Raise ValueError for a value that is none of the choices."""
    if value not in choices:
        known = " or ".join([", ".join(f'"{choice}"' for choice in choices[:-1]), f'"{choices[-1]}"'])
        raise ValueError(f"{name} is {known}, not {value!r}")


def directions_of(way: Way) -> tuple[Direction, ...]:
    """One direction, or both. Raises ValueError for anything else."""
    check_choice("a direction", way, ("both", TO_SERVER, TO_CLIENT))
    return BOTH if way == "both" else (way,)
