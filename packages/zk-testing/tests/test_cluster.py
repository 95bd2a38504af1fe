"""Real servers: what can be done to them, and that nothing of them is left."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from child_process import announced, finish, python

from zk_testing import _ports
from zk_testing.cluster import Cluster, live_clusters, recently_stopped, start_cluster
from zk_testing.errors import ClusterError
from zk_testing.member import ZooKeeperServer
from zk_testing.provision import known_versions
from zk_testing.rawclient import RawClient
from zk_wire import (
    OPEN_ACL_UNSAFE,
    CreateRequest,
    CreateTTLRequest,
    ExistsRequest,
    GetDataRequest,
    NoNodeError,
    ReconfigRequest,
    SetDataRequest,
    SyncRequest,
)

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("nothing_left")]


def wait_until(condition: Callable[[], object], timeout: float = 15.0) -> None:
    """Ask until it is so; the condition asks a server, which tells nobody by itself."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"


def alive(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] != b"Z"
    except OSError:
        return False


def create(raw: RawClient, path: str, data: bytes = b"") -> None:
    raw.request(CreateRequest(path, data, OPEN_ACL_UNSAFE, 0))


@pytest.fixture(scope="module")
def single() -> Iterator[Cluster]:
    with start_cluster() as cluster:
        yield cluster


@pytest.fixture
def server(single: Cluster) -> Iterator[ZooKeeperServer]:
    yield single[0]
    single.heal()


@pytest.fixture(scope="module")
def ensemble_of_module() -> Iterator[Cluster]:
    with start_cluster(3) as cluster:
        yield cluster


@pytest.fixture
def ensemble(ensemble_of_module: Cluster) -> Iterator[Cluster]:
    yield ensemble_of_module
    ensemble_of_module.heal()


# Every version


@pytest.mark.parametrize("version", known_versions())
def test_every_pinned_release_runs_standalone_on_netty(version: str) -> None:
    netty = {"zookeeper.serverCnxnFactory": "org.apache.zookeeper.server.NettyServerCnxnFactory"}
    with start_cluster(version=version, java_properties=netty) as cluster:
        server = cluster[0]
        assert server.status().version.startswith(f"{version}-")
        assert (server.role, cluster.version) == ("standalone", version)
        assert "zk_server_state\tstandalone" in server.send_command("mntr")
        with RawClient(server.address) as raw:
            raw.request(CreateTTLRequest("/ttl", b"", OPEN_ACL_UNSAFE, 5, 600_000))
            raw.auth("digest", b"super:test")
            raw.request(SetDataRequest("/zookeeper/config", b"only the super user may write here", -1))


@pytest.mark.parametrize("version", ["3.6", "3.7", "3.8"])
def test_every_line_runs_as_an_ensemble_that_can_be_reconfigured(version: str) -> None:
    with start_cluster(3, version) as cluster:
        assert sorted(str(member.role) for member in cluster.members) == ["follower", "follower", "leader"]
        _reconfigure(cluster)


def _reconfigure(cluster: Cluster) -> None:
    """Take a follower out of the ensemble and in again."""
    leader, leaving = cluster.leader(), cluster.followers()[0]
    with RawClient(leader.address) as raw:
        raw.auth("digest", b"super:test")
        raw.request(ReconfigRequest(None, str(leaving.number), None, -1))
        without = raw.request(GetDataRequest("/zookeeper/config", False)).data or b""
        assert f"server.{leaving.number}=".encode() not in without
        reply = raw.request(ReconfigRequest(leaving.server_line, None, None, -1))
    assert leaving.server_line.encode() in (reply.data or b"")
    cluster.wait_until_serving()


# One server


def test_a_server_tells_its_address_condition_and_log(server: ZooKeeperServer) -> None:
    assert server.address == server.hosts == f"127.0.0.1:{server.port}"
    assert server.connection_string("/app") == f"127.0.0.1:{server.port}/app"
    assert (server.condition, server.server_line) == ("running", "")
    assert alive(server.pid or 0)
    assert "binding to port" in server.log()
    assert len(server.log(3).splitlines()) == 3
    assert server.log(since=server.log_size()) == ""


