"""The test cases for unittest."""

from __future__ import annotations

import os
import subprocess
import sys
import unittest
from collections.abc import Iterator
from contextlib import suppress

import pytest

import zk_testing
from zk_client import AsyncClient, NoNodeError, SessionState
from zk_testing import EmbeddedEnsemble, EmbeddedServer, ZooKeeperHarness, ZooKeeperTestCase
from zk_testing._plan import Plan, plan_for
from zk_testing.cluster import Cluster
from zk_testing.errors import TestingError
from zk_testing.harness import stop_servers


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in list(os.environ):
        if name.startswith("ZOOKEEPER_") or name == "ZK_TESTING_REQUIRE_REAL":
            monkeypatch.delenv(name)
    yield
    stop_servers()


def run(case: type[unittest.TestCase]) -> unittest.TestResult:
    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromTestCase(case).run(result)
    return result


def trouble(result: unittest.TestResult) -> str:
    return "".join(text for _, text in [*result.errors, *result.failures])


# What a test has


def test_a_test_has_a_server_a_fresh_node_and_a_client() -> None:
    class Case(ZooKeeperTestCase):
        def test_first(self) -> None:
            assert isinstance(self.cluster, EmbeddedServer)
            assert self.hosts == f"{self.servers}{self.chroot}"
            self.client.create("/a", b"data")
            assert self.make_client(timeout=3.0).get("/a")[0] == b"data"

        def test_second(self) -> None:
            assert self.client.get_children("/") == []
            assert self.client is self.client

    result = run(Case)
    assert result.wasSuccessful() and result.testsRun == 2, trouble(result)


def test_the_client_s_options_come_from_the_set_up() -> None:
    class Case(ZooKeeperHarness):
        def test(self) -> None:
            self.setup_zookeeper(timeout=3.5, randomize_hosts=False)
            self.addCleanup(self.teardown_zookeeper)
            assert self.client.session_timeout == 3.5

    result = run(Case)
    assert result.wasSuccessful(), trouble(result)


def test_clean_ups_of_the_test_still_have_the_server() -> None:
    class Case(ZooKeeperTestCase):
        def test(self) -> None:
            own = self.make_client()
            self.addCleanup(lambda: own.delete("/mine"))
            own.create("/mine")

        def tearDown(self) -> None:
            self.client.exists("/mine")
            super().tearDown()

    result = run(Case)
    assert result.wasSuccessful(), trouble(result)


def test_without_a_set_up_the_error_says_so() -> None:
    class Case(ZooKeeperHarness):
        def test(self) -> None: ...

    with pytest.raises(TestingError, match="call setup_zookeeper before"):
        _ = Case("test").hosts


class Mixed:
    def __init__(self, *arguments: str, **options: str) -> None:
        super().__init__(*arguments, **options)
        self.mixed = True

    def setUp(self) -> None:
        super().setUp()  # type: ignore[misc]
        self.was_set_up = True


def test_it_mixes_with_other_bases() -> None:
    class Case(ZooKeeperTestCase, Mixed, unittest.IsolatedAsyncioTestCase):
        async def test(self) -> None:
            assert self.mixed and self.was_set_up
            async with AsyncClient(self.hosts) as zk:  # a client that blocks would halt the loop, and refuses to
                assert await zk.exists("/nothing") is None

    result = run(Case)
    assert result.wasSuccessful() and result.testsRun == 1, trouble(result)


# What can be done


@pytest.mark.parametrize("zk", ["embedded", "real"])
def test_a_connection_is_lost_and_the_session_goes_on(zk: str) -> None:
    class Case(ZooKeeperTestCase):
        def test(self) -> None:
            states: list[SessionState] = []
            self.client.create("/mine", ephemeral=True)
            session = self.client.client_id
            self.client.add_listener(states.append)
            self.lose_connection()
            while SessionState.SUSPENDED not in states:
                self.client.exists("/mine")
            assert self.client.exists("/mine") is not None
            assert self.client.client_id == session

    Case.zk = zk
    result = run(Case)
    assert result.wasSuccessful() and not result.skipped, trouble(result)


