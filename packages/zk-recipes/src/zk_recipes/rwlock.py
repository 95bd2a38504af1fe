"""Locks for many readers or one writer, in one fair queue, and the way from writing to reading.

Rule: a writer waits for everybody before it, a reader for the writers before it. A writer becomes a reader by one
transaction, which creates a reader's node with the writer's number and deletes the writer's node: at no moment is the
place free, and the number keeps it before every writer that waits.

Layout (kazoo's, if no other ``naming`` is given): ``<path>/<GUID>__rlock__<number>`` for readers,
``<path>/<GUID>__lock__<number>`` for writers, ephemeral; data: the identifier in UTF-8.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from zk_client import Face, TransactionFailedError, attribute, blocking
from zk_wire import (
    BadVersionError,
    CreateMode,
    CreateRequest,
    DeleteRequest,
    NoNodeError,
    Outcome,
    join_path,
    split_path,
)

from ._holding import OwnNode
from ._sequence import is_at_the_end
from ._settling import commit_witnessed
from ._waiting import PASSING
from .errors import LockInUseError, LockLostError, LockUpgradeError, NumbersExhaustedError
from .lock import AsyncLock, Lock
from .naming import READ_WRITE_LOCKS, ReadWriteNaming, chosen

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from zk_client import HasPort


class AsyncReadLock(AsyncLock):
    """A reader's lock: held together with other readers, never together with a writer.

    Everything else is as with AsyncLock, and so are the parameters.
    naming: "kazoo", "curator", or a `ReadWriteNaming` of ones own.

    What holds, each with the test that keeps it:

    - No writer holds together with anybody else, whatever goes wrong: ``test_never_a_writer_beside_anybody``.
    - Nobody is overtaken: a reader waits for the writers before it, a writer for all before it:
      ``test_readers_and_writers_are_served_in_the_order_they_joined``.
    - A release wakes the next writer, or the readers that wait for this very writer, and nobody else:
      ``test_a_release_wakes_only_those_whose_turn_it_is``.
    - kazoo's ReadLock and WriteLock on the same path take part: ``test_our_readers_and_writers_respect_kazoos``,
      ``test_kazoos_readers_and_writers_respect_ours``.

    The `token` of a reader is greater than that of every writer before it. Fence *writes* with it, never reads: readers
    hold together, and the one that came first has the smaller token.
    """

    def __init__(
        self,
        client: HasPort,
        path: str,
        identifier: str | None = None,
        extra_lock_patterns: Sequence[str] = (),
        *,
        naming: str | ReadWriteNaming = "kazoo",
        on_lost: Callable[[], object] | None = None,
    ) -> None:
        names = chosen(naming, READ_WRITE_LOCKS, ReadWriteNaming).also(extra_lock_patterns)
        everybody = names.read.also((names.write.marker, *names.write.others))
        super().__init__(client, path, identifier, naming=everybody, on_lost=on_lost)
        self._queue.rivals = names.write


class AsyncWriteLock(AsyncLock):
    """A writer's lock: held alone, with neither readers nor writers beside it.

    Parameters and what holds: as with AsyncReadLock.
    """

    def __init__(
        self,
        client: HasPort,
        path: str,
        identifier: str | None = None,
        extra_lock_patterns: Sequence[str] = (),
        *,
        naming: str | ReadWriteNaming = "kazoo",
        on_lost: Callable[[], object] | None = None,
    ) -> None:
        names = chosen(naming, READ_WRITE_LOCKS, ReadWriteNaming).also(extra_lock_patterns)
        everybody = names.write.also((names.read.marker, *names.read.others))
        super().__init__(client, path, identifier, naming=everybody, on_lost=on_lost)


class _Reader(AsyncReadLock):
    """The reading side of one contender."""

    _partner: AsyncLock

    def _take_permit(self) -> None:
        if not self._permit and self._partner._give_up_what_is_lost():
            return
        super()._take_permit()


class _Writer(AsyncWriteLock):
    """The writing side of one contender."""

    _partner: AsyncLock

    def _take_permit(self) -> None:
        if not self._permit and self._partner._give_up_what_is_lost():
            return
        try:
            super()._take_permit()
        except LockInUseError:
            if self._partner.is_acquired:
                raise LockUpgradeError(self._path) from None
            raise


class AsyncReadWriteLock:
    """One contender that reads or writes: `read_lock`, `write_lock`, and the way from the second to the first.

    client: whatever has a port.   path: the node under which contenders queue, created when missing.
    identifier: who waits, for people and `contenders`; kept in the contender's node.
    extra_lock_patterns: markers of other implementations whose nodes compete as well, as writers do.
    naming: "kazoo", "curator", or a `ReadWriteNaming` of ones own.
    on_lost: called once when what is held is lost, as with AsyncLock.

    What holds beside the promises of AsyncReadLock, each with the test that keeps it:

    - A writer that becomes a reader is overtaken by nobody, at no moment, and keeps its token; whatever goes wrong
      meanwhile, it reads, writes, or holds nothing: ``test_a_downgrade_is_never_overtaken_whatever_goes_wrong``.
    - Readers that waited behind the writer join it: ``test_readers_behind_a_downgraded_writer_join_it``.
    - The other way round is refused at once, because a reader that waits to write would wait for itself:
      ``test_a_reader_that_wants_to_write_is_refused_at_once``.
    """

    def __init__(
        self,
        client: HasPort,
        path: str,
        identifier: str | None = None,
        extra_lock_patterns: Sequence[str] = (),
        *,
        naming: str | ReadWriteNaming = "kazoo",
        on_lost: Callable[[], object] | None = None,
    ) -> None:
        self._port = client.port
        self._path = path
        self._naming = chosen(naming, READ_WRITE_LOCKS, ReadWriteNaming)
        self._reader = _Reader(client, path, identifier, extra_lock_patterns, naming=naming, on_lost=on_lost)
        self._writer = _Writer(client, path, identifier, extra_lock_patterns, naming=naming, on_lost=on_lost)
        self._reader._partner, self._writer._partner = self._writer, self._reader
        # One contender: whoever reads or writes, or is about to, has taken the one element.
        self._writer._permit = self._reader._permit

    def __repr__(self) -> str:
        state = "read" if self._reader.is_acquired else "written" if self._writer.is_acquired else "not held"
        return f"<{type(self).__name__} {self._path!r} {state}>"

    @property
    def path(self) -> str:
        """The node under which contenders queue."""
        return self._path

    @property
    def read_lock(self) -> AsyncReadLock:
        """The reading side; LockInUseError where it is acquired while this contender writes: see `downgrade`."""
        return self._reader

    @property
    def write_lock(self) -> AsyncWriteLock:
        """The writing side; LockUpgradeError where it is acquired while this contender reads."""
        return self._writer

    async def downgrade(self) -> None:
        """Go from writing to reading without letting anybody write in between; one round trip.

        Afterwards `read_lock` is held, for its `release` to give up, and `write_lock` is not: a ``with`` of it that is
        still open has nothing to release. The token stays what it was.
        Raises LockLostError when `write_lock` is not held or turns out to be lost; NumbersExhaustedError, with which it
        is still held, where the server has no numbers left that keep a place. Raises the client's errors when the
        server could not be asked: where their outcome is NOT_APPLIED, `write_lock` is still held; else nothing is.
        """
        port, reader, writer = self._port, self._reader, self._writer
        old = writer._held()
        guard = old.guard()
        number = writer._queue.number_of(old.node)
        if is_at_the_end(number):
            # Those who wait have such numbers too, so ours would not keep the place.
            raise NumbersExhaustedError(self._path)
        secret = port.guid()
        path = join_path(split_path(old.node.path)[0], f"{self._naming.read.prefix(secret)}{number:010d}")
        # The writer's token, which is less than that of the writers that wait.
        new = OwnNode(path, self._naming.read.head(secret), old.node.session_id, old.node.czxid, 0)
        if not old.end():
            raise LockLostError(self._path, "it was lost or released meanwhile")
        writer._holding = None
        old.wake.set()
        kept: AsyncLock | None = None
        try:
            await commit_witnessed(
                port,
                [
                    CreateRequest(path, reader.identifier.encode(), (), CreateMode.EPHEMERAL),
                    DeleteRequest(guard.path, guard.version),
                ],
                path,
                old.node.session_id,
            )
            reader._hold(new)
            kept = reader
        except TransactionFailedError as refused:
            if not isinstance(refused.error, (NoNodeError, BadVersionError)):
                writer._hold(old.node)
                kept = writer
                raise
            raise LockLostError(self._path, "its node is gone or was changed by a stranger") from refused
        except PASSING as error:
            if error.outcome is Outcome.NOT_APPLIED:
                writer._hold(old.node)
                kept = writer
            raise
        finally:
            if kept is None:
                reader._queue.abandon(new.guid, new.session_id)
                writer._queue.abandon(old.node.guid, old.node.session_id)
                reader._permit.append(None)
        if not reader.is_acquired:
            raise LockLostError(self._path, "its lease ended, or its session did")


class ReadLock(Lock):
    """A reader's lock (threads and gevent): held together with other readers, never together with a writer.

    The parameters are those of Lock. naming: "kazoo", "curator", or a `ReadWriteNaming` of ones own.

    The blocking face of AsyncReadLock, whose docstring lists what holds.
    """

    def __init__(
        self,
        client: HasPort,
        path: str,
        identifier: str | None = None,
        extra_lock_patterns: Sequence[str] = (),
        *,
        naming: str | ReadWriteNaming = "kazoo",
        on_lost: Callable[[], object] | None = None,
    ) -> None:
        super(Lock, self).__init__(
            AsyncReadLock(client, path, identifier, extra_lock_patterns, naming=naming, on_lost=on_lost)
        )


class WriteLock(Lock):
    """A writer's lock (threads and gevent): held alone, with neither readers nor writers beside it.

    The parameters are those of Lock. naming: "kazoo", "curator", or a `ReadWriteNaming` of ones own.

    The blocking face of AsyncWriteLock.
    """

    def __init__(
        self,
        client: HasPort,
        path: str,
        identifier: str | None = None,
        extra_lock_patterns: Sequence[str] = (),
        *,
        naming: str | ReadWriteNaming = "kazoo",
        on_lost: Callable[[], object] | None = None,
    ) -> None:
        super(Lock, self).__init__(
            AsyncWriteLock(client, path, identifier, extra_lock_patterns, naming=naming, on_lost=on_lost)
        )


class ReadWriteLock(Face[AsyncReadWriteLock]):
    """One contender that reads or writes: `read_lock`, `write_lock`, and the way from the second to the first.

    client: whatever has a port, for example a Client.
    path: the node under which contenders queue, created when missing.
    identifier: who waits, for people and `contenders`; kept in the contender's node.
    extra_lock_patterns: markers of other implementations whose nodes compete as well, as writers do.
    naming: "kazoo", "curator", or a `ReadWriteNaming` of ones own.
    on_lost: called once when what is held is lost, as with Lock.

    The blocking face of AsyncReadWriteLock, whose docstring lists what holds.
    """

    def __init__(
        self,
        client: HasPort,
        path: str,
        identifier: str | None = None,
        extra_lock_patterns: Sequence[str] = (),
        *,
        naming: str | ReadWriteNaming = "kazoo",
        on_lost: Callable[[], object] | None = None,
    ) -> None:
        body = AsyncReadWriteLock(client, path, identifier, extra_lock_patterns, naming=naming, on_lost=on_lost)
        super().__init__(body)
        self._reader = ReadLock.__new__(ReadLock)
        self._writer = WriteLock.__new__(WriteLock)
        super(Lock, self._reader).__init__(body.read_lock)
        super(Lock, self._writer).__init__(body.write_lock)

    downgrade = blocking(AsyncReadWriteLock.downgrade)
    path = attribute(AsyncReadWriteLock, lambda lock: lock.path)

    @property
    def read_lock(self) -> ReadLock:
        """The reading side; LockInUseError where it is acquired while this contender writes: see `downgrade`."""
        return self._reader

    @property
    def write_lock(self) -> WriteLock:
        """The writing side; LockUpgradeError where it is acquired while this contender reads."""
        return self._writer
