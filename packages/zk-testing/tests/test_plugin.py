"""The pytest plugin, in a pytest of its own."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pytest_runs import NO_SERVER, run_pytest

from zk_testing.cluster import Cluster
from zk_testing.member import ZooKeeperServer
from zk_testing.rawclient import RawClient
from zk_wire import OPEN_ACL_UNSAFE, CreateRequest, ExistsRequest

ONE_TEST = "def test_one(zk_server): pass\n"


# Without a server


def test_where_no_server_can_be_had_the_test_is_skipped_with_the_reason(tmp_path: Path) -> None:
    run = run_pytest(tmp_path, ONE_TEST, "--zk-version=3.6.4", **NO_SERVER)
    assert run.returncode == 0
    assert "1 skipped" in run.stdout
    assert "no ZooKeeper 3.6.4 can be had here: ZOOKEEPER_CLASSPATH is not set" in run.stdout


def test_where_one_is_required_the_test_fails_with_the_reason(tmp_path: Path) -> None:
    run = run_pytest(tmp_path, ONE_TEST, ZK_TESTING_VERSION="3.6.4", ZK_TESTING_REQUIRE_REAL="1", **NO_SERVER)
    assert run.returncode == 1
    assert "1 error" in run.stdout
    assert "no ZooKeeper 3.6.4 can be had here" in run.stdout
    assert "ZK_TESTING_REQUIRE_REAL=1" in run.stdout


def test_tests_of_a_cluster_can_be_left_out(tmp_path: Path) -> None:
    tests = "def test_one(zk_cluster): pass\ndef test_two(): pass\n"
    run = run_pytest(tmp_path, tests, "-m", "not cluster", "--strict-markers")
    assert run.returncode == 0
    assert "1 passed, 1 deselected" in run.stdout


def test_the_plugin_alone_imports_next_to_nothing_of_this_package(tmp_path: Path) -> None:
    tests = "import sys\ndef test_one(): print(*sorted(m for m in sys.modules if m.startswith('zk_')))\n"
    run = run_pytest(tmp_path, tests, "-s")
    assert "1 passed" in run.stdout
    hooks = [f"zk_testing._pytest_{room}" for room in ("choice", "leaks", "report", "seeds", "servers")]
    assert " ".join(["zk_testing", "zk_testing._choice", *hooks, "zk_testing.plugin"]) in run.stdout


# With servers

BROKEN = """
def test_first(zk_server): pass
def test_that_fails(zk_server):
    assert not zk_server.port
def test_that_fails_after_a_restart(zk_server):
    zk_server.kill()
    zk_server.start()
    assert not zk_server.port
def test_next(zk_server): assert zk_server.role == "standalone"
"""


def test_a_failed_test_shows_what_the_server_wrote_meanwhile(tmp_path: Path) -> None:
    run = run_pytest(tmp_path, BROKEN)
    assert "2 failed, 2 passed" in run.stdout
    assert run.stdout.count("log of <ZooKeeperServer 1 3.9") == 2
    before, _, after = run.stdout.partition("_ test_that_fails_after_a_restart _")
    assert "(nothing during this test)" in before
    assert "binding to port" in after
    assert re.search(r"^ZooKeeper 3\.9\.\d from .*, Java .* from ", run.stdout, re.MULTILINE)


def test_a_failed_test_shows_the_log_of_a_cluster_it_started_and_stopped_itself(tmp_path: Path) -> None:
    tests = """
from zk_testing.cluster import start_cluster
def test_fails():
    with start_cluster() as cluster:
        assert not cluster.hosts
"""
    run = run_pytest(tmp_path, tests)
    assert "1 failed" in run.stdout
    assert "log of server 1 of the stopped <Cluster of 1 x ZooKeeper 3.9" in run.stdout
    assert "binding to port" in run.stdout


def test_each_worker_of_xdist_has_a_server_of_its_own(tmp_path: Path) -> None:
    pytest.importorskip("xdist")
    tests = """
import pathlib, pytest
@pytest.mark.parametrize("number", range(4))
def test_it(zk_server, worker_id, number):
    with open("seen", "a") as file: file.write(f"{worker_id} {zk_server.port}\\n")
"""
    run = run_pytest(tmp_path, tests, "-p", "xdist", "-n", "2", "--dist=each")
    assert "8 passed" in run.stdout, run.stdout
    seen = {tuple(line.split()) for line in (tmp_path / "seen").read_text().splitlines()}
    assert len(seen) == len({worker for worker, _ in seen}) == len({port for _, port in seen}) == 2
    assert run.stdout.count("ZooKeeper 3.9") == 1


# The fixtures themselves

_chroots: list[str] = []


@pytest.mark.parametrize("round_", [1, 2])
def test_every_test_has_a_fresh_path(zk_server: ZooKeeperServer, zk_chroot: str, round_: int) -> None:
    with RawClient(zk_server.address) as raw:
        assert raw.request(ExistsRequest(zk_chroot, False)).stat.num_children == 0
        raw.request(CreateRequest(f"{zk_chroot}/a", b"", OPEN_ACL_UNSAFE, 0))
        raw.request(CreateRequest(f"{zk_chroot}/a/b", b"", OPEN_ACL_UNSAFE, 0))
        before = raw.request(ExistsRequest("/", False)).stat.num_children
    assert zk_chroot not in _chroots
    _chroots.append(zk_chroot)
    assert before == 2  # this one and /zookeeper: the first round's is gone


@pytest.mark.parametrize("harm", ["kill", "pause", "stop"])
def test_damage_is_done(zk_server: ZooKeeperServer, harm: str) -> None:
    assert zk_server.role == "standalone"  # the test before has harmed it too
    getattr(zk_server, harm)()
    assert zk_server.role is None


def test_the_cluster_fixture_is_an_ensemble_of_three(zk_cluster: Cluster, request: pytest.FixtureRequest) -> None:
    assert len(zk_cluster) == 3
    assert zk_cluster.leader() in zk_cluster.members
    assert request.node.get_closest_marker("cluster") is not None
    zk_cluster.leader().kill()


def test_the_cluster_fixture_is_healed(zk_cluster: Cluster) -> None:
    assert not zk_cluster.damaged
    assert len(zk_cluster.followers()) == 2


def test_workers_of_xdist_share_no_embedded_server_either(tmp_path: Path) -> None:
    pytest.importorskip("xdist")
    tests = """
import pytest
from zk_client import Client
@pytest.mark.parametrize("number", range(6))
def test_it(zk_server, zk_embedded, zk_client, worker_id, number):
    zk_client.create("/here", ephemeral=True)
    with open("seen", "a") as file: file.write(f"{worker_id} {zk_server.port}\\n")
def test_leaky(zk_embedded, worker_id):
    zk = Client(zk_embedded.hosts)
    zk.start()
"""
    run = run_pytest(tmp_path, tests, "-p", "xdist", "-n", "2", "--dist=each", "--zk=embedded,embedded:3.6")
    assert "28 passed, 4 errors" in run.stdout, run.stdout
    seen = {tuple(line.split()) for line in (tmp_path / "seen").read_text().splitlines()}
    assert len(seen) == len({port for _, port in seen}) == 4  # two versions for each worker