def test_a_session_may_last_two_ticks_to_a_minute(server: ZooKeeperServer) -> None:
    with RawClient(server.address, session_timeout=0.0) as raw:
        assert raw.negotiated_timeout == 0.4
    with RawClient(server.address, session_timeout=1000.0) as raw:
        assert raw.negotiated_timeout == 60.0


def test_stop_ends_the_process_and_frees_its_pid(server: ZooKeeperServer) -> None:
    pid = server.pid or 0
    server.stop()
    assert (server.condition, server.pid, server.role) == ("stopped", None, None)
    assert not alive(pid)
    server.stop()  # nothing more to do
    with pytest.raises(OSError, match=r"refused|reset"):
        server.send_command("ruok")


def test_kill_loses_no_acknowledged_write_and_restart_finds_it(server: ZooKeeperServer) -> None:
    with RawClient(server.address) as raw:
        create(raw, "/kept", b"data")
        pid, port = server.pid or 0, server.port
        server.kill()
        raw.wait_closed()
    assert not alive(pid)
    server.restart()
    assert server.port == port
    with RawClient(server.address) as raw:
        assert raw.request(GetDataRequest("/kept", False)).data == b"data"


def test_a_paused_server_keeps_its_connections_and_says_nothing(server: ZooKeeperServer) -> None:
    with RawClient(server.address, reply_timeout=5.0) as raw:
        server.pause()
        assert (server.condition, server.role) == ("paused", None)
        with pytest.raises(TimeoutError):
            server.send_command("ruok", timeout=0.1)
        exchange = raw.send(ExistsRequest("/", False))
        server.resume()
        assert raw.wait(exchange).stat.num_children >= 1
    assert server.condition == "running"


def test_a_paused_server_can_be_stopped(server: ZooKeeperServer) -> None:
    pid = server.pid or 0
    server.pause()
    server.stop()
    assert not alive(pid)
    assert server.exit_status == 143  # it was not killed


def test_a_replaced_server_has_no_data(server: ZooKeeperServer) -> None:
    with RawClient(server.address) as raw:
        create(raw, "/gone")
    server.replace()
    with RawClient(server.address) as raw, pytest.raises(NoNodeError):
        raw.request(ExistsRequest("/gone", False))


def test_what_needs_a_running_server_says_so(server: ZooKeeperServer) -> None:
    server.kill()
    with pytest.raises(ClusterError, match="cannot pause server 1: it does not run"):
        server.pause()
    with pytest.raises(ClusterError, match="cannot resume server 1: it does not run"):
        server.resume()


def test_starting_a_running_server_changes_nothing(server: ZooKeeperServer) -> None:
    pid = server.pid
    server.start()
    assert server.pid == pid


def test_container_and_ttl_nodes_are_removed_within_a_second_or_two(server: ZooKeeperServer) -> None:
    with RawClient(server.address) as raw:
        raw.request(CreateTTLRequest("/brief", b"", OPEN_ACL_UNSAFE, 5, 1))

        def gone() -> bool:
            try:
                raw.request(ExistsRequest("/brief", False))
            except NoNodeError:
                return True
            return False

        wait_until(gone, 5.0)


# An ensemble


def test_an_ensemble_has_one_leader_and_every_member_serves(ensemble: Cluster) -> None:
    leader, followers = ensemble.leader(), ensemble.followers()
    assert {leader, *followers} == set(ensemble.members)
    assert len(ensemble) == len(followers) + 1 == 3
    assert ensemble.hosts == ",".join(member.address for member in ensemble.members)
    assert ensemble.connection_string("/x") == f"{ensemble.hosts}/x"
    with RawClient(leader.address) as raw:
        create(raw, f"/by-leader-{leader.pid}")
    for follower in followers:
        with RawClient(follower.address) as raw:
            raw.request(SyncRequest("/"))
            raw.request(ExistsRequest(f"/by-leader-{leader.pid}", False))


def test_the_ensemble_can_be_reconfigured(ensemble: Cluster) -> None:
    _reconfigure(ensemble)


