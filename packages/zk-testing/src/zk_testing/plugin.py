"""pytest fixtures: ZooKeeper servers, embedded and real, clients, faults, and a path for each test.

| fixture | scope | what |
|---|---|---|
| `zk_server` | session | a standalone server: real, unless `--zk` says otherwise |
| `zk_cluster` | module | an ensemble of three, likewise; a test on real ones gets the marker `cluster` |
| `zk_embedded` | function | an embedded server of the test's own, whatever `--zk` says |
| `zk_settings` | function | the `Settings` of `zk_embedded`, to be overridden: shorter ticks, quotas, ... |
| `zk_chroot` | function | the path of a fresh node on the test's server, removed with all below it after the test |
| `zk_hosts` | function | the connection string of the test's server with `zk_chroot`, for a client of any make |
| `zk_client` | function | a started `zk_client.Client` below `zk_chroot`, stopped after the test |
| `zk_make_client` | function | makes more of them: `zk_make_client(zk_faults)`, `zk_make_client(timeout=2.0)` |
| `zk_async_client` | function | a `zk_client.AsyncClient` for the test to start: `async with zk_async_client as zk:` |
| `zk_faults` | function | a `FaultProxy` in front of the test's server, without faults yet |
| `zk_choice` | session | the kind and version of the test's server, for fixtures that start servers of their own |

Real servers take a second to start, so they are shared by the session, and ensembles by a module; an embedded server
takes a millisecond or two, so each test has its own. What is shared is healed between tests, and `zk_chroot` parts it.

Rule: a test has one server, and everything it asks for is there: the one it names (`zk_server`, else `zk_cluster`, else
`zk_embedded`), else an embedded one. Which kind and version is said by, from the strongest:

1. `--zk=embedded|real|3.8.4|embedded:3.8|newest`, several by commas or by repeating it: the test runs once on each.
   It restricts what the markers name and never widens it: a test of which nothing remains is skipped.
2. `@pytest.mark.zk("real", ...)`, in the same words, and `@pytest.mark.zk_versions("3.6", "3.9")`, for any kind.
3. the setting `zk` in pytest's configuration file.
4. real for tests that name `zk_server` or `zk_cluster`, else embedded.

The version is `--zk-version`, else `ZK_TESTING_VERSION`, else 3.9, where none of these names one. A test that needs a
real server is skipped with the reason where none can be had, and fails with it under `ZK_TESTING_REQUIRE_REAL=1`.

A test may stop, kill or pause what a fixture gave it: it is healed before the next test. Under pytest-xdist each worker
has servers of its own. When a test fails, what its real servers wrote to their logs meanwhile is shown in sections of
the report; at the end of the run one line tells which real ZooKeeper was used, and from where.

After each test that used one of these, what it left behind fails it: see `_pytest_leaks.py`.

Of this package only the plugin's own rooms are imported before a fixture is asked for.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

import pytest

from . import _pytest_choice, _pytest_leaks, _pytest_report, _pytest_seeds, _pytest_servers
from ._choice import EMBEDDED, REAL, Choice
from ._pytest_choice import choice_without_parameter
from ._pytest_servers import disown, heal_servers, own

if TYPE_CHECKING:
    from zk_client import AsyncClient, Client

    from ._clients import ClientMaker
    from ._serving import Ensemble, Server, Servers
    from .embedded import EmbeddedServer, Settings
    from .faults import FaultProxy

__all__ = [
    "zk_async_client",
    "zk_choice",
    "zk_chroot",
    "zk_client",
    "zk_cluster",
    "zk_embedded",
    "zk_faults",
    "zk_hosts",
    "zk_make_client",
    "zk_server",
    "zk_settings",
]

T = TypeVar("T")

_CLUSTER_SIZE = 3


def pytest_addoption(pluginmanager: pytest.PytestPluginManager) -> None:
    """Bring the other rooms of this plugin, which have hooks of their own."""
    for room in (_pytest_choice, _pytest_report, _pytest_seeds, _pytest_servers, _pytest_leaks):
        pluginmanager.register(room)


# Servers


@pytest.fixture(scope="session")
def _zk_choice(request: pytest.FixtureRequest) -> Choice | None:
    """What the test runs on; None where nobody could say, as for the methods of a TestCase."""
    choice: Choice | None = getattr(request, "param", None)
    return choice


@pytest.fixture(scope="session")
def zk_choice(_zk_choice: Choice | None, request: pytest.FixtureRequest) -> Choice:
    """What the test runs on: `.embedded`, `.kind` ("embedded", "real"), `.version` as asked for; starts nothing."""
    return _zk_choice or choice_without_parameter(request.config, EMBEDDED)


@pytest.fixture(scope="session")
def _zk_servers(request: pytest.FixtureRequest) -> Iterator[Servers]:
    """The session's standalone servers: kept to its end, because tests of several choices may alternate."""
    from ._serving import Servers

    servers = Servers(lambda owned: own(request.config, owned))
    yield servers
    for owned in servers.stop():
        disown(request.config, owned)


