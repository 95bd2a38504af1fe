"""A node that is kept in existence: created again when it is deleted, and in every new session.

Rule: the server is looked at, and what it shows decides. A node is ours when the session that owns it is the one we are
in and we created it (by its creation zxid, or because a create of ours in this session has an unknown outcome). A node
of anybody else, of our own earlier session too, is neither taken for ours nor deleted: we wait until it is gone.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from zk_client import Face, SessionClosedError, SessionState, attribute, blocking, direct, run_blocking
from zk_wire import (
    BadVersionError,
    EventType,
    NodeExistsError,
    NoNodeError,
    NotEmptyError,
    Outcome,
    ServerError,
    ZooKeeperError,
    check_path,
)

from ._attending import Attendant, Member
from ._waiting import FIRST_PAUSE, LONGEST_PAUSE, PASSING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Self

    from zk_client import HasPort, PortWatcher
    from zk_wire import ACL, Stat

log = logging.getLogger(__name__)

# Seconds for which `close` waits for the server; after that it goes on in the background.
CLOSE_BOUND = 5.0
# Seconds between two tries where the server refuses: it may change its mind, and no event would tell.
_REFUSED_PAUSE = 30.0


class AsyncPersistentNode(Member):
    """A node that is kept in existence while this is open (asyncio, and every other port that suspends).

    client: whatever has a port.   path: the node; missing parents are created, and come back empty.
    data: what the node holds; an ephemeral node that a stranger changed gets it back.
    ephemeral: owned by the session, and created again in the next one. False: whatever persistent node is there is as
    good as ours; `close` deletes only one that we created (after a lost reply: one with our data, never changed).
    acl: of the node (and of parents that are created); None for the client's default.

    Use one object for one path in one client. All of a client's together cost one task (under threads: one thread).

    What holds, each with the test that keeps it:

    - Deleted by a stranger, alone or with its parents, or gone with its session, the node comes back; nothing of this
      needs the application: ``test_members_come_back_whatever_goes_wrong``.
    - A node of somebody else is never taken for ours, nor deleted, also one of our own expired session:
      ``test_a_node_of_another_session_is_waited_for_and_never_touched``.
    - Closed, it leaves no node, also after lost replies and while the connection was away: first test, and
      ``test_closing_without_a_connection_returns_at_once_and_is_finished_later``.
    - `exists` is not true after the lease deadline, nor in another session: first test.
    """

    def __init__(
        self,
        client: HasPort,
        path: str,
        data: bytes = b"",
        *,
        ephemeral: bool = True,
        acl: Sequence[ACL] | None = None,
    ) -> None:
        check_path(path)
        _check_data(data)
        self._path = path
        self._port = client.port
        self._attendant = Attendant.of(client, "nodes")
        self._data = data
        self._ephemeral = ephemeral
        self._acl = acl
        self._stat: Stat | None = None  # of our node, while it is there
        self._created: int | None = None  # the creation zxid of the node that we created last
        self._unknown_in: int | None = None  # the session in which a create may have been applied
        self._watcher: PortWatcher | None = None
        self._again_at: float | None = None
        self._pause = FIRST_PAUSE
        self._started = False
        self._closing = False
        self._error: Exception | None = None
        self._landed = client.port.event()  # it was there once, or never will be
        self._ended = client.port.event()
        self._busy = [None]

    def __repr__(self) -> str:
        state = "closed" if self._closing else "there" if self.exists else "not there"
        return f"<{type(self).__name__} {self._path!r} {state if self._started else 'not started'}>"

    @property
    def path(self) -> str:
        """The node."""
        return self._path

    @property
    def data(self) -> bytes:
        """What the node holds, or is about to."""
        return self._data

    @property
    def exists(self) -> bool:
        """Whether our node is there, as far as can be known without asking the server."""
        stat = self._stat
        if stat is None:
            return False
        port = self._port
        return not self._ephemeral or (stat.ephemeral_owner == port.session_id and port.lease_remaining > 0)

    @property
    def token(self) -> int | None:
        """The zxid at which our node was created, greater for each one; None while it is not there."""
        stat = self._stat
        return stat.czxid if stat is not None and self.exists else None

    async def start(self) -> Self:
        """Begin to keep the node in existence, beside the caller; `wait` returns when it is there.

        Once for each object: a second call raises ValueError.
        """
        if self._started:
            message = f'the node "{self._path}" was started before: make another object'
            raise ValueError(message)
        self._started = True
        self._again_at = self._port.now()
        self._attendant.enroll(self)
        return self

    async def wait(self, timeout: float | None = None) -> bool:
        """Wait until our node has been there; False when *timeout* seconds go by first, and it is still tried then.

        Raises what keeps the first one from being created: SessionClosedError when this or its client was closed, the
        error of a server that refuses (no permission, a parent that is ephemeral); nothing is tried any more then.
        """
        if not self._started:
            message = f'the node "{self._path}" was not started'
            raise SessionClosedError(message)
        if not await self._landed.wait(timeout):
            return False
        if self._error is not None:
            raise self._error
        return True

    def update(self, data: bytes) -> None:
        """Have the node hold other data, now and whenever it is created again. Returns at once."""
        _check_data(data)
        self._data = data
        self._again_at = self._port.now()
        self._attendant.wake.set()

    async def close(self) -> bool:
        """Keep the node no longer, and delete it if we created it; True when it is gone.

        Waits at most five seconds for the server; without a connection it returns False at once. What could not be
        done is finished in the background, at the latest with the end of the session.
        """
        self._closing = True
        if not self._started:
            self._ended.set()
            return True
        self._again_at = self._port.now()
        self._attendant.wake.set()
        if not self._ended.is_set() and not self._port.state.is_connected:
            return False
        return await self._ended.wait(CLOSE_BOUND)

    async def __aenter__(self) -> Self:
        """Start, and wait until the node is there."""
        await self.start()
        try:
            await self.wait()
        except BaseException:
            await self._port.shielded(self.close())
            raise
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close."""
        await self.close()

    # For the worker

    def due(self) -> float | None:
        """When the node has to be looked at again."""
        if self._watcher is not None and self._watcher.event is not None:
            return self._port.now()
        return self._again_at

    async def attend(self) -> None:
        """Look at the node and do what it needs."""
        self._again_at = None
        watcher, self._watcher = self._watcher, None
        event = None if watcher is None else watcher.event
        try:
            if watcher is not None and event is None:
                await self._port.shielded(watcher.close())
            if event is not None and event.type is EventType.NONE and event.state is not SessionState.EXPIRED:
                message = f'the node "{self._path}" is not kept any more: the session is {event.state}'
                raise SessionClosedError(message)
            while not await (self._leave() if self._closing else self._look()):
                pass
            self._pause = FIRST_PAUSE
        except PASSING as error:
            log.debug("%r: trying again after %r", self, error)
            self._again_at = self._port.now() + self._pause
            self._pause = min(self._pause * 2, LONGEST_PAUSE)
        except SessionClosedError as error:
            self._end(error)
        except ZooKeeperError as error:
            if self._closing or not self._landed.is_set():
                self._end(error)
                return
            log.warning("%r cannot keep its node, and will try again: %s", self, error)
            self._stat = None
            self._again_at = self._port.now() + _REFUSED_PAUSE

    # Inside

    async def _look(self) -> bool:
        """One look at the node; True when it is as it should be, or somebody else's, and watched."""
        watcher = self._port.watcher(self._attendant.wake)
        kept = False
        try:
            data, stat = await self._port.get(self._path, watcher)
            if not self._is_ours(stat):
                self._stat = None
                kept = True
                return True
            if data != self._data and (self._ephemeral or stat.czxid == self._created):
                stat = await self._port.set(self._path, self._data, stat.version)
                return False
            self._there(data, stat)
            kept = True
            return True
        except BadVersionError:
            return False
        except NoNodeError:
            self._stat = None
            await self._create()
            return False
        finally:
            if kept:
                self._watcher = watcher
            else:
                await self._port.shielded(watcher.close())

    async def _create(self) -> None:
        session_id = self._port.session_id
        self._created = None
        try:
            _, stat = await self._port.create_with_stat(
                self._path, self._data, self._acl, ephemeral=self._ephemeral, makepath=True
            )
        except NodeExistsError:
            return
        except ServerError as error:
            if error.outcome is not Outcome.NOT_APPLIED:
                self._unknown_in = session_id
            raise
        except BaseException:
            self._unknown_in = session_id
            raise
        self._created = stat.czxid

    def _is_ours(self, stat: Stat) -> bool:
        if not self._ephemeral:
            return stat.ephemeral_owner == 0
        if stat.ephemeral_owner != self._port.session_id:
            return False
        return stat.czxid == self._created or self._unknown_in == stat.ephemeral_owner

    def _may_be_made_by_us(self, data: bytes | None, stat: Stat) -> bool:
        if self._unknown_in is None:
            return False
        return stat.ephemeral_owner == self._unknown_in or (
            not self._ephemeral and stat.version == 0 and data == self._data
        )

    def _there(self, data: bytes | None, stat: Stat) -> None:
        if self._may_be_made_by_us(data, stat):
            self._created = stat.czxid
        self._unknown_in = None
        self._stat = stat
        self._landed.set()

    async def _leave(self) -> bool:
        """One step of leaving; True when nothing of ours is there."""
        self._stat = None
        try:
            data, stat = await self._port.get(self._path)
            if self._is_ours(stat) and (stat.czxid == self._created or self._may_be_made_by_us(data, stat)):
                await self._port.delete(self._path, stat.version)
        except BadVersionError:
            return False
        except (NoNodeError, NotEmptyError):
            pass
        self._end(SessionClosedError(f'the node "{self._path}" is not kept any more: it was closed'))
        return True

    def _end(self, error: Exception) -> None:
        self._attendant.dismiss(self)
        self._stat = None
        if not self._landed.is_set():
            self._error = error
            self._landed.set()
        self._ended.set()


