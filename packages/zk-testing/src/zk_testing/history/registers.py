"""A register, as the search for an order sees it: read, write, and compare-and-set.

Rule: the situations that `end` returns are all that matter; whatever else may be is worse than one of them.

What saves situations: a write that nobody observes hides. If one was placed visibly at a moment (the mark), every write
that was under way then may be taken to have happened just before it, and so may a write together with the reads of
what it wrote. So a write that ends either hides before the mark, or is placed visibly now; nothing else is tried. A
read is placed as soon as the register holds its value. Writes of one value are taken in the order of their ends, those
of unknown outcome last, and only for a read that needs them.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from typing import NamedTuple

from .searching import NEVER, Model, Situation, Situations, bits_of


class Does(IntEnum):
    """What a step does."""

    READ = 0  # sees the value
    DIFFERS = 1  # sees another value than this: a compare-and-set that was refused
    WRITE = 2
    CAS = 3  # sees the value, and replaces it


class Step(NamedTuple):
    """One operation. Values are numbers that stand for them."""

    does: Does
    value: int
    new: int = -1


class Register(Model[Step]):
    """The situations of one register: (value, position of the last visible write, placed operations)."""

    def __init__(self, width: int, *, relaxed: bool) -> None:
        super().__init__(width, relaxed=relaxed)
        self._began: dict[int, int] = {}  # by bit
        self._reads: dict[int, int] = {}  # value: bits
        self._differs: dict[int, int] = {}  # value that it must not be: bits
        self._all_differs = 0
        self._writes: dict[int, list[tuple[int, int]]] = {}  # value: (end, bit)
        self._open_writes = 0
        self._maybe: dict[int, int] = {}  # value: bits of writes of unknown outcome
        self._cas: dict[int, tuple[int, int]] = {}  # bit: (value, new)
        self._maybe_cas: dict[int, dict[int, int]] = {}  # new: value: bits
        self._unknown = 0

    def begin(self, step: Step, bit: int, position: int, end: int) -> None:
        self._began[bit] = position
        value = step.value
        if end == NEVER:
            self._unknown |= bit
            if step.does is Does.WRITE:
                self._maybe[value] = self._maybe.get(value, 0) | bit
            elif step.does is Does.CAS:
                group = self._maybe_cas.setdefault(step.new, {})
                group[value] = group.get(value, 0) | bit
        elif step.does is Does.READ:
            self._reads[value] = self._reads.get(value, 0) | bit
        elif step.does is Does.WRITE:
            self._writes.setdefault(value, []).append((end, bit))
            self._open_writes |= bit
        elif step.does is Does.CAS:
            self._cas[bit] = (value, step.new)
        else:
            self._differs[value] = self._differs.get(value, 0) | bit
            self._all_differs |= bit

    def end(self, step: Step, bit: int, position: int, situations: Situations) -> Situations:
        found: Situations = set()
        if step.does is Does.READ:
            value = step.value
            for situation in situations:
                if situation[2] & bit:
                    found.add((situation[0], situation[1], situation[2] ^ bit))
                elif situation[0] == value:
                    found.add(situation)
                else:
                    for state, mark, done in self._see(situation, value, bit, position):
                        found.add((state, mark, done & ~bit))
        elif step.does is Does.WRITE:
            for situation in situations:
                if situation[2] & bit:
                    found.add((situation[0], situation[1], situation[2] ^ bit))
                else:
                    found |= self._write(situation, step.value, bit, position)
        else:
            for situation in situations:
                if situation[2] & bit:
                    found.add((situation[0], situation[1], situation[2] ^ bit))
                elif step.does is Does.CAS:
                    for state, mark, done in self._reach(situation, bit, position):
                        if done & bit:
                            found.add((state, mark, done ^ bit))
                elif situation[0] != step.value:
                    found.add(situation)
                else:
                    for state, mark, done in self._see_other(situation, step.value, bit, position):
                        found.add((state, mark, done & ~bit))
        self._forget(step, bit)
        return found

    def _forget(self, step: Step, bit: int) -> None:
        del self._began[bit]
        value = step.value
        if step.does is Does.READ:
            self._reads[value] ^= bit
            if not self._reads[value]:
                del self._reads[value]
        elif step.does is Does.WRITE:
            self._writes[value] = [entry for entry in self._writes[value] if entry[1] != bit]
            if not self._writes[value]:
                del self._writes[value]
            self._open_writes ^= bit
        elif step.does is Does.CAS:
            del self._cas[bit]
        else:
            self._differs[value] ^= bit
            self._all_differs ^= bit

    # What may be placed

    def _write(self, situation: Situation, value: int, bit: int, position: int) -> Situations:
        found: Situations = set()
        state, mark, done = situation
        if self._began[bit] < mark:
            found.add((state, mark, self._hide(value, mark, done)))
        for state, _, done in self._reach(situation, 0, position):
            if not done & bit:
                found.add((value, position, self._leaving(state, done)))
            else:  # on the way it was needed, and placed
                found.add((state, position, done ^ bit))
        return found

    def _see(self, situation: Situation, value: int, bit: int, position: int) -> Iterator[Situation]:
        """The situations in which a read that ends now has seen the value, which is not there."""
        for reached in self._reach(situation, 0, position):
            state, _, done = reached
            if done & bit or state == value:
                yield reached
                continue
            yield from self._see_by_writing(reached, value, bit, position)

    def _see_by_writing(self, reached: Situation, value: int, bit: int, position: int) -> Iterator[Situation]:
        state, mark, done = reached
        if write := self._pick(value, done, NEVER):
            yield value, position, self._leaving(state, done) | (write & self._kept)
        if self._began[bit] < mark and (write := self._pick(value, done, mark)):
            yield state, mark, self._hide(value, mark, done) | bit | (write & self._kept)

    def _see_other(self, situation: Situation, value: int, bit: int, position: int) -> Iterator[Situation]:
        """The situations in which a refused compare-and-set that ends now has seen another value."""
        for reached in self._reach(situation, 0, position, every=True):
            state, _, done = reached
            if done & bit or state != value:
                yield reached
                continue
            for other in {*self._writes, *self._maybe} - {value}:
                yield from self._see_by_writing(reached, other, bit, position)

    def _reach(self, start: Situation, stop: int, position: int, *, every: bool = False) -> list[Situation]:
        """The situations after any number of compare-and-sets, itself included; not beyond one with the bits *stop*."""
        if not self._cas and not self._maybe_cas:
            return [start]
        found = [start]
        known = {start}
        for situation in found:
            if situation[2] & stop:
                continue
            for after in self._steps(situation, position, every):
                if after not in known:
                    known.add(after)
                    found.append(after)
            self.work -= 1
            if len(found) > self.most_steps:
                self.is_cut = True
                break
        return found

    def _steps(self, situation: Situation, position: int, every: bool) -> Iterator[Situation]:
        state, _, done = situation
        for bit, (value, new) in self._cas.items():
            if not done & bit:
                yield from self._swap(situation, value, new, bit, position)
        if self._maybe_cas:
            for new in self._wanted(done, state, every):
                for value, bits in self._maybe_cas.get(new, {}).items():
                    left = bits & ~done
                    if left:
                        yield from self._swap(situation, value, new, left & -left, position)

    def _swap(self, situation: Situation, value: int, new: int, bit: int, position: int) -> Iterator[Situation]:
        state, mark, done = situation
        if state == value:
            yield new, mark, self._leaving(value, done) | (bit & self._kept)
        if write := self._pick(value, done, NEVER):
            done = self._leaving(value, self._leaving(state, done))
            yield new, position, done | ((bit | write) & self._kept)

    def _wanted(self, done: int, state: int, every: bool) -> set[int]:
        """The values that somebody under way must still see, and those by which one gets there."""
        if every or self._differs.get(state, 0) & ~done:
            return set(self._maybe_cas)
        wanted = {value for value, bits in self._reads.items() if bits & ~done}
        wanted.update(value for bit, (value, _) in self._cas.items() if not done & bit)
        queue = list(wanted)
        for new in queue:
            for value in self._maybe_cas.get(new, ()):
                if value not in wanted:
                    wanted.add(value)
                    queue.append(value)
        return wanted

    @property
    def _kept(self) -> int:
        """The bits that are remembered as placed: all, or (relaxed) none of unknown outcome."""
        return ~self._unknown if self.relaxed else -1

    def _pick(self, value: int, done: int, before: int) -> int:
        """A write of the value that may be placed, and began before a position; 0: none."""
        best = (NEVER, 0)
        for entry in self._writes.get(value, ()):
            if not done & entry[1] and entry < best and self._began[entry[1]] < before:
                best = entry
        if best[1]:
            return best[1]
        for bit in bits_of(self._maybe.get(value, 0) & ~done):
            if self._began[bit] < before:
                return bit
        return 0

    def _leaving(self, state: int, done: int) -> int:
        """What is placed when the register has held a value: also all who see it."""
        done |= self._reads.get(state, 0)
        if self._all_differs:
            done |= self._all_differs & ~self._differs.get(state, 0)
        return done

    def _hide(self, value: int, mark: int, done: int) -> int:
        """What is placed when a write is hidden before the mark: also all who see it and began before."""
        began = self._began
        for bit in bits_of(self._reads.get(value, 0)):
            if began[bit] < mark:
                done |= bit
        if self._all_differs:
            for bit in bits_of(self._all_differs & ~self._differs.get(value, 0)):
                if began[bit] < mark:
                    done |= bit
        return done

    # What is kept

    def rank(self, situation: Situation) -> tuple[int, ...]:
        return -situation[1], (situation[2] & self._unknown).bit_count(), situation[2]

    def serves(self, one: Situation, other: Situation) -> bool:
        _, mark, done = one
        _, other_mark, other_done = other
        if mark < other_mark:
            return False
        writes = self._open_writes
        if done & ~other_done & (writes | self._unknown):
            return False
        if (done ^ other_done) & ~(writes | self._unknown) & self._cas_bits():
            return False
        missing = other_done & ~done & ~self._unknown
        if not missing:
            return True
        if missing & ~writes:
            return False
        return all(self._began[bit] < mark for bit in bits_of(missing))

    def _cas_bits(self) -> int:
        bits = 0
        for bit in self._cas:
            bits |= bit
        return bits

    def worth(self, situation: Situation) -> tuple[int, int]:
        return (situation[2] & self._unknown).bit_count(), -situation[1]
