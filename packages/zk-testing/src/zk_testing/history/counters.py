"""A counter, as the search for an order sees it: additions, with or without the sum they saw, and gets.

Rule: the situations that `end` returns are all that matter; whatever else may be is worse than one of them.

Additions without an answer commute. So they are placed at their end, or together, where they are needed to bring the
sum to one that somebody saw: of those with the same amount the one that ends first, those of unknown outcome last.
Where no amount is negative the sum never comes back: the smallest sum that somebody under way saw is the next one.
"""

from __future__ import annotations

import math
from bisect import insort
from collections.abc import Iterable, Iterator
from enum import IntEnum
from typing import NamedTuple

from .searching import NEVER, WIDTHS, Model, Situation, Situations, bits_of

# Additions of one amount and unknown outcome that are kept for those that need them.
MOST_SPARE = 160


class Does(IntEnum):
    """What a step does."""

    GET = 0  # sees the sum
    ADD = 1
    ADD_SEEN = 2  # adds, and saw the sum


class Step(NamedTuple):
    """One operation. value: the sum it saw, before its own amount."""

    does: Does
    value: int
    amount: int = 0


class Counter(Model[Step]):
    """The situations of one counter: (sum, not used, placed operations)."""

    def __init__(self, width: int, *, relaxed: bool) -> None:
        super().__init__(width, relaxed=relaxed)
        self._gets: dict[int, int] = {}  # sum: bits
        self._seen: dict[int, Step] = {}  # additions that saw the sum, by bit
        self._adds: dict[int, list[tuple[int, int]]] = {}  # amount: (end, bit), sorted
        self._open_adds = 0
        self._maybe: dict[int, int] = {}  # amount: bits of those of unknown outcome
        self._rises = False  # whether no amount is negative
        self._unknown = 0
        self._is_wide = width >= WIDTHS[1]

    def prepare(self, steps: Iterable[Step]) -> None:
        self._rises = all(step.amount >= 0 for step in steps)

    def begin(self, step: Step, bit: int, position: int, end: int) -> None:
        amount = step.amount
        if step.does is Does.GET:
            self._gets[step.value] = self._gets.get(step.value, 0) | bit
        elif end != NEVER and step.does is Does.ADD_SEEN:
            self._seen[bit] = step
        else:
            if end == NEVER:
                self._unknown |= bit
                self._maybe[amount] = self._maybe.get(amount, 0) | bit
            else:
                self._open_adds |= bit
                insort(self._adds.setdefault(amount, []), (end, bit))

    def end(self, step: Step, bit: int, position: int, situations: Situations) -> Situations:
        found: Situations = set()
        if step.does is Does.ADD_SEEN:
            del self._seen[bit]
        for situation in situations:
            total, _, done = situation
            if done & bit:
                found.add((total, -1, done ^ bit))
            elif step.does is Does.GET:
                if total == step.value:
                    found.add(situation)
                else:
                    for total, _, done in self._paths(situation, step.value, None):
                        if done & bit:
                            found.add((total, -1, done ^ bit))
            elif step.does is Does.ADD_SEEN:
                for total, _, done in self._paths(situation, step.value, None):
                    if total == step.value:
                        found.add((total + step.amount, -1, self._leaving(total, done)))
            else:
                # By the way over sums that somebody saw; those without this amount, since it would come first.
                for total, _, done in self._paths(situation, None, step.amount):
                    found.add((total + step.amount, -1, self._leaving(total, done)))
        self._forget(step, bit)
        if self._rises and (self._gets or self._seen):
            lowest = self._next(0)
            return {one for one in found if one[0] <= lowest or one[0] <= self._next(one[2])}
        return found

    def _forget(self, step: Step, bit: int) -> None:
        if step.does is Does.GET:
            self._gets[step.value] ^= bit
            if not self._gets[step.value]:
                del self._gets[step.value]
        elif step.does is Does.ADD:
            amount = step.amount
            self._adds[amount] = [entry for entry in self._adds[amount] if entry[1] != bit]
            self._open_adds ^= bit
            if not self._adds[amount]:
                del self._adds[amount]

    # What may be placed

    def _paths(self, start: Situation, goal: int | None, without: int | None) -> list[Situation]:
        """The situations on all ways over sums that somebody under way saw, or to the goal; itself included."""
        found = [start]
        if not self._gets and not self._seen and goal is None:
            return found
        known = {start}
        for situation in found:
            total, _, done = situation
            if self._rises and total == goal:
                continue
            for after in self._onward(total, done, goal, without):
                if after not in known:
                    known.add(after)
                    found.append(after)
            self.work -= 1
            if len(found) > self.most_steps:
                self.is_cut = True
                break
        return found

    def _onward(self, total: int, done: int, goal: int | None, without: int | None) -> Iterator[Situation]:
        targets = {value for value, bits in self._gets.items() if bits & ~done and value != total}
        left = self._leaving(total, done)
        for bit, step in self._seen.items():
            if not done & bit:
                if step.value == total:
                    after = total + step.amount
                    yield after, -1, self._leaving(after, left | bit)
                else:
                    targets.add(step.value)
        if goal is not None:
            targets.add(goal)
        if self._rises and targets:
            targets = {min(targets)}
        for target in targets:
            if target > total or not self._rises:
                for bits in self._ways(target - total, done, without):
                    yield target, -1, self._leaving(target, left | bits)

    def _ways(self, gap: int, done: int, without: int | None) -> Iterator[int]:
        """The choices of additions that make up a difference, as bits to be remembered.

        Those with no addition of unknown outcome; only if there is none, those with one; with two; with any number. A
        wide search looks at all.
        """
        sure = {
            amount: [bit for _, bit in entries if not done & bit]
            for amount, entries in self._adds.items()
            if amount != without
        }
        maybe = {amount: left for amount, bits in self._maybe.items() if amount != without and (left := bits & ~done)}
        if self._rises:
            maybe = {amount: bits for amount, bits in maybe.items() if amount <= gap}
        if self._is_wide or (len(maybe) == 1 and len(sure) <= 1):
            yield from self._any(gap, sure, maybe)
            return
        subsets = [(gap, 0)]
        for amount, known in sure.items():
            more: list[tuple[int, int]] = []
            chosen = 0
            for number, bit in enumerate(known, start=1):
                chosen |= bit
                more += [(rest - number * amount, before | chosen) for rest, before in subsets]
            subsets += more
        if self._rises:
            subsets = [subset for subset in subsets if subset[0] >= 0]
        found = [bits for rest, bits in subsets if not rest]
        if not found:
            found = [bits | self._one(maybe[rest]) for rest, bits in subsets if rest in maybe]
        if not found and len(subsets) * len(maybe) <= 64 * self.most_steps:
            for rest, bits in subsets:
                for amount, many in maybe.items():
                    other = rest - amount
                    if other > amount and other in maybe:
                        found.append(bits | self._one(many) | self._one(maybe[other]))
                    elif other == amount and many & (many - 1):
                        found.append(bits | self._one(many) | self._one(many & (many - 1)))
        if found:
            self.is_cut = self.is_cut or bool(maybe) or len(found) > self.most_ways
            yield from found[: self.most_ways]
        else:
            yield from self._any(gap, sure, maybe)

    def _any(self, gap: int, sure: dict[int, list[int]], maybe: dict[int, int]) -> Iterator[int]:
        groups: list[tuple[int, list[int], int, int]] = []  # amount, known bits, unknown bits, how many of both
        above, below = [0], [0]
        for amount in sorted({*sure, *maybe}, key=abs):
            known, unknown = sure.get(amount, []), maybe.get(amount, 0)
            count = len(known) + unknown.bit_count()
            if count and (not self._rises or amount <= gap):
                groups.append((amount, known, unknown, count))
                above.append(above[-1] + max(amount * count, 0))
                below.append(below[-1] + min(amount * count, 0))
        made = tried = 0
        stack: list[tuple[int, int, int]] = [(len(groups), gap, 0)]
        while stack:
            number, gap, bits = stack.pop()
            tried += 1
            if not gap:
                made += 1
                yield bits & ~self._unknown if self.relaxed else bits
            if made > self.most_ways or tried > 64 * self.most_ways:
                self.is_cut = True
                return
            if not number or not below[number] <= gap <= above[number] or (not gap and self._rises):
                continue
            amount, known, unknown, most = groups[number - 1]
            if self._rises:
                most = min(most, gap // amount)
            chosen = bits
            choices = [(number - 1, gap, bits)] if gap else []
            for taken in range(1, most + 1):
                if taken <= len(known):
                    chosen |= known[taken - 1]
                else:
                    chosen |= unknown & -unknown
                    unknown &= unknown - 1
                choices.append((number - 1, gap - taken * amount, chosen))
            # The last is tried first: large amounts, and few additions.
            stack += reversed(choices) if not self._rises else choices

    def _one(self, bits: int) -> int:
        """One of the additions of unknown outcome, as it is remembered."""
        return 0 if self.relaxed else bits & -bits

    def _next(self, done: int) -> float:
        """The smallest sum that somebody under way saw."""
        sums = [value for value, bits in self._gets.items() if bits & ~done]
        sums += [step.value for bit, step in self._seen.items() if not done & bit]
        return min(sums, default=math.inf)

    def _leaving(self, total: int, done: int) -> int:
        """What is placed when the sum has been this: also all who see it."""
        return done | self._gets.get(total, 0)

    # What is kept

    def rank(self, situation: Situation) -> tuple[int, ...]:
        return (situation[2] & self._unknown).bit_count(), situation[2]

    def serves(self, one: Situation, other: Situation) -> bool:
        done, others = one[2], other[2]
        if done & ~others & self._unknown:
            return False
        if others & ~done & ~self._unknown:
            return False
        extra = done & ~others
        for bit in self._seen:
            if extra & bit:
                return False
        # One addition more is placed here, and those of unknown outcome that are free instead can be placed for it.
        return (extra & self._open_adds).bit_count() <= 1

    def settle(self, situations: Situations) -> tuple[Situations, list[int]]:
        if self.relaxed:
            return situations, []
        everywhere, somewhere = -1, 0
        for _, _, done in situations:
            everywhere &= done
            somewhere |= done
        gone = everywhere & self._unknown
        for amount, bits in self._maybe.items():
            spare = bits & ~somewhere
            if (extra := spare.bit_count() - MOST_SPARE) > 0:
                self.is_cut = True
                # The latest are given up.
                for _ in range(extra):
                    last = 1 << (spare.bit_length() - 1)
                    spare ^= last
                    gone |= last
            self._maybe[amount] = bits & ~gone
        self._unknown &= ~gone
        return {(total, mark, done & ~gone) for total, mark, done in situations}, list(bits_of(gone))

    def worth(self, situation: Situation) -> tuple[int, int]:
        return (situation[2] & self._unknown).bit_count(), -(situation[2] & ~self._unknown).bit_count()
