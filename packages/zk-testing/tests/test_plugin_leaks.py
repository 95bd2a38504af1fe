"""What a test leaves behind fails it, and says what it is."""

from __future__ import annotations

from pathlib import Path

import pytest
from pytest_runs import run_pytest

from zk_client import Client
from zk_testing import EmbeddedServer
from zk_testing._holdings import Held, holdings, parse_dump, parse_watches
from zk_testing._leaks import LeakCheck, allowed_kinds
from zk_testing.member import ZooKeeperServer
from zk_testing.rawclient import RawClient
from zk_wire import OPEN_ACL_UNSAFE, CreateRequest, GetChildrenRequest, GetDataRequest

EPHEMERAL = 1


def hold(raw: RawClient, path: str) -> None:
    """An ephemeral node with two watches."""
    raw.request(CreateRequest(path, b"", OPEN_ACL_UNSAFE, EPHEMERAL))
    raw.request(GetDataRequest(path, True))


# Looking


def test_an_embedded_server_tells_what_its_sessions_hold(zk_embedded: EmbeddedServer) -> None:
    with RawClient(zk_embedded.address) as raw:
        hold(raw, "/a")
        raw.request(GetChildrenRequest("/", True))
        held = holdings([zk_embedded])[raw.session_id]
        assert held.ephemerals == {"/a"}
        assert held.watches == {"/a", "/"}
        assert held.address is not None and held.address.startswith("127.0.0.1:")


def test_a_server_tells_by_words_what_its_sessions_hold(zk_server: ZooKeeperServer, zk_chroot: str) -> None:
    with RawClient(zk_server.address) as raw:
        hold(raw, f"{zk_chroot}/a")
        held = holdings([zk_server])[raw.session_id]
        assert held.ephemerals == {f"{zk_chroot}/a"}
        assert held.watches == {f"{zk_chroot}/a"}
        assert (held.address or "").startswith("127.0.0.1:")


FOLLOWER = """SessionTracker dump:
Global Sessions(2):
0x30000c5db250000\t10000ms
0xff0000c5db250000\t4000ms
ephemeral nodes dump:
Sessions with Ephemerals (1):
0x30000c5db250000:
\t/e
\t/f
Connections dump:
Connections Sets (1)/(2):
2 expire at Sun Nov 22 17:33:37 UTC 2026:
\tip: /127.0.0.1:39106 sessionId: 0x0
\tip: /127.0.0.1:39108 sessionId: 0xff0000c5db250000
"""


def test_a_follower_s_answer_is_understood() -> None:
    held: dict[int, Held] = {}
    parse_dump(FOLLOWER, held)
    parse_watches("0x30000c5db250000\n\t/e\n\n", held)
    first, second = 0x30000C5DB250000, 0xFF0000C5DB250000 - (1 << 64)
    assert held == {first: Held(None, {"/e", "/f"}, {"/e"}), second: Held()}


# Comparing


def test_what_was_there_before_is_nobody_s_leak(zk_embedded: EmbeddedServer) -> None:
    with RawClient(zk_embedded.address) as raw:
        hold(raw, "/a")
        assert LeakCheck([zk_embedded]).leaks() == []


def test_a_new_watch_of_an_old_session_is_a_leak(zk_embedded: EmbeddedServer) -> None:
    with RawClient(zk_embedded.address) as raw:
        check = LeakCheck([zk_embedded])
        raw.request(GetChildrenRequest("/", True))
        name = f"session 0x{raw.session_id:x} on {zk_embedded.address}"
        assert check.leaks() == [f"a watch on / of {name}, which was there before the test"]
        assert check.leaks(["watches"]) == []


def test_a_session_whose_client_is_gone_is_a_leak_unless_the_test_cuts(zk_embedded: EmbeddedServer) -> None:
    check = LeakCheck([zk_embedded])
    raw = RawClient(zk_embedded.address)
    raw.close()
    assert check.leaks() == [f"session 0x{raw.session_id:x} on {zk_embedded.address} (not connected)"]
    assert check.leaks(cut_off=True) == []
    zk_embedded.expire_session(raw.session_id)


def test_a_session_that_the_test_has_cut_off_on_the_server_is_not_a_leak(zk_embedded: EmbeddedServer) -> None:
    check = LeakCheck([zk_embedded])
    raw = RawClient(zk_embedded.address)
    zk_embedded.drop_connections()
    raw.close()
    assert check.leaks() == []


def test_a_restarted_server_is_not_a_leak(zk_embedded: EmbeddedServer) -> None:
    check = LeakCheck([zk_embedded])
    raw = RawClient(zk_embedded.address)
    zk_embedded.restart()
    raw.close()
    assert check.leaks() == []


