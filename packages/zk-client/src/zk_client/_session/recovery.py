"""What became of a write whose reply was lost: questions for the server, and the verdict.

Rule: nothing here guesses. A verdict of applied or not applied follows from facts the server states; where they
leave room for another writer, the verdict is unknown.

The connection ended after a write went out. The next connection of the same session has a transaction that changes
nothing agreed on by the quorum (a check of the root), and then reads the nodes concerned: they show all that was
committed before. `sync` would not do, because a leader that was deposed and has not noticed yet answers it by itself,
and shows a past in which the write never was (protocol notes 11.6). The old connection can do no more harm: the server
closes it, or refuses its writes, once the session has moved (protocol notes 2.2 step 7 and 2.4). Three facts are
proofs:

- **The baseline.** Replies come in order, so the highest zxid this session has seen in a reply is lower than that
  of the lost write. What was last changed at or before the baseline was not changed by the write; in
  particular a parent whose pzxid is not above it has gained and lost no child since. (Unless the parent has had as
  many children as a server counts: from then on the pzxid stands still where one is created, protocol notes 7.2.)
- **The owner.** An ephemeral node that names this session, created after the baseline, was made by the lost create,
  if this session had no other create under way that could have made it.
- **The name.** A name the caller made unique (a GUID of its own) can only have been created by this call; and nobody
  else deletes an ephemeral node of such a name while its session lives, which is part of the caller's promise. One
  that is not ephemeral may have been created and deleted again, by whoever consumes it.

An investigation is a generator: it yields requests, is sent their answers, and returns the verdict.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence

from zk_wire import (
    BadVersionError,
    CreateMode,
    NodeExistsError,
    NoNodeError,
    Outcome,
    Stat,
    join_path,
    split_path,
    strip_chroot,
)

from .. import _wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NamedTuple

    from zk_wire import Request
else:
    from .._typing import NamedTuple

NO_NODE = NoNodeError.code
NODE_EXISTS = NodeExistsError.code
BAD_VERSION = BadVersionError.code
# How many sequential siblings are looked at before an ephemeral one is called unknown.
MOST_CANDIDATES = 64
# cversion + children, in 32 bits, of a node that has had 2147483647 children.
EXHAUSTED = 2 * (2**31 - 1)


class Situation(NamedTuple):
    """What is known when the connection is back.

    baseline: highest zxid seen in a reply before the write was lost.   session_id: the session, still alive.
    alone: whether no other lost write of this session may have made, or deleted, a node of the same name.
    """

    baseline: int
    session_id: int
    alone: bool


class Answer(NamedTuple):
    """The reply to a question: an error code (0 = OK) and the response record."""

    error: int
    reply: Any


class Verdict(NamedTuple):
    """The outcome; with it the call's reply (when applied), or the error code that holds either way."""

    outcome: Outcome
    reply: Any = None
    code: int = 0


UNKNOWN = Verdict(Outcome.UNKNOWN)
NOT_APPLIED = Verdict(Outcome.NOT_APPLIED)

Investigation = Generator["Sequence[Request[Any]]", "Sequence[Answer]", Verdict]


class Recovery:
    """How to find out about one kind of write; the base class finds out nothing."""

    __slots__ = ()

    def investigate(self, situation: Situation) -> Investigation:
        """Ask and conclude."""
        return UNKNOWN
        yield ()

    def rivals(self) -> frozenset[str]:
        """Names of nodes this write may create or delete, to tell it from others under way."""
        return frozenset()

    def proofs(self) -> frozenset[str]:
        """The names among them by which it is recognised."""
        return self.rivals()

    @property
    def leaves(self) -> bool:
        """Whether it may make a node that nobody knows of but who sees its reply."""
        return False

    def left_behind(self, reply: Any) -> str | None:
        """That node, by the user's path.

        reply: of a write that was applied; None for one that may have been.
        """
        return None


UNTELLABLE = Recovery()


