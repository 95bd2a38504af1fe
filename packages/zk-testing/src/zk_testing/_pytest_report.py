"""What real servers did, in pytest's report: their logs under a failed test, and which ZooKeeper it was at the end.

Rule: only watches; nothing here starts, heals or stops a server.
"""

from __future__ import annotations

import re
import sys
from collections import deque
from collections.abc import Generator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .cluster import Cluster, StoppedCluster

__all__ = ["note_used"]

_LOG_LINES = 100  # of each server, in the report of a failed test
_OWN_QUESTION = re.compile(r"Processing (dump|cons|wchc) command from ")  # of the leak check

_log_marks = pytest.StashKey[dict[str, int]]()
_used = pytest.StashKey[dict[str, None]]()  # what was used, each once, in order


def pytest_configure(config: pytest.Config) -> None:
    """Nothing was used yet."""
    config.stash[_used] = {}


def note_used(config: pytest.Config, what: str) -> None:
    """A ZooKeeper that the last lines of the run shall name."""
    config.stash[_used][what] = None


# During a test


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
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add what the servers wrote during a failed test to its report."""
    report = yield
    if report.failed:
        marks = item.stash[_log_marks] if _log_marks in item.stash else dict[str, int]()
        for cluster in _live_clusters():
            for server in cluster.members:
                text = server.log(_LOG_LINES, since=marks.get(server.address, 0))
                lines = [line for line in text.splitlines() if not _OWN_QUESTION.search(line)]
                report.sections.append((f"log of {server!r}", "\n".join(lines) or "(nothing during this test)"))
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