def test_a_wider_client_that_connects_anew_is_not_a_leak() -> None:
    with EmbeddedServer() as server, Client(server.hosts) as wider:
        check = LeakCheck([])
        server.drop_connections()
        wider.exists("/")
        assert check.leaks() == []


def test_what_ends_soon_is_waited_for(zk_embedded: EmbeddedServer) -> None:
    import threading

    release = threading.Event()
    check = LeakCheck([zk_embedded])
    thread = threading.Thread(target=release.wait, args=(0.2,), name="zk-client-ending")
    thread.start()
    assert check.leaks() == []
    thread.join()


def test_kinds_that_are_none_are_refused() -> None:
    assert allowed_kinds([]) == {"sessions", "watches", "threads", "descriptors"}
    with pytest.raises(ValueError, match="is any of sessions, watches, threads, descriptors, not 'nodes'"):
        allowed_kinds(["nodes"])


# In pytest

LEAKY = """
import pytest
from zk_client import Client
kept = []
{marker}
def test_leaky({fixture}):
    zk = Client({fixture}.hosts)
    kept.append(zk)
    zk.start()
    zk.create("/held", ephemeral=True)
    zk.get("/held", watch=print)
def test_next({fixture}): pass
"""


def test_a_client_that_was_not_stopped_fails_the_test_with_what_it_holds(tmp_path: Path) -> None:
    run = run_pytest(tmp_path, LEAKY.format(marker="", fixture="zk_embedded"))
    assert "2 passed, 1 error" in run.stdout, run.stdout
    for text in (
        "the test left behind:\n",
        "(connected from 127.0.0.1:",
        "), which owns an ephemeral node /held and has a watch on /held\n",
        "thread zk-client",
        ": socket 127.0.0.1:",
    ):
        assert text in run.stdout, run.stdout


def test_the_same_on_a_real_server(tmp_path: Path) -> None:
    run = run_pytest(tmp_path, LEAKY.format(marker="", fixture="zk_server"))
    assert "2 passed, 1 error" in run.stdout, run.stdout
    assert "), which owns an ephemeral node /held and has a watch on /held\n" in run.stdout, run.stdout


@pytest.mark.parametrize(
    ("kinds", "left", "right"),
    [
        ("", "", "left behind"),
        ("'sessions', 'threads'", "descriptor", "session "),
        ("'descriptors', 'threads'", "session ", "descriptor "),
        ("'sessions', 'descriptors', 'watches'", "thread zk-client", "session"),
    ],
)
def test_a_marker_allows_kinds_of_leaks(tmp_path: Path, kinds: str, left: str, right: str) -> None:
    marker = f"@pytest.mark.zk_leaks_allowed({kinds})"
    run = run_pytest(tmp_path, LEAKY.format(marker=marker, fixture="zk_embedded"))
    assert ("1 error" in run.stdout) == bool(left), run.stdout
    report = run.stdout.partition("the test left behind")[2].partition("(mark it")[0]
    assert left in report and right not in report, run.stdout


def test_the_check_can_be_turned_off(tmp_path: Path) -> None:
    tests = LEAKY.format(marker="", fixture="zk_embedded")
    assert "2 passed in" in run_pytest(tmp_path, tests, "--zk-no-leak-check").stdout
    (tmp_path / "pytest.ini").write_text("[pytest]\nzk_leak_check = false\n")
    assert "2 passed in" in run_pytest(tmp_path, tests).stdout


def test_only_the_test_that_leaks_is_blamed(tmp_path: Path) -> None:
    run = run_pytest(tmp_path, LEAKY.format(marker="", fixture="zk_server"), "--zk=embedded", "-v")
    assert "test_leaky ERROR" in run.stdout
    assert "test_next PASSED" in run.stdout and "test_next ERROR" not in run.stdout


def test_a_failed_test_is_not_checked(tmp_path: Path) -> None:
    tests = LEAKY.format(marker="", fixture="zk_embedded").replace(
        "def test_next", "    assert not kept\ndef test_next"
    )
    run = run_pytest(tmp_path, tests)
    assert "1 failed, 1 passed" in run.stdout and "error" not in run.stdout


def test_clients_of_wider_fixtures_are_nobody_s_leak(tmp_path: Path) -> None:
    tests = """
import pytest
from zk_client import Client
@pytest.fixture(scope="module")
def shared(zk_server):
    with Client(zk_server.hosts) as zk: yield zk
def test_first(shared): shared.exists("/nowhere")
def test_second(shared, zk_faults, zk_make_client, zk_chroot):
    zk = zk_make_client(zk_faults)
    zk_faults.cut()
    zk_faults.refuse()
"""
    assert "2 passed in" in run_pytest(tmp_path, tests, "--zk=embedded").stdout
