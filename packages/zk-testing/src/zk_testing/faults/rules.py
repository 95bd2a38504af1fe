"""The rules of the fault language, and scripts: rules written as lines.

    lose_reply create nth=2
    delay 0.2 get_data; cut_after multi of=reply how=reset

Rule: a line is the call of the language's method, without brackets, commas and quotes. All lines of a script are
checked before one is set. What takes effect at once (cut, freeze, refuse) is no rule; it is called.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable
from typing import get_args

from zk_wire import OpCode

from .corruption import Corruption, Damage
from .effects import (
    HALF,
    TO_CLIENT,
    TO_SERVER,
    WHOLE,
    Direction,
    Effect,
    How,
    Pace,
    Part,
    Then,
    Way,
    check_choice,
    directions_of,
)
from .fault import Fault

__all__ = [
    "RULES",
    "chop",
    "corrupt",
    "cut_after",
    "cut_before",
    "cut_inside",
    "delay",
    "lose_reply",
    "lose_request",
    "parse_script",
    "pause",
    "slow",
]

_PIECES_PER_SECOND = 100  # a slow line passes its bytes in at most so many pieces a second
_LARGEST_LENGTH = (1 << 31) - 1


# Frames that do not pass, or not whole


def lose_reply(kind: str | OpCode, nth: int = 1, *, then: Then = "cut") -> Fault:
    """See `FaultLanguage.lose_reply`."""
    return _lost("lose_reply", kind, nth, TO_CLIENT, then)


def lose_request(kind: str | OpCode, nth: int = 1, *, then: Then = "cut") -> Fault:
    """See `FaultLanguage.lose_request`."""
    return _lost("lose_request", kind, nth, TO_SERVER, then)


def cut_before(kind: str | OpCode, nth: int = 1, *, of: Part = "request", how: How = "fin") -> Fault:
    """See `FaultLanguage.cut_before`."""
    return _cut("cut_before", kind, nth, of, how, Effect(keep=0))


def cut_after(kind: str | OpCode, nth: int = 1, *, of: Part = "request", how: How = "fin") -> Fault:
    """See `FaultLanguage.cut_after`."""
    return _cut("cut_after", kind, nth, of, how, Effect(keep=WHOLE))


def cut_inside(
    kind: str | OpCode, nth: int = 1, *, of: Part = "reply", after_bytes: int = HALF, how: How = "fin"
) -> Fault:
    """See `FaultLanguage.cut_inside`."""
    if after_bytes < 1 and after_bytes != HALF:
        raise ValueError(f"a cut inside a frame is after 1 byte or more (or -1: after half of them), not {after_bytes}")
    return _cut("cut_inside", kind, nth, of, how, Effect(keep=after_bytes), f"after_bytes={after_bytes}")


def corrupt(
    kind: str | OpCode, nth: int = 1, damage: Damage = "flip", *, of: Part = "reply", at: int = -1, length: int = -1
) -> Fault:
    """See `FaultLanguage.corrupt`."""
    check_choice("damage", damage, get_args(Damage))
    check_choice("of", of, get_args(Part))
    if not -_LARGEST_LENGTH <= length <= _LARGEST_LENGTH:
        raise ValueError(f"a length prefix has 32 bits: {length}")
    if of == "request" and damage == "length" and 0 <= length < 1 << 20:
        # The rest of the frame would be taken for requests, and nobody knows which.
        raise ValueError(f"a request's length is made negative or at least 2**20, not {length}")
    line = f"corrupt {_name(kind)} nth={nth} damage={damage} of={of} at={at} length={length}"
    return Fault(line, kind, nth, (_direction(of),), Effect(corruption=Corruption(damage, at, length)))


# Frames that pass late


def delay(seconds: float, kind: str | OpCode = "any", nth: int | None = None, *, direction: Way = TO_CLIENT) -> Fault:
    """See `FaultLanguage.delay`."""
    if not 0 <= seconds < math.inf:
        raise ValueError(f"a delay is 0 seconds or more, not {seconds}")
    return _paced(f"delay {seconds}", kind, nth, direction, Effect(delay=seconds))


def pause(seconds: float, kind: str | OpCode = "any", nth: int = 1) -> Fault:
    """See `FaultLanguage.pause`."""
    if not 0 < seconds < math.inf:
        raise ValueError(f"a pause is more than 0 seconds, not {seconds}")
    return Fault(f"pause {seconds} {_name(kind)} nth={nth}", kind, nth, (TO_SERVER,), Effect(still=seconds))


def slow(
    bytes_per_second: float, kind: str | OpCode = "any", nth: int | None = None, *, direction: Way = "both"
) -> Fault:
    """See `FaultLanguage.slow`."""
    if not 0 < bytes_per_second < math.inf:
        raise ValueError(f"a line passes more than 0 bytes per second, not {bytes_per_second}")
    pace = Pace(max(1, int(bytes_per_second / _PIECES_PER_SECOND)), per_byte=1 / bytes_per_second)
    return _paced(f"slow {bytes_per_second}", kind, nth, direction, Effect(pace=pace))


def chop(
    size: int,
    kind: str | OpCode = "any",
    nth: int | None = None,
    *,
    pause: float = 0.001,
    direction: Way = "both",
) -> Fault:
    """See `FaultLanguage.chop`."""
    if size < 1:
        raise ValueError(f"a piece has 1 byte or more, not {size}")
    if not 0 <= pause < math.inf:
        raise ValueError(f"a pause between pieces is 0 seconds or more, not {pause}")
    return _paced(f"chop {size}", kind, nth, direction, Effect(pace=Pace(size, pause=pause)), f"pause={pause}")


RULES: dict[str, Callable[..., Fault]] = {
    rule.__name__: rule
    for rule in (lose_reply, lose_request, cut_before, cut_after, cut_inside, corrupt, delay, pause, slow, chop)
}


# Scripts


def parse_script(script: str | Iterable[str]) -> list[Fault]:
    """Read rules, one a line, or several separated by ";". Raises ValueError naming the line that is no rule."""
    lines = [script] if isinstance(script, str) else script
    return [
        _parse_line(line) for text in lines for part in text.splitlines() for line in part.split(";") if line.strip()
    ]


def _parse_line(line: str) -> Fault:
    name, *words = line.split()
    rule = RULES.get(name)
    if rule is None:
        raise ValueError(f"no rule {name!r} in {line.strip()!r}: known are {', '.join(sorted(RULES))}")
    positional: list[object] = []
    named: dict[str, object] = {}
    for word in words:
        key, equals, text = word.partition("=")
        if equals:
            named[key] = _value(text)
        else:
            positional.append(_value(word))
    try:
        inspect.signature(rule).bind(*positional, **named)
        return rule(*positional, **named)
    except (TypeError, ValueError) as error:
        raise ValueError(f"the line {line.strip()!r} is no rule: {error}") from None


def _value(word: str) -> object:
    for kind in (int, float):
        try:
            return kind(word)
        except ValueError:
            pass
    prefix, _, opcode = word.partition(".")
    if prefix == "OpCode" and opcode in OpCode.__members__:
        return OpCode[opcode]
    return word


# Details


def _lost(name: str, kind: str | OpCode, nth: int, direction: Direction, then: Then) -> Fault:
    check_choice("then", then, get_args(Then))
    return Fault(f"{name} {_name(kind)} nth={nth} then={then}", kind, nth, (direction,), Effect(keep=0, end=then))


def _cut(name: str, kind: str | OpCode, nth: int, of: Part, how: How, effect: Effect, more: str = "") -> Fault:
    check_choice("of", of, get_args(Part))
    check_choice("how", how, get_args(How))
    effect = effect._replace(end="cut" if how == "fin" else "reset")
    line = " ".join(filter(None, (f"{name} {_name(kind)} nth={nth} of={of}", more, f"how={how}")))
    return Fault(line, kind, nth, (_direction(of),), effect)


def _paced(start: str, kind: str | OpCode, nth: int | None, way: Way, effect: Effect, more: str = "") -> Fault:
    directions = directions_of(way)
    parts = (start, _name(kind), "" if nth is None else f"nth={nth}", more, f"direction={way}")
    return Fault(" ".join(filter(None, parts)), kind, nth, directions, effect)


def _direction(of: Part) -> Direction:
    return TO_SERVER if of == "request" else TO_CLIENT


def _name(kind: str | OpCode) -> str:
    return f"OpCode.{kind.name}" if isinstance(kind, OpCode) else str(kind)
