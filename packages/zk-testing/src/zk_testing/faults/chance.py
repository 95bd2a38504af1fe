"""Faults drawn from a seed.

Rule: what is drawn for a request depends on the seed, the number of its connection (counted from when chance was set)
and the number of the request on it, and on nothing else: the same seed and the same traffic give the same faults.

What was drawn is written down as a script of rules, which does the same again without chance.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from zk_wire import OpCode

from . import rules
from .effects import TO_CLIENT, TO_SERVER, Direction
from .fault import Fault
from .kinds import Matcher
from .record import Header

__all__ = ["DEFAULT_RATES", "Chance", "RandomFaults"]

# The chance of each fault, for each request.
DEFAULT_RATES: Final[Mapping[str, float]] = {
    "lose_reply": 0.02,
    "lose_request": 0.02,
    "cut_after": 0.01,
    "delay": 0.05,
    "pause": 0.01,
    "slow": 0.01,
    "chop": 0.02,
}

_LEAST_SECONDS = 0.001
_DIGITS = 3  # of seconds; so that a line of the script says exactly what was done


class RandomFaults:
    """A run of random faults, as the test sees it."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._lines: list[str] = []

    def __repr__(self) -> str:
        return f"<RandomFaults: seed {self.seed}, {len(self._lines)} drawn>"

    @property
    def script(self) -> str:
        """What was drawn so far, as a script. Set on a new proxy in front of the same traffic, it does the same."""
        return "; ".join(tuple(self._lines))

    def drawn(self, line: str) -> None:
        """For the proxy: a fault was drawn."""
        self._lines.append(line)


class Chance:
    """Draws.   rates: the chance of each fault by name.   longest: seconds of the longest delay or pause.

    Raises ValueError for rates that are none.
    """

    def __init__(
        self,
        seed: int,
        *,
        rates: Mapping[str, float] | None,
        kinds: Sequence[str | OpCode],
        longest: float,
        report: RandomFaults,
    ) -> None:
        self._rates = dict(DEFAULT_RATES if rates is None else rates)
        unknown = sorted(set(self._rates) - set(DEFAULT_RATES))
        if unknown:
            raise ValueError(f"no random fault {unknown[0]!r}: known are {', '.join(DEFAULT_RATES)}")
        if not all(rate >= 0 for rate in self._rates.values()) or not sum(self._rates.values()) <= 1:
            raise ValueError(f"rates are 0 or more, and together at most 1, not {self._rates}")
        if not _LEAST_SECONDS <= longest < float("inf"):
            raise ValueError(f"the longest delay is {_LEAST_SECONDS} seconds or more, not {longest}")
        self._seed = seed
        self._matchers = [Matcher(kind) for kind in kinds]
        self._longest = longest
        self._after = 0
        self._report = report
        self._drawn_on: Counter[int] = Counter()  # requests by connection
        # How many frames of a kind a rule of the script would have counted by now.
        self._counted: Counter[tuple[Direction, str]] = Counter()

    def begin_after(self, connection: int) -> None:
        """Connections are counted from behind this one."""
        self._after = connection

    def draw(
        self, connection: int, header: Header, *, to_server: bool, to_client: bool
    ) -> tuple[Fault, Direction] | None:
        """A request came: say what strikes it or its reply, and which of the two; mostly nothing does.

        to_server, to_client: whether the request will arrive, and whether its reply will, as far as other rules go.
        """
        kind = header.kind
        if not any(matcher.fits(kind, header.opcode) for matcher in self._matchers):
            return None
        self._drawn_on[connection] += 1
        dice = random.Random(f"{self._seed}/{connection - self._after}/{self._drawn_on[connection]}")
        name = self._choose(dice.random()) if to_server and to_client else None
        drawn = self._make(name, kind, dice) if name is not None else None
        if drawn is None:
            self._count(kind, to_server, to_server and to_client)
            return None
        fault, direction = drawn
        ends = fault.effect.end is not None
        self._count(kind, not (ends and direction == TO_SERVER), not ends)
        self._report.drawn(fault.line)
        return drawn

    def _count(self, kind: str, to_server: bool, to_client: bool) -> None:
        self._counted[TO_SERVER, kind] += to_server
        self._counted[TO_CLIENT, kind] += to_client

    def _choose(self, number: float) -> str | None:
        for name, rate in self._rates.items():
            if number < rate:
                return name
            number -= rate
        return None

    def _make(self, name: str, kind: str, dice: random.Random) -> tuple[Fault, Direction]:
        """A rule for this frame alone, as the script will have it; the frame itself is counted here and now."""
        seconds = round(dice.uniform(_LEAST_SECONDS, self._longest), _DIGITS)
        way: Direction = TO_CLIENT
        if name in ("lose_request", "cut_after", "pause"):
            way = TO_SERVER
        elif name in ("delay", "slow", "chop"):
            way = dice.choice((TO_SERVER, TO_CLIENT))
        nth = self._counted[way, kind] + 1
        match name:
            case "lose_reply":
                fault = rules.lose_reply(kind, nth, then=dice.choice(("cut", "reset")))
            case "lose_request":
                fault = rules.lose_request(kind, nth, then=dice.choice(("cut", "reset")))
            case "cut_after":
                fault = rules.cut_after(kind, nth, how=dice.choice(("fin", "reset")))
            case "delay":
                fault = rules.delay(seconds, kind, nth, direction=way)
            case "pause":
                fault = rules.pause(seconds, kind, nth)
            case "slow":
                fault = rules.slow(dice.choice((1_000, 10_000, 100_000)), kind, nth, direction=way)
            case _:
                fault = rules.chop(dice.choice((1, 2, 7, 64)), kind, nth, direction=way)
        return fault, way
