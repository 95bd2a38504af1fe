"""pytest fixtures: real ZooKeeper servers, a proxy in front of one, a path for each test.

| fixture | scope | what |
|---|---|---|
| `zk_server` | session | a standalone `ZooKeeperServer` |
| `zk_cluster` | module | a `Cluster` of three; its tests get the marker `cluster` |
| `zk_faults` | function | a `FaultProxy` in front of `zk_server` |
| `zk_chroot` | function | a fresh node on `zk_server`, removed with all below it after the test |

Rule: a test may stop, kill or pause what a fixture gave it: it is healed before the next test. A test that needs a real
server is skipped with the reason where none can be had, and fails with it under `ZK_TESTING_REQUIRE_REAL=1`.

The version is `--zk-version`, else `ZK_TESTING_VERSION`, else 3.9. Under pytest-xdist each worker has servers of its
own. When a test fails, what its servers wrote to their logs meanwhile is shown in sections of the report; at the end
of the run one line tells which ZooKeeper was used, and from where.

Nothing of this package but this module is imported before a fixture is asked for.
"""

from __future__ import annotations

import os
import sys
import uuid
from collections import deque
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .cluster import Cluster, StoppedCluster
    from .faults import FaultProxy
    from .member import ZooKeeperServer
    from .rawclient import RawClient

__all__ = ["zk_chroot", "zk_cluster", "zk_faults", "zk_server"]

_DEFAULT_VERSION = "3.9"
_LOG_LINES = 100  # of each server, in the report of a failed test
_SUPER_USER = b"super:test"

_log_marks = pytest.StashKey[dict[str, int]]()
_used = pytest.StashKey[dict[str, None]]()  # what was used, each once, in order
_owned = pytest.StashKey["list[Cluster]"]()  # the fixtures' clusters; those that tests start are none of our business


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --zk-version."""
    parser.getgroup("zk-testing", "real ZooKeeper servers").addoption(
        "--zk-version",
        metavar="VERSION",
        help='ZooKeeper of zk_server and zk_cluster, as "3.8.4" or "newest" (default: ZK_TESTING_VERSION, else 3.9)',
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line("markers", "cluster: needs an ensemble of real ZooKeeper servers")
    config.stash[_used] = {}
    config.stash[_owned] = []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that use zk_cluster, so that `-m "not cluster"` leaves them out."""
    for item in items:
        if "zk_cluster" in getattr(item, "fixturenames", ()) and item.get_closest_marker("cluster") is None:
            item.add_marker("cluster")


# Fixtures


@pytest.fixture(scope="session")
def zk_server(request: pytest.FixtureRequest) -> Iterator[ZooKeeperServer]:
    """A real standalone server; damage done by a test is healed after it."""
    with _running(request.config, 1) as cluster:
        yield cluster[0]


@pytest.fixture(scope="module")
def zk_cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A real ensemble of three; damage done by a test is healed after it."""
    with _running(request.config, 3) as cluster:
        yield cluster


@pytest.fixture
def zk_faults(zk_server: ZooKeeperServer) -> Iterator[FaultProxy]:
    """A proxy in front of zk_server, without faults yet."""
    from .faults import FaultProxy

    with FaultProxy(zk_server) as proxy:
        yield proxy


@pytest.fixture
def zk_chroot(zk_server: ZooKeeperServer, request: pytest.FixtureRequest) -> Iterator[str]:
    """The path of a fresh, empty node on zk_server, to be used as a chroot; all of it is removed after the test."""
    from zk_wire import OPEN_ACL_UNSAFE, CreateRequest

    from .rawclient import RawClient

    path = f"/test-{uuid.uuid4().hex}"
    with RawClient(zk_server.address) as raw:
        raw.request(CreateRequest(path, b"", OPEN_ACL_UNSAFE, 0))
    yield path
    _heal(request.config)
    with RawClient(zk_server.address) as raw:
        raw.auth("digest", _SUPER_USER)  # whatever ACLs the test has set
        _delete_tree(raw, path)


@contextmanager
def _running(config: pytest.Config, size: int) -> Generator[Cluster]:
    from .cluster import start_cluster
    from .errors import NoServerError

    version: str = config.getoption("--zk-version") or os.environ.get("ZK_TESTING_VERSION") or _DEFAULT_VERSION
    try:
        cluster = start_cluster(size, version)
    except NoServerError as error:
        if os.environ.get("ZK_TESTING_REQUIRE_REAL") == "1":
            pytest.fail(f"{error} (and ZK_TESTING_REQUIRE_REAL=1 asks for one)", pytrace=False)
        pytest.skip(str(error))
    with cluster:
        config.stash[_used][str(cluster.distribution)] = None
        config.stash[_owned].append(cluster)
        try:
            yield cluster
        finally:
            config.stash[_owned].remove(cluster)


def _delete_tree(raw: RawClient, path: str) -> None:
    from zk_wire import DeleteRequest, GetChildrenRequest, NoNodeError, NotEmptyError

    while True:
        try:
            for child in raw.request(GetChildrenRequest(path, False)).children or ():
                _delete_tree(raw, f"{path}/{child}")
            raw.request(DeleteRequest(path, -1))
        except NoNodeError:
            return  # ephemeral, and its session ended meanwhile
        except NotEmptyError:
            continue  # somebody is still creating
        return


# Between tests


def _heal(config: pytest.Config) -> None:
    """Bring back what a test stopped, killed or paused."""
    for cluster in config.stash[_owned]:
        if cluster.damaged:
            cluster.heal()


def _live_clusters() -> tuple[Cluster, ...]:
    if "zk_testing.cluster" not in sys.modules:  # nobody has started one
        return ()
    from .cluster import live_clusters

    return live_clusters()


def _recently_stopped() -> deque[StoppedCluster]:
    if "zk_testing.cluster" not in sys.modules:  # nobody has started one
        return deque()
    from .cluster import recently_stopped

    return recently_stopped()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None]:
    """Note how long the logs are before the test."""
    item.stash[_log_marks] = {
        server.address: server.log_size() for cluster in _live_clusters() for server in cluster.members
    }
    _recently_stopped().clear()
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None]:
    """Heal what the test has damaged; servers of finished modules are gone by then."""
    result = yield
    _heal(item.config)
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add what the servers wrote during a failed test to its report."""
    report = yield
    if report.failed:
        marks = item.stash[_log_marks] if _log_marks in item.stash else dict[str, int]()
        for cluster in _live_clusters():
            for server in cluster.members:
                text = server.log(_LOG_LINES, since=marks.get(server.address, 0))
                report.sections.append((f"log of {server!r}", text or "(nothing during this test)"))
        for stopped in _recently_stopped():
            for name, text in stopped.logs:
                report.sections.append((f"log of {name} of the stopped {stopped.name}", text))
    return report


# At the end of the run


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A worker of pytest-xdist tells the controller what it used."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        used: dict[str, None] = session.config.stash[_used]
        output["zk_testing"] = list(used)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: object) -> None:
    """The controller of pytest-xdist hears from a worker."""
    config, output = getattr(node, "config", None), getattr(node, "workeroutput", None)
    if isinstance(config, pytest.Config) and output:
        lines: list[str] = output.get("zk_testing", [])
        for line in lines:
            config.stash[_used][line] = None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say which ZooKeeper was used, and where it came from."""
    used: dict[str, None] = config.stash[_used]
    for line in used:
        terminalreporter.write_line(line)