@pytest.fixture(scope="session")
def zk_server(_zk_choice: Choice | None, _zk_servers: Servers, request: pytest.FixtureRequest) -> Server:
    """A standalone server, real unless --zk says otherwise; damage done by a test is healed after it."""
    return _get(lambda: _zk_servers.get(_zk_choice or choice_without_parameter(request.config, REAL)))


@pytest.fixture(scope="module")
def zk_cluster(_zk_choice: Choice | None, request: pytest.FixtureRequest) -> Iterator[Ensemble]:
    """An ensemble of three, real unless --zk says otherwise; damage done by a test is healed after it."""
    from ._serving import start_ensemble

    choice = _zk_choice or choice_without_parameter(request.config, REAL)
    cluster = _get(lambda: start_ensemble(choice, _CLUSTER_SIZE))
    with cluster:
        own(request.config, cluster)
        try:
            yield cluster
        finally:
            disown(request.config, cluster)


@pytest.fixture
def zk_settings() -> Settings:
    """What `zk_embedded` is told to be; override it for shorter ticks, quotas, read-only sessions, ..."""
    from .embedded import Settings

    return Settings()


@pytest.fixture
def zk_embedded(
    _zk_choice: Choice | None, zk_settings: Settings, request: pytest.FixtureRequest
) -> Iterator[EmbeddedServer]:
    """A fresh embedded server; it is the test's own, so nothing done to it can harm another test."""
    from .embedded import EmbeddedServer

    choice = _zk_choice or choice_without_parameter(request.config, EMBEDDED)
    with EmbeddedServer(settings=replace(zk_settings, version=choice.exact)) as server:
        own(request.config, server)
        yield server
        disown(request.config, server)


@pytest.fixture
def _zk_here(_zk_choice: Choice | None, request: pytest.FixtureRequest) -> Server | Ensemble:
    """The server of this test."""
    names = request.fixturenames
    for name in ("zk_server", "zk_cluster", "zk_embedded"):
        if name in names:
            here: Server | Ensemble = request.getfixturevalue(name)
            return here
    servers: Servers = request.getfixturevalue("_zk_servers")
    return _get(lambda: servers.get(_zk_choice or choice_without_parameter(request.config, EMBEDDED)))


def _get(start: Callable[[], T]) -> T:
    """Start a server, or skip where a real one cannot be had."""
    from .errors import NoServerError

    try:
        return start()
    except NoServerError as error:
        if os.environ.get("ZK_TESTING_REQUIRE_REAL") == "1":
            pytest.fail(f"{error} (and ZK_TESTING_REQUIRE_REAL=1 asks for one)", pytrace=False)
        pytest.skip(str(error))


# What a test has there


@pytest.fixture
def zk_chroot(_zk_here: Server | Ensemble, request: pytest.FixtureRequest) -> Iterator[str]:
    """The path of a fresh, empty node, to be used as a chroot; all of it is removed after the test."""
    from ._chroot import create_chroot, remove_chroot
    from ._serving import members_of

    own_server = "zk_embedded" in request.fixturenames and request.getfixturevalue("zk_embedded") is _zk_here
    path = create_chroot(members_of(_zk_here)[0].address)
    yield path
    heal_servers(request.config)
    if not own_server:  # which takes it along, and may have another super user, or none
        remove_chroot(members_of(_zk_here)[0].address, path)


@pytest.fixture
def zk_hosts(_zk_here: Server | Ensemble, zk_chroot: str) -> str:
    """ "host:port/chroot" of the test's server and its fresh node, for a client of any make."""
    return _zk_here.connection_string(zk_chroot)


@pytest.fixture
def zk_faults(_zk_here: Server | Ensemble) -> Iterator[FaultProxy]:
    """A proxy in front of the test's server (the first one of an ensemble), without faults yet."""
    from ._serving import members_of
    from .faults import FaultProxy

    with FaultProxy(members_of(_zk_here)[0]) as proxy:
        yield proxy


@pytest.fixture
def zk_make_client(
    _zk_here: Server | Ensemble, zk_chroot: str, request: pytest.FixtureRequest
) -> Iterator[ClientMaker]:
    """Makes `zk_client.Client`s, below the test's chroot unless told otherwise; they are stopped after the test."""
    from ._clients import ClientMaker

    # What the clients may be connected through has to outlive them: closing a session takes a connection.
    faults: FaultProxy | None = request.getfixturevalue("zk_faults") if "zk_faults" in request.fixturenames else None
    with ClientMaker(_zk_here.hosts, zk_chroot) as maker:
        yield maker
        if faults is not None:
            faults.heal()
        heal_servers(request.config)


@pytest.fixture
def zk_client(zk_make_client: ClientMaker) -> Client:
    """A started client below the test's chroot; stopped after the test."""
    return _made(zk_make_client)


@pytest.fixture
def zk_async_client(zk_hosts: str) -> AsyncClient:
    """An asyncio client below the test's chroot that the test starts and stops: `async with zk_async_client as zk:`."""
    from ._clients import async_client

    return _made(lambda: async_client(zk_hosts))


def _made(make: Callable[[], T]) -> T:
    from ._clients import NoClientError

    try:
        return make()
    except NoClientError as error:
        pytest.fail(str(error), pytrace=False)