@pytest.mark.parametrize("harm", ["kill", "pause"])
def test_without_its_leader_the_others_elect_one_and_heal_brings_it_back(ensemble: Cluster, harm: str) -> None:
    old = ensemble.leader()
    getattr(old, harm)()
    assert ensemble.damaged
    new = ensemble.leader(other_than=old)
    assert new is not old
    with RawClient(new.address) as raw:
        create(raw, f"/{harm}-{new.pid}-{ensemble.leader().log_size()}")
    ensemble.heal()
    assert not ensemble.damaged
    assert len(ensemble.followers()) == 2


def test_a_replaced_member_rejoins_and_has_what_the_others_have(ensemble: Cluster) -> None:
    follower = ensemble.followers()[0]
    with RawClient(ensemble.leader().address) as raw:
        create(raw, f"/before-{follower.pid}", b"x")
        path = f"/before-{follower.pid}"
    follower.replace()
    assert follower.role == "follower"
    with RawClient(follower.address) as raw:
        assert raw.request(GetDataRequest(path, False)).data == b"x"


def test_without_a_quorum_nobody_serves_and_waiting_says_who(ensemble: Cluster) -> None:
    survivor = ensemble.leader()
    for member in ensemble.followers():
        member.kill()
    wait_until(lambda: survivor.role is None)
    with pytest.raises(ClusterError, match=r"nobody leads after 0\.1 s.*server \d stopped(.|\n)*end of its log"):
        ensemble.leader(timeout=0.1)
    with pytest.raises(ClusterError, match=rf"server {survivor.number} at .* does not serve after 0\.1 s"):
        survivor.wait_until_serving(timeout=0.1)


def test_observers_observe() -> None:
    with start_cluster(3, observers=1) as cluster:
        assert cluster[2].role == "observer"
        assert len(cluster.followers()) == 1


def test_in_read_only_mode_a_lonely_member_serves_read_only_clients() -> None:
    with start_cluster(2, read_only_mode=True, java_properties={"zookeeper.localSessionsEnabled": "true"}) as cluster:
        cluster[1].kill()
        wait_until(lambda: cluster[0].role == "read-only")
        assert cluster[0].send_command("isro") == "ro"


# Settings


def test_settings_and_flags_reach_the_server() -> None:
    with start_cluster(
        tick_ms=300,
        config={"maxSessionTimeout": 5000},
        java_properties={"zookeeper.4lw.commands.whitelist": "srvr"},
        jvm_flags=["-Dzk.testing.flag=here"],
        heap_mb=64,
    ) as cluster:
        server = cluster[0]
        with RawClient(server.address, session_timeout=60.0) as raw:
            assert raw.negotiated_timeout == 5.0
        assert "not in the whitelist" in server.send_command("mntr")
        assert "tickTime=300" in (server.folder / "zoo.cfg").read_text()
        command = Path(f"/proc/{server.pid}/cmdline").read_bytes()
        assert b"-Xmx64m" in command
        assert b"-Dzk.testing.flag=here" in command


@pytest.mark.parametrize(
    "arguments", [{"size": 0}, {"size": 2, "observers": 1}, {"tick_ms": 0}, {"heap_mb": 1}, {"timeout": 0.0}]
)
def test_numbers_that_make_no_cluster_are_refused(arguments: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"cluster has at least|tick_ms is at least"):
        start_cluster(**arguments)  # type: ignore[arg-type]


def test_a_server_that_does_not_come_up_is_an_error_with_its_log_and_leaves_nothing() -> None:
    with pytest.raises(ClusterError, match=r"server 1 ended.*(.|\n)*nonsense"):
        start_cluster(config={"tickTime": "nonsense"})
    assert "nonsense" in recently_stopped()[-1].logs[0][1]


def test_a_jvm_that_refuses_its_flags_is_an_error_with_its_words() -> None:
    with pytest.raises(ClusterError, match="Unrecognized option: -Xnonsense"):
        start_cluster(jvm_flags=["-Xnonsense"])