class PersistentNode(Face[AsyncPersistentNode]):
    __doc__ = AsyncPersistentNode.__doc__

    def __init__(
        self,
        client: HasPort,
        path: str,
        data: bytes = b"",
        *,
        ephemeral: bool = True,
        acl: Sequence[ACL] | None = None,
    ) -> None:
        super().__init__(AsyncPersistentNode(client, path, data, ephemeral=ephemeral, acl=acl))

    wait = blocking(AsyncPersistentNode.wait)
    update = direct(AsyncPersistentNode.update)
    close = blocking(AsyncPersistentNode.close)
    path = attribute(AsyncPersistentNode, lambda node: node.path)
    data = attribute(AsyncPersistentNode, lambda node: node.data)
    exists = attribute(AsyncPersistentNode, lambda node: node.exists)
    token = attribute(AsyncPersistentNode, lambda node: node.token)

    def start(self) -> Self:
        """Begin to keep the node in existence, beside the caller; `wait` returns when it is there.

        Once for each object: a second call raises ValueError.
        """
        run_blocking(self._body.start())
        return self

    def __enter__(self) -> Self:
        """Start, and wait until the node is there."""
        run_blocking(self._body.__aenter__())
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close."""
        self.close()


def _check_data(data: bytes) -> None:
    if not isinstance(data, bytes):
        message = f"data must be bytes, not {type(data).__name__}"
        raise TypeError(message)
