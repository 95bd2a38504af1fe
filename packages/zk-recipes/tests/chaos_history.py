"""What workers did and saw during a round of chaos, and what may be concluded from it.

Rule: nothing here waits or speaks to a server. Workers write operations down while they happen; `violations` reads
them, with what the ensemble holds in the end, and every sentence it returns is a promise of the client that was broken.

The promises: a call ends in time; a write told as applied is there; one told as not applied is nowhere, and nobody has
ever seen it; a session never reads backwards, nor behind its own writes; nobody but one wins a version; a transaction
is there as a whole or not at all; two holders of a lock never overlap, and their tokens grow.
"""

from __future__ import annotations

import heapq
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from itertools import pairwise

from zk_client import Outcome, Stat

APPLIED, NOT_APPLIED, UNKNOWN = Outcome.APPLIED, Outcome.NOT_APPLIED, Outcome.UNKNOWN

LONGEST = 25.0  # seconds after which a call counts as hung: longer than a session and every fault
AROUND = 2.0  # seconds of the timeline shown before and after a violation
WRITES = frozenset({"create", "delete", "set", "cas", "multi", "sequential", "guarded"})

Final = dict[str, tuple[bytes, Stat]]


class Op:
    """One call of a worker. `value` is unique among the writes of a round."""

    __slots__ = ("begin", "client", "detail", "end", "kind", "outcome", "path", "session", "stat", "value", "worker")

    def __init__(self, worker: str, client: str, kind: str, path: str, value: bytes, session: int | None) -> None:
        self.worker = worker
        self.client = client
        self.kind = kind
        self.path = path
        self.value = value  # written, or (of a read that succeeded) seen
        self.session: int | None = session  # None once it is known to have changed during the call
        self.begin = time.monotonic()
        self.end: float | None = None
        self.outcome: Outcome | None = None
        self.stat: Stat | None = None
        self.detail = ""

    @property
    def seconds(self) -> float:
        """How long it took, or has taken so far."""
        return (time.monotonic() if self.end is None else self.end) - self.begin

    @property
    def applied(self) -> bool:
        return self.outcome is APPLIED


class Hold:
    """The time for which a worker could believe that it holds the lock."""

    __slots__ = ("first", "last", "token", "worker")

    def __init__(self, worker: str, token: int, first: float) -> None:
        self.worker = worker
        self.token = token
        self.first = self.last = first


