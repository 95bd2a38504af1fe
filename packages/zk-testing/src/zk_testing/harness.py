"""Test cases for unittest, with the same abilities as the pytest fixtures.

    class TestMyLock(ZooKeeperTestCase):
        def test_it(self):
            self.client.create("/a")                    # a started zk_client.Client below a fresh node
            other = self.make_client()                  # one more; all are stopped after the test
            self.expire_session(other)

| class | what |
|---|---|
| `ZooKeeperHarness` | everything below; a test case that calls `setup_zookeeper` and `teardown_zookeeper` itself |
| `ZooKeeperTestCase` | the same, called for each test |

Rule: both are `unittest.TestCase`s that cooperate (`super()` everywhere), so they mix with other bases, such as
`IsolatedAsyncioTestCase`. A server's clean-up runs after the test's own `tearDown` and clean-ups.

Each test has a fresh node, and an embedded server of its own; real servers and ensembles are shared by the process,
healed between tests and stopped at its end. Which servers: `zk` and `cluster_size` of the class, else the environment
(`_plan.py` has the table), else one embedded server. Where no real server can be had, tests are skipped with the
reason, or fail with it under `ZK_TESTING_REQUIRE_REAL=1`.

After each test that did not fail, what it left behind fails it (see `_leaks.py`); `leaks_allowed` names what it may.
"""

from __future__ import annotations

import atexit
import os
import time
import unittest
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from ._plan import Plan, plan_for
from .errors import ConversationError, NoServerError, TestingError

if TYPE_CHECKING:
    from zk_client import Client

    from ._clients import ClientMaker, HasHosts
    from ._leaks import LeakCheck
    from ._serving import Owned
    from .cluster import Cluster
    from .embedded import Settings
    from .faults import FaultProxy

__all__ = ["HasSession", "ZooKeeperHarness", "ZooKeeperTestCase", "stop_servers"]

_EXPIRY = 10.0  # seconds that ending a session may take

_shared: dict[Plan, Owned] = {}


class HasSession(Protocol):
    """A client: ours, or another one that says what its session is."""

    @property
    def client_id(self) -> tuple[int, bytes] | None:
        """The session's number and password; None while there is no session."""
        ...


