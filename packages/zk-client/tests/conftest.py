"""Fixtures of the tests on running servers: the world they run in, and clients; which servers, `--zk` says."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from worlds import Threads

    from zk_client import Client
    from zk_testing import Choice, EmbeddedServer
    from zk_testing.cluster import Cluster
    from zk_testing.faults import FaultProxy
    from zk_testing.member import ZooKeeperServer

MakeClient = Callable[..., Any]

# Lines of servers that are neither the oldest nor the newest.
BETWEEN = ("3.7", "3.8")
# What clients may be connected through; it has to outlive them, because closing a session takes a connection.
PROXIES = ("zk_faults", "mangler", "ipv6", "proxy", "proxies")


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line("markers", "worlds(*names): the worlds a test is for: threads, gevent, asyncio")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test once in each of its worlds."""
    if "world" in metafunc.fixturenames:
        from worlds import WORLDS, parameters

        marker = metafunc.definition.get_closest_marker("worlds")
        metafunc.parametrize("world", parameters(marker.args if marker else WORLDS), indirect=True, scope="module")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Lines of servers between the oldest and the newest are for one world: what is on the wire is the same in all."""
    left_out = {item for item in items if _is_between(getattr(item, "callspec", None))}
    if left_out:
        config.hook.pytest_deselected(items=list(left_out))
        items[:] = [item for item in items if item not in left_out]


def _is_between(spec: Any) -> bool:
    parameters = spec.params if spec is not None else {}
    return parameters.get("each_server") in BETWEEN and parameters.get("world") in ("gevent", "asyncio")


@pytest.fixture(scope="module")
def world(request: pytest.FixtureRequest) -> Iterator[Threads]:
    """Threads, greenlets or asyncio: see `worlds`."""
    from worlds import being_in

    with being_in(request.param) as world:
        yield world


@pytest.fixture
def make_client(request: pytest.FixtureRequest, world: Threads) -> Iterator[MakeClient]:
    """Make (and start) clients that are stopped after the test, none of whose workers is left then."""
    for proxy in PROXIES:
        if proxy in request.fixturenames:
            request.getfixturevalue(proxy)
    before = world.workers()
    made: list[Any] = []

    def make(hosts: str, timeout: float = 6.0, *, start: bool = True, **options: Any) -> Any:
        client = world.client(hosts, timeout, **options)
        made.append(client)
        if start:
            client.start()
        return client

    yield make
    for client in made:
        world.end(client)

    def left() -> list[str]:
        # A question to the system's resolver ends when the system answers, and not before.
        return [worker.name for worker in world.workers() - before if worker.name != "zk-client resolve"]

    from live import comes_true

    # Whoever called stop where nobody may wait did not wait for the end of the worker that stops.
    assert comes_true(lambda: "zk-client stop" not in left())
    assert left() == []


@pytest.fixture
def zk(make_client: MakeClient, zk_server: ZooKeeperServer, zk_chroot: str) -> Client:
    """A started client on the session's standalone server, below a fresh node."""
    return make_client(zk_server.connection_string(zk_chroot))  # type: ignore[no-any-return]


@pytest.fixture
def other(make_client: MakeClient, zk_server: ZooKeeperServer, zk_chroot: str) -> Client:
    """A client on the same nodes that nothing happens to."""
    return make_client(zk_server.connection_string(zk_chroot))  # type: ignore[no-any-return]


@pytest.fixture
def away(make_client: MakeClient, zk_faults: FaultProxy, zk_chroot: str) -> Client:
    """A client on the same nodes that can be cut off from the server."""
    return make_client(zk_faults.hosts + zk_chroot)  # type: ignore[no-any-return]


# Servers of every supported line


# Above the world's scope: who changes worlds keeps the server.
@pytest.fixture(scope="session", params=["3.6", *BETWEEN, "newest"])
def each_server(zk_choice: Choice, request: pytest.FixtureRequest) -> Iterator[Cluster | EmbeddedServer]:
    """A standalone server of each line in turn, with hard quotas where it knows them."""
    from live import servers

    with servers(zk_choice, request.param, quotas=True) as started:
        yield started  # type: ignore[misc]


@pytest.fixture(scope="module")
def shared(each_server: Cluster, world: Threads) -> Iterator[Client]:
    """One client for all tests of a module."""
    with world.client(each_server.hosts, 10.0) as client:
        yield client


@pytest.fixture
def top(shared: Client) -> str:
    """A fresh node."""
    return shared.create(f"/t-{uuid.uuid4().hex}")
