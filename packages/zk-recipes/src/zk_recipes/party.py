"""Who takes part: members, each a node of its own that comes back in every new session.

Rule: a member is a node, kept in existence by ``persistent_node``; who takes part is what the server shows.

Layouts (kazoo's): `Party` ``<path>/<GUID>__party__``, `ShallowParty` ``<path>/<GUID>-<identifier>``; both ephemeral,
with the identifier as data.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from zk_client import Face, Read, attribute, blocking, run_blocking
from zk_wire import NoNodeError, ServerError, check_path, join_path

from ._waiting import check_timeout
from .persistent_node import AsyncPersistentNode

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType
    from typing import Self

    from zk_client import HasPort

PARTY_MARK = "__party__"


class AsyncParty:
    """Members of a group, each known by an identifier (asyncio, and every other port that suspends).

    client: whatever has a port.   path: the node under which members are, created when missing.
    identifier: who takes part, for people; kept in the member's node.

    Under threads the object is iterated over and has a length, which ask the server; under asyncio await `members` and
    `count`. All parties of a client together cost one thread (task) while they are joined.

    What holds, each with the test that keeps it:

    - A member that has joined stays one until it leaves: after lost connections and sessions, and when its node or the
      path is deleted, it comes back: ``test_members_come_back_whatever_goes_wrong``.
    - A leftover of an expired session is not taken for the member: same test, and
      ``test_a_party_joins_again_after_its_session_expired``.
    - One that has left, or gave up, leaves no node, no watch and no task: same tests.
    - kazoo's parties and these see each other: ``test_a_party_has_kazoos_layout``.
    """

    def __init__(self, client: HasPort, path: str, identifier: str | None = None) -> None:
        check_path(path)
        if identifier is not None and not isinstance(identifier, str):
            message = f"identifier must be a str or None, not {type(identifier).__name__}"
            raise TypeError(message)
        self._client = client
        self._port = client.port
        self._path = path
        self._identifier = identifier or ""
        self._name = self._make_name(client.port.guid(), self._identifier)
        check_path(join_path(path, self._name))
        self._member: AsyncPersistentNode | None = None

    def __repr__(self) -> str:
        state = "participating" if self.participating else "joining" if self._member is not None else "not joined"
        return f"<{type(self).__name__} {self._path!r} {state}>"

    @property
    def path(self) -> str:
        """The node under which members are."""
        return self._path

    @property
    def identifier(self) -> str:
        """What this member is known by."""
        return self._identifier

    @property
    def node(self) -> str:
        """The name of this member's node."""
        return self._name

    @property
    def create_path(self) -> str:
        """The path of this member's node."""
        return join_path(self._path, self._name)

    @property
    def participating(self) -> bool:
        """Whether this member's node is there, as far as can be known without asking the server.

        Not true after the lease deadline, nor in another session until the node has come back.
        """
        return self._member is not None and self._member.exists

    async def join(self, timeout: float | None = None) -> bool:
        """Take part from now on; True when the member is there. No effect on one that has joined.

        timeout: seconds; when they go by first, the result is False, and it is still tried, until `leave`.
        Raises what waiting cannot cure (closed client, no permission); then it has not joined.
        """
        check_timeout(timeout)
        member = self._member
        if member is None:
            member = self._member = AsyncPersistentNode(self._client, self.create_path, self._identifier.encode())
            await member.start()
        settled = False
        try:
            joined = await member.wait(timeout)
            settled = True
            return joined
        finally:
            if not settled:
                await self._port.shielded(self.leave())

    async def leave(self) -> bool:
        """Take part no longer; True when the member's node is gone.

        Waits at most five seconds for the server; without a connection it returns False at once, and the node is
        deleted in the background, or goes with its session. The object can join again.
        """
        member, self._member = self._member, None
        return True if member is None else await member.close()

    async def members(self) -> list[str]:
        """Return the identifiers of everybody who takes part; two round trips, or one of a `ShallowParty`."""
        names = await self._names()
        found = await self._port.read_many([Read(join_path(self._path, name)) for name in names])
        present = sorted(
            (stat.czxid, (data or b"").decode(errors="replace"))
            for data, stat in (result for result in found if isinstance(result, tuple))
        )
        for result in found:
            if isinstance(result, ServerError) and not isinstance(result, NoNodeError):
                raise result
        return [identifier for _, identifier in present]

    async def count(self) -> int:
        """Return how many take part; one round trip."""
        return len(await self._names())

    async def __aenter__(self) -> Self:
        """Join, without a bound."""
        await self.join()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Leave."""
        await self.leave()

    async def _names(self) -> list[str]:
        try:
            return [name for name in await self._port.get_children(self._path) if self._is_member(name)]
        except NoNodeError:
            return []

    @staticmethod
    def _make_name(guid: str, identifier: str) -> str:
        return f"{guid}{PARTY_MARK}"

    @staticmethod
    def _is_member(name: str) -> bool:
        return name.endswith(PARTY_MARK)


class AsyncShallowParty(AsyncParty):
    """As `Party`, with the identifier in the name of the member's node: listing the members costs one round trip.

    identifier: as a part of a path, so without "/".   Their order says nothing.
    """

    async def members(self) -> list[str]:
        """Return the identifiers of everybody who takes part; two round trips, or one of a `ShallowParty`."""
        return sorted(name.partition("-")[2] for name in await self._names())

    @staticmethod
    def _make_name(guid: str, identifier: str) -> str:
        if "/" in identifier:
            message = f'identifier {identifier!r} cannot be a part of a path: it contains "/"'
            raise ValueError(message)
        return f"{guid}-{identifier}"

    @staticmethod
    def _is_member(name: str) -> bool:
        return "-" in name


class Party(Face[AsyncParty]):
    __doc__ = AsyncParty.__doc__

    def __init__(self, client: HasPort, path: str, identifier: str | None = None) -> None:
        super().__init__(self._make(client, path, identifier))

    @staticmethod
    def _make(client: HasPort, path: str, identifier: str | None) -> AsyncParty:
        return AsyncParty(client, path, identifier)

    join = blocking(AsyncParty.join)
    leave = blocking(AsyncParty.leave)
    members = blocking(AsyncParty.members)
    count = blocking(AsyncParty.count)
    path = attribute(AsyncParty, lambda party: party.path)
    identifier = attribute(AsyncParty, lambda party: party.identifier)
    node = attribute(AsyncParty, lambda party: party.node)
    create_path = attribute(AsyncParty, lambda party: party.create_path)
    participating = attribute(AsyncParty, lambda party: party.participating)

    def __iter__(self) -> Iterator[str]:
        """Iterate over the identifiers of everybody who takes part, as the server has them now."""
        return iter(self.members())

    def __len__(self) -> int:
        """How many take part, as the server has it now."""
        return self.count()

    def __bool__(self) -> bool:
        """True, also when nobody takes part: asking whether there is a party does not ask the server."""
        return True

    def __enter__(self) -> Self:
        """Join, without a bound."""
        run_blocking(self._body.__aenter__())
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Leave."""
        self.leave()


class ShallowParty(Party):
    __doc__ = AsyncShallowParty.__doc__

    @staticmethod
    def _make(client: HasPort, path: str, identifier: str | None) -> AsyncParty:
        return AsyncShallowParty(client, path, identifier)