@pytest.mark.parametrize("zk", ["embedded", "real"])
def test_a_session_expires_on_the_server(zk: str) -> None:
    class Case(ZooKeeperTestCase):
        def test(self) -> None:
            holder, other = self.make_client(), self.make_client()
            holder.create("/mine", ephemeral=True)
            before = holder.client_id
            self.expire_session(holder)
            other.sync("/")
            with pytest.raises(NoNodeError):
                other.get("/mine")
            while holder.client_id in (None, before):
                with suppress(Exception):
                    holder.exists("/")

    Case.zk = zk
    result = run(Case)
    assert result.wasSuccessful() and not result.skipped, trouble(result)


def test_a_proxy_is_put_in_front() -> None:
    class Case(ZooKeeperTestCase):
        def test(self) -> None:
            faults = self.make_faults()
            zk = self.make_client(faults)
            fault = faults.lose_reply("get_data")
            zk.get("/")
            assert fault.wait()
            faults.freeze()

    result = run(Case)
    assert result.wasSuccessful(), trouble(result)


def test_a_shared_ensemble_is_healed_between_tests() -> None:
    seen: list[object] = []

    class Case(ZooKeeperTestCase):
        zk = "embedded:3.8.4"
        cluster_size = 3

        def harm(self) -> None:
            seen.append(self.cluster)
            assert isinstance(self.cluster, EmbeddedEnsemble) and len(self.cluster) == 3
            assert not self.cluster.damaged
            self.cluster.leader().kill()

        test_first = test_second = harm

    result = run(Case)
    assert result.wasSuccessful(), trouble(result)
    assert len(seen) == 2 and seen[0] is seen[1]


# What is left


def test_what_a_test_leaves_behind_fails_it() -> None:
    from zk_client import Client

    kept: list[Client] = []

    class Case(ZooKeeperTestCase):
        def test(self) -> None:
            zk = Client(self.servers)
            zk.start()
            kept.append(zk)
            zk.create("/held", ephemeral=True)

    class Allowed(Case):
        leaks_allowed = ("sessions", "watches", "threads", "descriptors")

    class Failed(Case):
        def test(self) -> None:
            super().test()
            self.fail("on purpose")

    try:
        blamed, allowed, failed = run(Case), run(Allowed), run(Failed)
    finally:
        for zk in kept:
            zk.stop()
    assert "the test left behind:" in trouble(blamed)
    assert "which owns an ephemeral node /held" in trouble(blamed)
    assert allowed.wasSuccessful(), trouble(allowed)
    assert "on purpose" in trouble(failed) and "left behind" not in trouble(failed)


def test_where_no_real_server_can_be_had_the_test_is_skipped_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    class Case(ZooKeeperTestCase):
        zk = "3.6.4"

        def test(self) -> None: ...

    for name, value in {"ZK_TESTING_CACHE": "/nowhere", "ZK_TESTING_MAVEN_URL": ""}.items():
        monkeypatch.setenv(name, value)
    [(_, reason)] = run(Case).skipped
    assert "no ZooKeeper 3.6.4 can be had here" in reason
    monkeypatch.setenv("ZK_TESTING_REQUIRE_REAL", "1")
    assert "ZK_TESTING_REQUIRE_REAL=1 asks for one" in trouble(run(Case))


# The environment


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, "embedded-3.9 1 0 0 False"),
        ({"ZOOKEEPER_VERSION": "3.8.4"}, "real-3.8.4 1 0 0 False"),
        ({"ZOOKEEPER_PATH": "/opt/zookeeper"}, "real-3.9 1 0 0 False"),
        ({"ZOOKEEPER_CLASSPATH": "/a.jar"}, "real-3.9 1 0 0 False"),
        ({"ZOOKEEPER_CLUSTER_SIZE": "5", "ZOOKEEPER_OBSERVER_START_ID": "4"}, "embedded-3.9 5 2 0 False"),
        ({"ZOOKEEPER_CLUSTER_SIZE": "3", "ZOOKEEPER_OBSERVER_START_ID": "-1"}, "embedded-3.9 3 0 0 False"),
        ({"ZOOKEEPER_PORT_OFFSET": "20000"}, "embedded-3.9 1 0 20000 False"),
        ({"ZOOKEEPER_LOCAL_SESSION_RO": "true"}, "embedded-3.9 1 0 0 True"),
        ({"ZOOKEEPER_LOCAL_SESSION_RO": "false", "ZOOKEEPER_VERSION": ""}, "embedded-3.9 1 0 0 False"),
    ],
)
def test_kazoo_s_variables_are_known(environment: dict[str, str], expected: str) -> None:
    plan = plan_for(environment)
    fields = (plan.choice, plan.size, plan.observers, plan.first_port, plan.local_sessions)
    assert " ".join(map(str, fields)) == expected