class ZooKeeperHarness(unittest.TestCase):
    """A test case with a ZooKeeper, between `setup_zookeeper` and `teardown_zookeeper`.

    zk: what to run on: "embedded", "real", "3.8.4", "embedded:3.8"; None asks the environment.
    cluster_size: how many servers; None asks the environment.   client_timeout: of the clients' sessions, in seconds.
    leaks_allowed: what tests may leave behind: "sessions", "watches", "threads", "descriptors".
    """

    zk: str | None = None
    cluster_size: int | None = None
    client_timeout: float = 10.0
    leaks_allowed: tuple[str, ...] = ()

    def __init__(self, *arguments: str, **options: str) -> None:
        super().__init__(*arguments, **options)
        self._owned: Owned | None = None
        self._chroot = ""
        self._maker: ClientMaker | None = None
        self._client: Client | None = None
        self._proxies: list[FaultProxy] = []
        self._check: LeakCheck | None = None
        self._has_cut = False  # a client's connection or session
        self._client_options: dict[str, object] = {}

    # Life

    def setup_zookeeper(self, **client_options: object) -> None:
        """Start what the plan says, and make a fresh node.   client_options: of `self.client`, as zk_client takes them.

        Raises SkipTest where no real server can be had.
        """
        from ._chroot import create_chroot
        from ._clients import ClientMaker
        from ._leaks import LeakCheck
        from ._serving import members_of

        if self._owned is not None:
            raise TestingError("setup_zookeeper was called already: call teardown_zookeeper before")
        plan = plan_for(os.environ, zk=self.zk, cluster_size=self.cluster_size)
        self._client_options = client_options
        self._has_cut = False
        self._owned = owned = self._start(plan)
        members = members_of(owned)
        self._check = LeakCheck(members)
        self._chroot = create_chroot(members[0].address)
        self._maker = ClientMaker(owned.hosts, self._chroot)

    def teardown_zookeeper(self) -> None:
        """Stop the clients and proxies, heal the servers, remove the node; fail if the test left something behind."""
        from ._chroot import remove_chroot
        from ._serving import members_of

        owned, maker, proxies = self._owned, self._maker, self._proxies
        if owned is None:
            return
        self._owned = self._maker = self._client = None
        self._proxies = []
        cut_off = bool(proxies) or owned.damaged or self._has_cut
        try:
            for proxy in proxies:
                proxy.heal()
            if owned.damaged:
                owned.heal()
            if maker is not None:
                maker.stop()
            for proxy in proxies:
                proxy.stop()
            leaks: list[str] = []
            if self._check is not None and not self._has_failed():
                leaks = self._check.leaks(self.leaks_allowed, cut_off=cut_off)
            if self._chroot:
                remove_chroot(members_of(owned)[0].address, self._chroot)
        finally:
            self._chroot = ""
            self._check = None
            if owned not in _shared.values():
                owned.stop()
        if leaks:
            self.fail("the test left behind:" + "".join(f"\n  {leak}" for leak in leaks))

    # Where it is

    @property
    def cluster(self) -> Owned:
        """The server or ensemble: to be stopped, paused, killed; it is healed after the test. Indexable by member."""
        if self._owned is None:
            raise TestingError("there is no server: call setup_zookeeper before, or inherit from ZooKeeperTestCase")
        return self._owned

    @property
    def servers(self) -> str:
        """The addresses of all members, without a chroot."""
        return self.cluster.hosts

    @property
    def chroot(self) -> str:
        """The path of the test's fresh node."""
        return self._chroot

    @property
    def hosts(self) -> str:
        """The connection string of a client of this test, with its chroot."""
        return self.cluster.connection_string(self._chroot)

    # Clients

    @property
    def client(self) -> Client:
        """A started `zk_client.Client` below the test's node, made when it is first asked for."""
        if self._client is None:
            self._client = self.make_client(None, **self._client_options)
        return self._client

    def make_client(self, where: HasHosts | str | None = None, **options: object) -> Client:
        """A further client, started; stopped after the test.

        where: a server or proxy to connect to, with the test's chroot; text is a whole connection string; None is the
        test's server.   options: of `zk_client.Client`, and `start=False`.   Raises NoClientError without zk-client.
        """
        self.cluster  # noqa: B018  # says what is missing
        assert self._maker is not None
        timeout = options.pop("timeout", self.client_timeout)
        if not isinstance(timeout, int | float):
            raise TypeError(f"timeout is seconds, not {timeout!r}")
        start = bool(options.pop("start", True))
        return self._maker(where, timeout, start=start, **options)

    def make_faults(self) -> FaultProxy:
        """A proxy in front of the (first) server, without faults yet; stopped after the test, when its clients have."""
        from ._serving import members_of
        from .faults import FaultProxy

        proxy = FaultProxy(members_of(self.cluster)[0])
        proxy.start()
        self._proxies.append(proxy)
        return proxy

    # What can be done to a client

    def lose_connection(self, client: HasSession | None = None) -> None:
        """End a client's connection from the server's side; its session goes on.   client: None is `self.client`.

        Raises TestingError when it has no session.
        """
        from .cluster import Cluster
        from .rawclient import RawClient

        owned, session = self.cluster, self._session(client)
        self._has_cut = True
        if isinstance(owned, Cluster):
            # The session moves to this connection, which ends the client's, and is left without one; or its client was
            # quick to take it back, which ends this one.
            with suppress(ConversationError):
                RawClient(owned.leader().address, session=session).close()
        else:
            owned.drop_connections(session[0])

    def expire_session(self, client: HasSession | None = None) -> None:
        """End a client's session on the server, with its ephemeral nodes; the client is told when it connects again.

        client: None is `self.client`.   Raises TestingError when it has no session, or does not end within 10 s.
        """
        from .cluster import Cluster

        owned, session = self.cluster, self._session(client)
        self._has_cut = True
        if isinstance(owned, Cluster):
            self._close_session(owned, session)
        else:
            owned.expire_session(session[0])

    # Details

    def _close_session(self, cluster: Cluster, session: tuple[int, bytes]) -> None:
        """Take a session over and close it, as often as its own client is quicker to take it back."""
        from ._holdings import holdings
        from .rawclient import RawClient

        deadline = time.monotonic() + _EXPIRY
        while session[0] in holdings(cluster.members):
            if time.monotonic() > deadline:
                raise TestingError(f"session 0x{session[0]:x} was taken back by its client for {_EXPIRY:.0f} s")
            with suppress(ConversationError, OSError):
                RawClient(cluster.leader().address, session=session).close_session()

    def _session(self, client: HasSession | None) -> tuple[int, bytes]:
        known = (self.client if client is None else client).client_id
        if known is None or not known[0]:
            raise TestingError(f"{client or self.client!r} has no session")
        return known

    def _start(self, plan: Plan) -> Owned:
        if plan.choice.embedded and plan.size == 1:
            from .embedded import EmbeddedServer

            server = EmbeddedServer(settings=_settings(plan), port=plan.first_port)
            server.start()
            return server
        if plan not in _shared:
            try:
                _shared[plan] = _start_shared(plan)
            except NoServerError as error:
                if os.environ.get("ZK_TESTING_REQUIRE_REAL") == "1":
                    self.fail(f"{error} (and ZK_TESTING_REQUIRE_REAL=1 asks for one)")
                self.skipTest(str(error))
        return _shared[plan]

    def _has_failed(self) -> bool:
        """Whether the test has failed, as far as its runner tells: by unittest's result, or by pytest's."""
        result = getattr(getattr(self, "_outcome", None), "result", None)
        told: list[tuple[object, object]] = [*getattr(result, "failures", ()), *getattr(result, "errors", ())]
        return any(test is self for test, _ in told) or bool(getattr(result, "_excinfo", None))


class ZooKeeperTestCase(ZooKeeperHarness):
    """A test case with a ZooKeeper for each test; see ZooKeeperHarness."""

    def setUp(self) -> None:
        """Have a server and a fresh node before the test."""
        super().setUp()
        # As a clean-up it runs after the test's own tearDown and clean-ups, which may still need the server.
        self.addCleanup(self.teardown_zookeeper)
        self.setup_zookeeper()


def stop_servers() -> None:
    """Stop the servers that test cases share; the next test case starts them again. Runs at the end of the process."""
    while _shared:
        _shared.popitem()[1].stop()


atexit.register(stop_servers)


def _settings(plan: Plan) -> Settings:
    from .embedded import Settings

    local = plan.local_sessions
    return Settings(version=plan.choice.exact, local_sessions=local, local_session_upgrading=local)


def _start_shared(plan: Plan) -> Owned:
    if plan.choice.embedded:
        from .embedded import EmbeddedEnsemble, EnsembleSettings

        ensemble = EmbeddedEnsemble(
            settings=EnsembleSettings(
                size=plan.size, observers=plan.observers, server=_settings(plan), read_only=plan.local_sessions
            )
        )
        ensemble.start()
        return ensemble
    from .cluster import start_cluster

    local = {"localSessionsEnabled": "true", "localSessionsUpgradingEnabled": "true"} if plan.local_sessions else {}
    return start_cluster(
        plan.size,
        plan.choice.exact,
        observers=plan.observers,
        read_only_mode=plan.local_sessions,
        config=local,
        first_port=plan.first_port,
    )
