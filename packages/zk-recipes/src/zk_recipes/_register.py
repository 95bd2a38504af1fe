"""One node's data, read and replaced so that every replacement counts once.

Rule: a replacement names the version it replaces, and its outcome is decided (`_deciding`) before anything is read
again; so nobody takes his own write for a rival's and writes a second time. Exactly one write takes a version to the
next: after the end of a session, what stands there at that version, and is not ours, proves that ours was refused.

A version of -1 means "any" to a server, and real ones up to 3.9 count over it (after 2**32 writes). There the
replacement also creates a node named by the zxid of what it replaces, which only one can do: among those who do so,
and kazoo does not, it is conditional all the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from zk_client import TransactionFailedError
from zk_wire import (
    BadVersionError,
    Create2Request,
    CreateMode,
    CreateRequest,
    CreateResult,
    NodeExistsError,
    NoNodeError,
    SetDataRequest,
    SetDataResult,
    ZooKeeperError,
    join_path,
    parent_path,
)

from ._deciding import MARKERS, commit, ensure, is_undecided, may_be_proved
from ._settling import catch_up
from ._waiting import PASSING, WAITING, Patience
from .errors import UndecidedError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from zk_client import Operation, OperationResult, Port
    from zk_wire import Stat

# The version that no request can ask for.
_ANY = -1


class Reading(NamedTuple):
    """A node's data at one moment. mzxid: names the moment; None when the write that made it lost its reply."""

    data: bytes
    version: int
    czxid: int | None
    mzxid: int | None

    @classmethod
    def of(cls, data: bytes | None, stat: Stat) -> Reading:
        """From what a server says."""
        return cls(data or b"", stat.version, stat.czxid, stat.mzxid)


class Register:
    """The data of one node."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._markers = path + MARKERS

    async def read(self, port: Port) -> Reading | None:
        """Read it; None when there is no such node."""
        try:
            return Reading.of(*await port.get(self.path))
        except NoNodeError:
            return None

    async def replace(self, patience: Patience, data: bytes, seen: Reading | None) -> Reading | None:
        """Replace what was seen, or create the node when none was; None when somebody else was faster.

        Raises errors of the connection, after which it was not replaced; UndecidedError; and what no other try would
        change.
        """
        port = patience.port
        operations = self._operations(data, seen)
        session_id = port.session_id
        try:
            results = await commit(port, operations, self._markers)
        except TransactionFailedError as refused:
            if isinstance(refused.error, (BadVersionError, NodeExistsError)):
                return None
            if isinstance(refused.error, NoNodeError):
                if seen is None:
                    await ensure(port, parent_path(self.path))
                elif refused.index == 0 and len(operations) > 1:
                    await ensure(port, self._markers)
                return None
            raise refused.error from refused
        except PASSING as error:
            if not is_undecided(error):
                raise
            # A node that was not there, and is, may be the second one since: after ours, which somebody has deleted.
            if seen is not None and may_be_proved(port, session_id) and await self._shows_refusal(patience, data, seen):
                return None
            raise UndecidedError(self.path, "a write") from error
        return self._written(data, seen, results)

    def _operations(self, data: bytes, seen: Reading | None) -> Sequence[Operation]:
        if seen is None:
            return [Create2Request(self.path, data, (), CreateMode.PERSISTENT)]
        write = SetDataRequest(self.path, data, seen.version)
        if seen.version != _ANY:
            return [write]
        turn = join_path(self._markers, f"turn-{seen.mzxid or 0:016x}")
        return [CreateRequest(turn, b"", (), CreateMode.PERSISTENT), write]

    def _written(self, data: bytes, seen: Reading | None, results: Sequence[OperationResult] | None) -> Reading:
        if results is not None:
            result = results[-1]
            if isinstance(result, (SetDataResult, CreateResult)) and result.stat is not None:
                return Reading.of(data, result.stat)
        if seen is None:
            return Reading(data, 0, None, None)
        return Reading(data, (seen.version + 1 + 2**31) % 2**32 - 2**31, seen.czxid, None)

    async def _shows_refusal(self, patience: Patience, data: bytes, seen: Reading) -> bool:
        """Whether the node itself shows that the write was refused."""
        try:
            now = await self._read_again(patience)
        except ZooKeeperError:
            return False  # whatever ended the search: the write is what is in doubt
        return (
            now is not None
            and now.czxid == seen.czxid
            and (now.version == seen.version or (now.version == seen.version + 1 and now.data != data))
        )

    async def _read_again(self, patience: Patience) -> Reading | None:
        while True:
            patience.check()
            try:
                if patience.port.state not in WAITING:
                    await catch_up(patience.port)
                    return await self.read(patience.port)
                await patience.sleep()
            except PASSING:
                await patience.pause()