def test_the_class_goes_before_the_environment() -> None:
    environment = {"ZOOKEEPER_VERSION": "3.8.4", "ZOOKEEPER_CLUSTER_SIZE": "3"}
    plan = plan_for(environment, zk="embedded", cluster_size=1)
    assert plan == Plan(zk_testing.Choice("embedded", "3.8.4"))


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"ZOOKEEPER_VERSION": "latest"}, "ZOOKEEPER_VERSION: a version is"),
        ({"ZOOKEEPER_CLUSTER_SIZE": "many"}, "ZOOKEEPER_CLUSTER_SIZE is a whole number, not 'many'"),
        ({"ZOOKEEPER_CLUSTER_SIZE": "0"}, "ZOOKEEPER_CLUSTER_SIZE is at least 1, not 0"),
        ({"ZOOKEEPER_CLUSTER_SIZE": "3", "ZOOKEEPER_OBSERVER_START_ID": "2"}, "leaves 1 of 3 servers to vote"),
    ],
)
def test_a_variable_that_says_nothing_is_refused(environment: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plan_for(environment)


@pytest.mark.cluster
def test_real_servers_follow_every_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    class Case(ZooKeeperTestCase):
        def test(self) -> None:
            assert isinstance(self.cluster, Cluster) and self.cluster.version == "3.8.7"
            assert [member.port for member in self.cluster.members] == [21310, 21320, 21330]
            roles = sorted(member.role or "" for member in self.cluster.members)
            assert roles == ["follower", "leader", "observer"]
            assert "localSessionsEnabled=true" in (self.cluster[0].folder / "zoo.cfg").read_text()
            assert self.client.get_children("/") == []

    variables = {"VERSION": "3.8", "CLUSTER_SIZE": "3", "OBSERVER_START_ID": "3", "PORT_OFFSET": "21310"}
    for name, value in {**variables, "LOCAL_SESSION_RO": "true"}.items():
        monkeypatch.setenv(f"ZOOKEEPER_{name}", value)
    result = run(Case)
    assert result.wasSuccessful() and not result.skipped, trouble(result)


def test_an_embedded_server_takes_the_port_that_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    class Case(ZooKeeperTestCase):
        def test(self) -> None:
            assert self.servers == "127.0.0.1:21410"

    monkeypatch.setenv("ZOOKEEPER_PORT_OFFSET", "21410")
    result = run(Case)
    assert result.wasSuccessful(), trouble(result)


# Importing

WITHOUT_POSIX = """
import sys
for name in ("fcntl", "resource", "pwd", "grp", "termios", "syslog"):
    sys.modules[name] = None
import os
for name in ("getuid", "O_CLOEXEC", "O_NOFOLLOW", "waitid"):
    if hasattr(os, name): delattr(os, name)
import zk_testing
from zk_testing import EmbeddedServer, EmbeddedEnsemble, ZooKeeperHarness, ZooKeeperTestCase
import zk_testing.plugin, zk_testing.cluster, zk_testing.provision, zk_testing.sim
from zk_testing.faults import FaultProxy
with EmbeddedServer() as server, FaultProxy(server) as proxy:
    print(proxy.connections)
"""


def test_nothing_of_posix_is_needed_for_what_runs_in_this_process() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_POSIX], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.stdout == "0\n", done.stderr


def test_importing_the_package_loads_no_test_case() -> None:
    program = "import sys, zk_testing; print('unittest' in sys.modules, 'zk_testing.harness' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout == "False False\n"