class History:
    """One round. Any number of threads, greenlets and tasks may add to it: only appending is shared."""

    def __init__(self) -> None:
        self.begun = time.monotonic()
        self.ops: list[Op] = []
        self.holds: list[Hold] = []
        self.notes: list[tuple[float, str]] = []
        self.broken: list[tuple[float, str, str]] = []  # found by a worker itself: when, where, what
        self.trouble = threading.Event()

    def note(self, text: str) -> None:
        """Something was done to the ensemble."""
        self.notes.append((time.monotonic(), text))

    def violation(self, path: str, text: str) -> None:
        """A worker has seen a promise broken."""
        self.broken.append((time.monotonic(), path, text))
        self.trouble.set()

    def outcomes(self) -> Counter[str]:
        """How many calls of each kind ended in which way."""
        return Counter(f"{op.kind} {op.outcome.name if op.outcome else 'open'}" for op in self.ops)

    def timeline(self, when: float, path: str) -> str:
        """What happened around a moment: to the ensemble, and to one node."""
        lines = [(at, f"        *** {text}") for at, text in self.notes]
        for op in self.ops:
            if op.path == path or path in op.detail:
                how = op.outcome.name if op.outcome else "open"
                version = f" version={op.stat.version}" if op.stat is not None else ""
                took = f"{op.seconds:.3f} s"
                session = f"{op.session:x}" if op.session else "-"
                text = f"{op.worker} 0x{session} {op.kind} {op.value!r}: {how}{version} in {took} {op.detail}"
                lines.append((op.begin, text))
        near = sorted(line for line in lines if when - AROUND < line[0] < when + AROUND)
        return "\n".join(f"    {at - self.begun:8.3f} {text}" for at, text in near[-80:])

    def report(self, found: list[tuple[float, str, str]]) -> str:
        """The violations, each with the timeline around it (the first few)."""
        parts = []
        for number, (when, path, text) in enumerate(found):
            parts.append(f"{when - self.begun:8.3f} {path}: {text}")
            if number < 3:
                parts.append(self.timeline(when, path))
        return "\n".join(parts)

    # What may be concluded

    def violations(self, final: Final, children: dict[str, list[str]]) -> list[tuple[float, str, str]]:
        """Every broken promise: when, of which node, and what.

        final: data and Stat of every node at the end.   children: names below the directories at the end.
        """
        found = list(self.broken)
        found += self._hung()
        found += self._creates(final)
        found += self._registers(final)
        found += self._transactions(final)
        found += self._sequences(children)
        found += self._order()
        found += self._locks()
        return sorted(found)

    def _of(self, *kinds: str) -> Iterator[Op]:
        return (op for op in self.ops if op.kind in kinds)

    def _hung(self) -> Iterator[tuple[float, str, str]]:
        for op in self.ops:
            if op.end is None or op.seconds > LONGEST:
                yield op.begin, op.path, f"{op.worker}: {op.kind} took {op.seconds:.1f} s (ended: {op.end is not None})"

    def _creates(self, final: Final) -> Iterator[tuple[float, str, str]]:
        deletes = {op.path: op for op in self._of("delete")}
        for op in self._of("create"):
            there = op.path in final
            delete = deletes.get(op.path)
            if delete is None:
                if op.applied and not there:
                    yield op.begin, op.path, "its create was answered, and it is not there: a lost write"
                if op.outcome is NOT_APPLIED and there:
                    yield op.begin, op.path, f"its create was answered 'not applied' ({op.detail}), and it is there"
            else:
                if delete.applied and there:
                    yield delete.begin, op.path, "its delete was answered, and it is there: a lost write"
                if delete.outcome is NOT_APPLIED and op.applied and not there:
                    yield delete.begin, op.path, f"its delete was 'not applied' ({delete.detail}), and it is gone"

    def _registers(self, final: Final) -> Iterator[tuple[float, str, str]]:
        writes = [op for op in self._of("set", "cas", "guarded", "multi") if op.path]
        by_path: dict[str, list[Op]] = defaultdict(list)
        for op in writes:
            by_path[op.path].append(op)
        refused = {(op.path, op.value): op for op in writes if op.outcome is NOT_APPLIED and op.kind != "guarded"}
        known: dict[tuple[str, int], Op] = {}
        for op in writes:
            if op.applied and op.stat is not None:
                other = known.setdefault((op.path, op.stat.version), op)
                if other is not op:
                    yield op.begin, op.path, f"{op.worker} and {other.worker} both made version {op.stat.version}"
        for path, ops in by_path.items():
            if path not in final:
                continue
            version = final[path][1].version
            applied = sum(op.applied for op in ops)
            unknown = sum(op.outcome is UNKNOWN for op in ops)
            if not applied <= version <= applied + unknown:
                yield (
                    ops[-1].begin,
                    path,
                    f"version {version} after {applied} writes that were applied and {unknown} of unknown outcome",
                )
        seen = [(op.begin, op.path, op.value, op.stat) for op in self._of("get") if op.applied]
        seen += [(ops[-1].begin, path, *final[path]) for path, ops in by_path.items() if path in final]
        for when, path, value, stat in seen:
            if (path, value) in refused:
                yield when, path, f"{value!r} was seen, whose write was 'not applied' ({refused[path, value].detail})"
            writer = known.get((path, stat.version)) if stat is not None else None
            if writer is not None and writer.value != value:
                yield when, path, f"{value!r} was seen at version {stat.version}, which is {writer.value!r}: lost"

    def _transactions(self, final: Final) -> Iterator[tuple[float, str, str]]:
        for op in self._of("multi"):
            there = [path in final for path in op.detail.split()[:2]]
            if any(there) != all(there):
                yield op.begin, op.path, f"half of a transaction is there: {op.detail} {there}"
            if op.applied and not all(there):
                yield op.begin, op.path, f"a transaction was answered, and is not there: {op.detail}"
            if op.outcome is NOT_APPLIED and any(there):
                yield op.begin, op.path, f"a transaction was 'not applied', and is there: {op.detail}"

    def _sequences(self, children: dict[str, list[str]]) -> Iterator[tuple[float, str, str]]:
        made: dict[str, Op] = {}
        for op in self._of("sequential"):
            directory, _, prefix = op.path.rpartition("/")
            name = op.detail.rpartition("/")[2] if op.applied else ""
            mine = [child for child in children.get(directory, ()) if child.startswith(prefix)]
            other = made.setdefault(op.detail, op) if op.applied else op
            if other is not op:
                yield op.begin, op.path, f"{op.detail} was given twice"
            if op.outcome is NOT_APPLIED and mine:
                yield op.begin, op.path, f"'not applied' ({op.detail}), and {mine} is there"
            if len(mine) > 1 or (op.applied and mine not in ([], [name])):
                yield op.begin, op.path, f"one call made {mine}, and was answered {name!r}"

    def _order(self) -> Iterator[tuple[float, str, str]]:
        """Within a session, what begins after something has ended sees at least as new a version."""
        by_node: dict[tuple[str, int, str], list[Op]] = defaultdict(list)
        for op in self._of("get", "set", "cas", "multi"):
            if op.applied and op.stat is not None and op.session is not None and op.end is not None:
                by_node[op.client, op.session, op.path].append(op)
        for ops in by_node.values():
            ended: list[tuple[float, int]] = []
            newest = -1
            for op in sorted(ops, key=lambda op: op.begin):
                assert op.stat is not None
                while ended and ended[0][0] < op.begin:
                    newest = max(newest, heapq.heappop(ended)[1])
                if op.stat.version < newest:
                    yield op.begin, op.path, f"{op.worker} read version {op.stat.version} after version {newest}"
                heapq.heappush(ended, (op.end or 0.0, op.stat.version))

    def _locks(self) -> Iterator[tuple[float, str, str]]:
        for one, next_one in pairwise(sorted(self.holds, key=lambda hold: hold.first)):
            if next_one.first < one.last:
                yield next_one.first, "lock", f"{next_one.worker} held it while {one.worker} did (until {one.last})"
            if next_one.token <= one.token:
                yield next_one.first, "lock", f"token {next_one.token} of {next_one.worker} came after {one.token}"
        guarded = [op for op in self._of("guarded") if op.applied and op.stat is not None]
        for op, later in pairwise(sorted(guarded, key=lambda op: op.stat.mzxid if op.stat else 0)):
            if token_of(later.value) < token_of(op.value):
                yield later.begin, later.path, f"{later.value!r} was written after {op.value!r}, whose lock is newer"


def token_of(value: bytes) -> int:
    """The fencing token in what a lock's holder writes."""
    return int(value.split()[0])


def totals(counts: Iterable[Counter[str]]) -> Counter[str]:
    """The sum of several rounds."""
    total: Counter[str] = Counter()
    for count in counts:
        total += count
    return total