def test_a_server_that_has_ended_before_anybody_looks_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    start = ZooKeeperServer.start

    def start_and_end(server: ZooKeeperServer, *, wait: bool = True, timeout: float = 30.0) -> None:
        start(server, wait=wait, timeout=timeout)
        wait_until(lambda: not server.running)

    monkeypatch.setattr(ZooKeeperServer, "start", start_and_end)
    with pytest.raises(ClusterError, match="server 1 ended, but was expected to serve"):
        start_cluster(jvm_flags=["-Xnonsense"])


def test_where_no_server_runs_nobody_waits_for_one() -> None:
    with start_cluster() as cluster:
        cluster[0].stop()
        with pytest.raises(ClusterError, match="no member runs"):
            cluster.wait_until_serving()


# Ports


def test_a_stopped_member_keeps_its_port() -> None:
    with start_cluster() as first:
        port = first[0].port
        first[0].stop()
        with start_cluster() as second:
            assert second[0].port != port
            first[0].start()
            assert first[0].port == port


def test_a_port_taken_meanwhile_means_another_one(monkeypatch: pytest.MonkeyPatch) -> None:
    reserve = _ports.reserve_ports
    blockers: list[socket.socket] = []

    def blocked(count: int) -> list[int]:
        ports = reserve(count)
        if not blockers:
            blockers.append(socket.create_server(("127.0.0.1", ports[0])))
        return ports

    monkeypatch.setattr("zk_testing.cluster.reserve_ports", blocked)
    try:
        with start_cluster() as cluster:
            assert cluster[0].port != blockers[0].getsockname()[1]
    finally:
        blockers[0].close()


# The end


def test_stop_leaves_no_process_no_file_and_no_folder() -> None:
    cluster = start_cluster(3)
    pids, folder = [member.pid or 0 for member in cluster.members], cluster.folder
    assert all(map(alive, pids))
    cluster[0].pause()
    cluster[1].kill()
    cluster.stop()
    cluster.stop()
    assert not any(map(alive, pids))
    assert not folder.exists()
    assert cluster not in live_clusters()
    assert "binding to port" in cluster[2].log() or "QuorumPeer" in cluster[2].log()  # its end stays readable


def test_a_cluster_that_is_left_to_the_interpreter_is_stopped_at_its_end() -> None:
    with in_a_process() as process:
        pid, folder = _announced(process)
        _, errors = finish(process)
        assert (process.returncode, errors) == (0, "")
        assert not alive(pid)
        assert not Path(folder).exists()


@pytest.mark.parametrize("harm", ["pass", "cluster[0].pause()"])
def test_a_killed_test_process_takes_its_servers_along(harm: str) -> None:
    with in_a_process(harm, "wait()") as process:
        pid, folder = _announced(process)
        assert alive(pid)
        process.kill()
        process.wait(timeout=30)
        wait_until(lambda: not alive(pid) and not Path(folder).exists())


def test_a_forked_child_that_exits_leaves_its_parents_servers_alone() -> None:
    lines = (
        "child = os.fork()",
        "child or (cluster.stop(), sys.exit())",
        "os.waitpid(child, 0)",
        "print(cluster[0].role, cluster.folder.exists())",
    )
    with in_a_process(*lines) as process:
        _announced(process)
        output, errors = finish(process)
        assert (process.returncode, output, errors) == (0, "standalone True\n", "")


@contextmanager
def in_a_process(*lines: str) -> Iterator[subprocess.Popen[str]]:
    """A test process of its own with a cluster; it announces the server's pid and the folder, then runs the lines."""
    program = [
        "import os, sys, threading, warnings",
        "from zk_testing.cluster import start_cluster",
        "warnings.simplefilter('ignore', DeprecationWarning)  # to fork with threads",
        "wait = threading.Event().wait",
        "cluster = start_cluster()",
        "print(cluster[0].pid, cluster.folder, flush=True)",
        *lines,
    ]
    with python(*program) as process:
        yield process


def _announced(process: subprocess.Popen[str]) -> tuple[int, str]:
    pid, folder = announced(process)
    return int(pid), folder
