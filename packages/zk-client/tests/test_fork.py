"""Forked processes: what a child may do with its parent's client, and what the parent notices of it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from zk_client._session.core import SessionCore
from zk_testing import EmbeddedServer
from zk_testing.faults import FaultProxy

PROGRAMS = Path(__file__).with_name("forking.py")

pytestmark = pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="this system cannot fork")


@pytest.fixture
def proxy() -> Iterator[FaultProxy]:
    with EmbeddedServer() as server, FaultProxy(server) as proxy:
        yield proxy


def requests(proxy: FaultProxy, kind: str) -> int:
    """How many requests of a kind have passed."""
    return sum(passed.kind == kind and passed.direction == "to_server" for passed in proxy.record)


def run(name: str, hosts: str) -> None:
    """A program of `forking` ends well, and has nothing to say."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", str(PROGRAMS), name, hosts],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_child_is_told_that_the_client_is_its_parents_which_goes_on_undisturbed(proxy: FaultProxy) -> None:
    run("error", proxy.hosts)
    assert requests(proxy, "connect") == 1


def test_nothing_of_a_childs_reaches_the_server_unless_it_starts_a_session(proxy: FaultProxy) -> None:
    run("normal_exit", proxy.hosts)
    assert requests(proxy, "connect") == 1
    assert requests(proxy, "close_session") == 1


def test_a_child_begins_a_session_of_its_own_with_its_parents_identities(proxy: FaultProxy) -> None:
    run("new_session", proxy.hosts)
    assert requests(proxy, "connect") == 2


def test_a_child_inherits_no_lock_that_is_taken(proxy: FaultProxy) -> None:
    run("storm", proxy.hosts)


def test_calls_under_way_end_in_the_child_and_go_on_in_the_parent(proxy: FaultProxy) -> None:
    run("under_way", proxy.hosts)


def test_nobody_waits_in_a_child_for_its_parents_watches(proxy: FaultProxy) -> None:
    run("watches", proxy.hosts)


def test_a_callback_may_fork(proxy: FaultProxy) -> None:
    run("callback", proxy.hosts)


def test_the_workers_of_a_preforking_server_have_sessions_of_their_own(proxy: FaultProxy) -> None:
    run("prefork_server", proxy.hosts)


def test_the_workers_of_a_task_queue_have_sessions_of_their_own(proxy: FaultProxy) -> None:
    run("task_pool", proxy.hosts)


def test_a_session_left_open_is_not_taken_along_by_a_child(proxy: FaultProxy) -> None:
    run("kept_session", proxy.hosts)


def test_a_client_that_was_not_started_is_a_childs_to_start(proxy: FaultProxy) -> None:
    run("stopped", proxy.hosts)


def test_a_child_may_use_an_asyncio_client_in_a_loop_of_its_own(proxy: FaultProxy) -> None:
    run("awaited", proxy.hosts)


def test_a_forked_core_has_ended_every_call_and_forgotten_the_session() -> None:
    from corepair import CorePair, Sink

    pair = CorePair()
    pair.core.add_identity(("digest", b"user:secret"))
    pair.start()
    queued = pair.submit(pair.operations.set("/queued", b""))
    core: SessionCore = pair.core
    sink = Sink()
    core.watches.add(0, "/watched", sink)
    under_way = core.forked("somebody else's")
    assert under_way == [queued]
    assert "somebody else's" in str(queued.failure)
    assert (core.session_id, len(core.watches), list(core.actions), core.deadline()) == (0, 0, [], None)
    pair.start()
    pair.open()
    assert pair.kinds() == ["AuthPacket"]
