"""The leak check of each test: the option, the setting, the marker, and the fixture that does it.

Rule: it runs after everything a test was given has ended, and before its servers have. A test that failed already is
not checked, because it may not have come to its own clean-up.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING

import pytest

from ._pytest_servers import heal_servers

if TYPE_CHECKING:
    from ._serving import Owned

__all__: list[str] = []

_SERVERS = ("zk_server", "zk_cluster", "zk_embedded")

_failed = pytest.StashKey[bool]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option and the setting."""
    parser.getgroup("zk-testing").addoption(
        "--zk-no-leak-check",
        action="store_true",
        help="do not look for sessions, watches, threads and descriptors that tests leave behind",
    )
    parser.addini(
        "zk_leak_check", "look for what tests with a zk fixture leave behind (default: true)", type="bool", default=True
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line(
        "markers",
        "zk_leaks_allowed(*kinds): what the test may leave behind: sessions, watches, threads, descriptors; "
        "all of it without a word",
    )


@pytest.fixture(autouse=True)
def _zk_leak_check(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that leaves something behind."""
    config, names = request.config, request.fixturenames
    if "_zk_choice" not in names or config.getoption("--zk-no-leak-check") or not config.getini("zk_leak_check"):
        yield
        return
    from ._leaks import LeakCheck, allowed_kinds
    from ._serving import members_of

    marker = request.node.get_closest_marker("zk_leaks_allowed")
    try:
        allowed = frozenset[str]() if marker is None else allowed_kinds(marker.args)
    except ValueError as error:
        pytest.fail(f"the marker zk_leaks_allowed of {request.node.name}: {error}", pytrace=False)
    # Asked for here, the servers outlive this fixture.
    used: list[Owned] = [request.getfixturevalue(name) for name in _SERVERS if name in names]
    if not used and "_zk_here" in names:
        used = [request.getfixturevalue("_zk_here")]
    if "zk_chroot" in names:  # so does the test's node, or what a session owns there would be gone before it is told
        request.getfixturevalue("zk_chroot")
    check = LeakCheck([member for server in used for member in members_of(server)])
    yield
    if request.node.stash.get(_failed, False):
        return
    damaged = heal_servers(config)
    if leaks := check.leaks(allowed, cut_off="zk_faults" in names or damaged):
        lines = "".join(f"\n  {leak}" for leak in leaks)
        pytest.fail(f"the test left behind:{lines}\n(mark it with zk_leaks_allowed where that is meant)", pytrace=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Remember that the test failed."""
    report = yield
    if report.when != "teardown":
        item.stash[_failed] = item.stash.get(_failed, False) or report.failed
    return report