class CreateRecovery(Recovery):
    """A create: by its czxid, its owner or its unique name."""

    __slots__ = ("chroot", "mode", "path", "unique", "with_stat")

    def __init__(self, path: str, mode: int, *, unique: bool, with_stat: bool, chroot: str = "") -> None:
        self.path = path
        self.chroot = chroot
        self.mode = CreateMode(mode)
        self.unique = unique
        self.with_stat = with_stat

    def rivals(self) -> frozenset[str]:
        return names_of(self.path, sequential=self.mode.is_sequential)

    @property
    def leaves(self) -> bool:
        return self.mode.is_sequential

    def left_behind(self, reply: Any) -> str | None:
        if reply is None or not self.leaves:
            return None
        path: str = reply if isinstance(reply, str) else reply[0]
        return path

    def investigate(self, situation: Situation) -> Investigation:
        if self.mode.is_sequential:
            return (yield from self._among_siblings(situation))
        node, above = yield [
            _wire.ExistsRequest(self.path, False),
            _wire.ExistsRequest(split_path(self.path)[0], False),
        ]
        if node.error == NO_NODE:
            return NOT_APPLIED if self._stays(situation) or untouched(above, situation) else UNKNOWN
        if node.error:
            return UNKNOWN
        stat: Stat = node.reply.stat
        if stat.czxid <= situation.baseline:
            return Verdict(Outcome.NOT_APPLIED, code=NODE_EXISTS)
        if self._is_ours(stat, situation):
            return self._applied(self.path, stat)
        return UNKNOWN

    def _among_siblings(self, situation: Situation) -> Investigation:
        parent, prefix = split_path(self.path)
        (listing,) = yield [_wire.GetChildren2Request(parent, False)]
        if listing.error:
            return NOT_APPLIED if self._stays(situation) and listing.error == NO_NODE else UNKNOWN
        if childless_since(listing.reply.stat, situation.baseline):
            return NOT_APPLIED
        candidates = [name for name in listing.reply.children if is_sequel(name, prefix)]
        if self._stays(situation) and not candidates:
            return NOT_APPLIED
        if not candidates or not (self.unique or self.mode.is_ephemeral) or len(candidates) > MOST_CANDIDATES:
            return UNKNOWN
        paths = [join_path(parent, name) for name in candidates]
        answers = yield [_wire.ExistsRequest(path, False) for path in paths]
        ours = [
            (path, answer.reply.stat)
            for path, answer in zip(paths, answers, strict=True)
            if not answer.error
            and answer.reply.stat.czxid > situation.baseline
            and self._is_ours(answer.reply.stat, situation)
        ]
        if len(ours) == 1:
            return self._applied(*ours[0])
        return UNKNOWN

    def _stays(self, situation: Situation) -> bool:
        """Whether the node, once created, is certainly still there."""
        return self.unique and self.mode.is_ephemeral and situation.alone

    def _is_ours(self, stat: Stat, situation: Situation) -> bool:
        if self.mode.is_ephemeral:
            return stat.ephemeral_owner == situation.session_id and (self.unique or situation.alone)
        return self.unique

    def _applied(self, path: str, stat: Stat) -> Verdict:
        shown = strip_chroot(self.chroot, path) or path
        return Verdict(Outcome.APPLIED, (shown, stat) if self.with_stat else shown)


class SetRecovery(Recovery):
    """A set: by its mzxid, and for a conditional one by what took its version."""

    __slots__ = ("data", "path", "version")

    def __init__(self, path: str, data: bytes | None, version: int) -> None:
        self.path = path
        self.data = data
        self.version = version

    def investigate(self, situation: Situation) -> Investigation:
        node, above = yield [
            _wire.GetDataRequest(self.path, False),
            _wire.ExistsRequest(split_path(self.path)[0], False),
        ]
        if node.error == NO_NODE:
            if untouched(above, situation):
                return Verdict(Outcome.NOT_APPLIED, code=NO_NODE)
            return UNKNOWN
        if node.error:
            return UNKNOWN
        stat: Stat = node.reply.stat
        if stat.mzxid <= situation.baseline:
            return NOT_APPLIED
        # Exactly one write takes version v to v + 1. If it wrote other bytes, it was not this one.
        if 0 <= self.version == stat.version - 1 and stat.czxid <= situation.baseline and node.reply.data != self.data:
            return Verdict(Outcome.NOT_APPLIED, code=BAD_VERSION)
        return UNKNOWN


class DeleteRecovery(Recovery):
    """A delete: by the node still being there, or by its parent not having lost a child."""

    __slots__ = ("path",)

    def __init__(self, path: str) -> None:
        self.path = path

    def rivals(self) -> frozenset[str]:
        return names_of(self.path, sequential=False)

    def investigate(self, situation: Situation) -> Investigation:
        node, above = yield [
            _wire.ExistsRequest(self.path, False),
            _wire.ExistsRequest(split_path(self.path)[0], False),
        ]
        if node.error == NO_NODE:
            # It is gone; by whom is known only when nobody can have deleted it meanwhile.
            gone_before = untouched(above, situation)
            return Verdict(Outcome.NOT_APPLIED if gone_before else Outcome.UNKNOWN, code=NO_NODE)
        if not node.error and node.reply.stat.czxid <= situation.baseline:
            return NOT_APPLIED
        return UNKNOWN


def untouched(above: Answer, situation: Situation) -> bool:
    """Whether the parent has gained and lost no child since the baseline."""
    return not above.error and childless_since(above.reply.stat, situation.baseline)


def childless_since(stat: Stat, zxid: int) -> bool:
    """Whether a node has certainly gained and lost no child since this zxid."""
    return stat.pzxid <= zxid and (stat.cversion + stat.num_children) % 2**32 != EXHAUSTED


def is_sequel(name: str, prefix: str) -> bool:
    """Whether a child's name is the prefix and a sequence number of the server's making (`%010d` of an int32)."""
    number = name[len(prefix) :]
    digits = number.removeprefix("-")
    if not (name.startswith(prefix) and digits.isascii() and digits.isdigit()):
        return False
    return len(number) == 10 or (len(number) == 11 and number != digits)


def names_of(path: str, *, sequential: bool) -> frozenset[str]:
    """What tells a write's node from those of others: its path, or what precedes the number in it.

    A node of a number given by the client may be taken for one the server numbered, so it counts as both.
    """
    if sequential:
        return frozenset((path.rstrip("-") + "#",))
    if len(path) - len(path.rstrip("0123456789")) >= 9:
        return frozenset((path, path[:-10].rstrip("-") + "#"))
    return frozenset((path,))
