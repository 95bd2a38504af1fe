"""A counter, as the search for an order sees it: additions, with or without the sum they saw, and gets.

Rule: the situations that `end` returns are all that matter; whatever else may be is worse than one of them.

Additions without an answer commute. So they are placed at their end, or together, where they are needed to bring the
sum to one that somebody saw: of those with the same amount the one that ends first, those of unknown outcome last.
Where no amount is negative the sum never comes back: the smallest sum that somebody under way saw is the next one. So
the sums that are seen by somebody under way are kept sorted.
"""

from __future__ import annotations

import math
from bisect import insort
from collections.abc import Collection, Iterable, Iterator
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
        self._seen: dict[int, dict[int, int]] = {}  # sum: additions that saw it, amounts by bit
        self._open_seen = 0
        self._watched: dict[int, int] = {}  # sum: bits of all under way that saw it, of both kinds
        self._sums: list[int] = []  # the keys of that, sorted
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
            self._watch(step.value, bit)
        elif end != NEVER and step.does is Does.ADD_SEEN:
            self._seen.setdefault(step.value, {})[bit] = amount
            self._open_seen |= bit
            self._watch(step.value, bit)
        else:
            if end == NEVER:
                self._unknown |= bit
                self._maybe[amount] = self._maybe.get(amount, 0) | bit
            else:
                self._open_adds |= bit
                insort(self._adds.setdefault(amount, []), (end, bit))

    def end(self, step: Step, bit: int, position: int, situations: Situations) -> Situations:
        found: Situations = set()
        is_get = step.does is Does.GET
        # An addition goes by the way over sums that somebody saw, without others of its amount: it comes first.
        goal, without = (None, step.amount) if step.does is Does.ADD else (step.value, None)
        if not is_get:
            self._forget(step, bit)
        for situation in situations:
            total, _, done = situation
            if done & bit:
                found.add((total, -1, done ^ bit))
            elif is_get and total == goal:
                found.add(situation)
            else:
                for total, _, done in self._paths(situation, goal, without):
                    if is_get:
                        if done & bit:
                            found.add((total, -1, done ^ bit))
                    elif goal is None or total == goal:
                        found.add((total + step.amount, -1, self._leaving(total, done)))
        if is_get:
            self._forget(step, bit)
        if self._rises and self._sums:
            return {one for one in found if not self._is_past(one[0], one[2])}
        return found

    def _watch(self, total: int, bit: int) -> None:
        if total not in self._watched:
            self._watched[total] = 0
            insort(self._sums, total)
        self._watched[total] |= bit

    def _forget(self, step: Step, bit: int) -> None:
        total = step.value
        if step.does is Does.GET:
            self._gets[total] ^= bit
            if not self._gets[total]:
                del self._gets[total]
        elif step.does is Does.ADD_SEEN:
            del self._seen[total][bit]
            self._open_seen ^= bit
            if not self._seen[total]:
                del self._seen[total]
        if step.does is not Does.ADD:
            self._watched[total] ^= bit
            if not self._watched[total]:
                del self._watched[total]
                self._sums.remove(total)
        else:
            amount = step.amount
            self._adds[amount] = [entry for entry in self._adds[amount] if entry[1] != bit]
            self._open_adds ^= bit
            if not self._adds[amount]:
                del self._adds[amount]

    # What may be placed

    def _paths(self, start: Situation, goal: int | None, without: int | None) -> list[Situation]:
        """The situations on all ways over sums that somebody under way saw, or to the goal; itself included."""
        found = [start]
        if (goal is None and not self._sums) or (start[0] == goal and self._rises):
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
        left = self._leaving(total, done)
        for bit, amount in self._seen.get(total, {}).items():
            if not done & bit:
                after = total + amount
                yield after, -1, self._leaving(after, left | bit)
        for target in self._targets(total, done, goal):
            for bits in self._ways(target - total, done, without):
                yield target, -1, self._leaving(target, left | bits)

    def _targets(self, total: int, done: int, goal: int | None) -> Collection[int]:
        """The sums to go to next: the goal, and those that somebody under way saw; the smallest where it only rises."""
        if not self._rises:
            targets = {value for value, bits in self._watched.items() if bits & ~done and value != total}
            return targets if goal is None else targets | {goal}
        for target in self._sums:
            if goal is not None and goal <= target:
                break
            if target != total and self._watched[target] & ~done:
                return (target,) if target > total else ()
        return () if goal is None or goal <= total else (goal,)

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
        largest = gap if self._rises else math.inf
        maybe = {
            amount: left
            for amount, bits in self._maybe.items()
            if amount <= largest and amount != without and (left := bits & ~done)
        }
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

    def _is_past(self, total: int, done: int) -> bool:
        """Whether somebody under way saw a smaller sum, and is not placed."""
        for smaller in self._sums:
            if smaller >= total:
                break
            if self._watched[smaller] & ~done:
                return True
        return False

    def _leaving(self, total: int, done: int) -> int:
        """What is placed when the sum has been this: also all who see it."""
        return done | self._gets.get(total, 0)

    # What is kept

    def rank(self, situation: Situation) -> tuple[int, ...]:
        return (situation[2] & self._unknown).bit_count(), situation[2]

    def serves(self, one: Situation, other: Situation) -> bool:
        done, others = one[2], other[2]
        extra = done & ~others
        if extra & (self._unknown | self._open_seen) or others & ~done & ~self._unknown:
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
