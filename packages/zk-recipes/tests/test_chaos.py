"""Chaos in every world: on an embedded ensemble for seconds, on three real servers for a minute (`nox -s chaos`).

The checks have tests of their own, on histories written by hand: a check that cannot fail proves nothing.
"""

from __future__ import annotations

import importlib.util
import os

import pytest
from chaos import grown, run, weight
from chaos_history import APPLIED, LONGEST, NOT_APPLIED, UNKNOWN, History, Hold, Op

from zk_client import Outcome, Stat
from zk_testing.errors import NoServerError

WORLDS = ("threads", "asyncio", *(["gevent"] if importlib.util.find_spec("gevent") else []))


def test_no_promise_is_broken_while_an_embedded_ensemble_is_torn_apart() -> None:
    report = run(3.0, 1, kind="embedded", worlds=WORLDS, round_seconds=3.0)
    done = report.rounds[0]
    for kind in ("create", "set", "cas", "get", "multi", "sequential", "delete", "guarded", "lock"):
        assert done[f"{kind} APPLIED"] > 0, report
    assert report.faults > 2


@pytest.mark.cluster
@pytest.mark.zk("real")
def test_no_promise_is_broken_while_real_servers_are_torn_apart(zk_choice: object) -> None:
    try:
        report = run(40.0, 3, kind="real", worlds=WORLDS, round_seconds=13.0)
    except NoServerError as error:
        if os.environ.get("ZK_TESTING_REQUIRE_REAL") == "1":
            raise
        pytest.skip(str(error))
    assert report.faults > 10
    assert sum(report.rounds[-1].values()) > 100


# The checks see what they are there for


def stat(version: int = 0, *, mzxid: int = 10) -> Stat:
    return Stat(5, mzxid, 0, 0, version, 0, 0, 0, 0, 0, 5)


def op(kind: str, path: str, outcome: Outcome | None = APPLIED, **facts: object) -> Op:
    """An operation of 1 ms that ended so."""
    made = Op("worker", "client", kind, path, b"", 7)
    made.end = made.begin + 0.001
    made.outcome = outcome
    for name, value in facts.items():
        setattr(made, name, value)
    return made


def found(*ops: Op, final: dict[str, tuple[bytes, Stat]] | None = None, **children: list[str]) -> str:
    """What the checks say of these operations."""
    history = History()
    history.ops += ops
    return "\n".join(text for _, _, text in history.violations(final or {}, children))


def test_a_round_without_fault_has_no_violation() -> None:
    write = op("set", "/a", value=b"x", stat=stat(1))
    read = op("get", "/a", value=b"x", stat=stat(1))
    read.begin = write.begin + 1
    assert found(op("create", "/n"), write, read, final={"/n": (b"", stat()), "/a": (b"x", stat(1))}) == ""


def test_a_lost_write_is_seen() -> None:
    assert "a lost write" in found(op("create", "/n"))
    deleted = found(op("create", "/n"), op("delete", "/n"), final={"/n": (b"", stat())})
    assert "a lost write" in deleted
    assert "after 1 writes" in found(op("set", "/a", value=b"x", stat=stat(1)), final={"/a": (b"", stat(0))})


def test_a_phantom_write_is_seen() -> None:
    assert "'not applied'" in found(op("create", "/n", NOT_APPLIED), final={"/n": (b"", stat())})
    read = op("get", "/a", value=b"x", stat=stat(1))
    assert "was seen, whose write was 'not applied'" in found(op("set", "/a", NOT_APPLIED, value=b"x"), read)
    gone = found(op("create", "/n"), op("delete", "/n", NOT_APPLIED))
    assert "it is gone" in gone


def test_an_unknown_outcome_may_be_either() -> None:
    assert found(op("create", "/n", UNKNOWN), op("create", "/m", UNKNOWN), final={"/n": (b"", stat())}) == ""


def test_a_version_won_twice_is_seen() -> None:
    twice = [op("cas", "/a", value=value, stat=stat(1)) for value in (b"x", b"y")]
    assert "both made version 1" in found(*twice)


def test_half_a_transaction_is_seen() -> None:
    op_ = op("multi", "/k", UNKNOWN, detail="/a /b")
    assert "half of a transaction" in found(op_, final={"/a": (b"", stat())})


def test_a_session_that_reads_backwards_is_seen() -> None:
    first, second = (op("get", "/a", stat=stat(version)) for version in (4, 3))
    second.begin = first.begin + 1
    second.end = second.begin + 1
    assert "read version 3 after version 4" in found(first, second)
    second.session = 8
    assert found(first, second) == ""


def test_two_nodes_of_one_create_are_seen() -> None:
    made = op("sequential", "/own/guid-", detail="/own/guid-1")
    assert "one call made" in found(made, **{"/own": ["guid-1", "guid-2"]})


def test_a_call_without_end_is_seen() -> None:
    hung = op("get", "/a", None, end=None)
    assert "took" in found(hung)
    late = op("get", "/a")
    late.end = late.begin + LONGEST + 1
    assert "took" in found(late)


def test_two_holders_are_seen_and_a_token_that_shrinks() -> None:
    history = History()
    one, two = Hold("one", 5, 1.0), Hold("two", 4, 2.0)
    one.last = 3.0
    history.holds += [one, two]
    told = "\n".join(text for _, _, text in history.violations({}, {}))
    assert "two held it while one did" in told
    assert "token 4 of two came after 5" in told


def test_a_write_of_an_older_holder_is_seen() -> None:
    newer = op("guarded", "/g", value=b"9 0", stat=stat(1, mzxid=20))
    older = op("guarded", "/g", value=b"8 1", stat=stat(2, mzxid=21))
    assert "whose lock is newer" in found(newer, older)


def test_the_timeline_shows_what_was_done_around_a_violation() -> None:
    history = History()
    history.note("kill server 1")
    history.ops.append(op("create", "/n"))
    report = history.report(history.violations({}, {}))
    assert "kill server 1" in report
    assert "worker 0x7 create" in report


def test_what_is_left_behind_is_told() -> None:
    assert grown({"a": 1, "b": 2}, {"a": 3, "b": 2, "c": 1}) == ["2 x a", "1 x c"]


def test_what_a_client_keeps_is_weighed() -> None:
    class Holder:
        def __init__(self) -> None:
            self.kept: list[bytes] = []

    holder = Holder()
    before = weight(holder)
    holder.kept.append(bytes(100_000))
    assert weight(holder) >= before + 100_000
