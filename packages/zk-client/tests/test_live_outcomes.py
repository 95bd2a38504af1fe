"""What a caller is told when a write's request or reply is lost, compared with what the server has."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from typing import NamedTuple

import pytest
from conftest import MakeClient
from live import PATIENCE, Background, States, expire, in_thread

from zk_client import (
    OPEN_ACL_UNSAFE,
    Client,
    ConnectionLostError,
    NodeExistsError,
    NoNodeError,
    Outcome,
    ServerError,
    SessionClosedError,
    SessionExpiredError,
    SessionState,
    TransactionFailedError,
)
from zk_testing.faults import FaultProxy
from zk_testing.member import ZooKeeperServer
from zk_wire import CheckResult, CreateResult, DeleteResult, SetDataResult, ZooKeeperError

pytestmark = pytest.mark.cluster

APPLIED, NOT_APPLIED, UNKNOWN = Outcome.APPLIED, Outcome.NOT_APPLIED, Outcome.UNKNOWN
GUID = "0123456789abcdef0123456789abcdef"


class Case(NamedTuple):
    """A kind of write.

    kind: as the proxy names it.   write: the call.   count: how often the server shows it applied.
    after_reply: what the caller learns when the reply was lost: the result itself, or the least that must be known.
    """

    kind: str
    write: Callable[[Client], object]
    count: Callable[[Client], int]
    after_reply: Outcome


def children(prefix: str) -> Callable[[Client], int]:
    return lambda zk: sum(name.startswith(prefix) for name in zk.get_children("/"))


def version_of_data(zk: Client) -> int:
    return zk.get("/data")[1].version


def both(zk: Client) -> int:
    """The transactions below create /t and set /data: together, or not at all."""
    created, version = children("t")(zk), version_of_data(zk)
    assert created == version
    return version


CASES = {
    "plain": Case("create", lambda zk: zk.create("/n", b"1"), children("n"), UNKNOWN),
    "plain with stat": Case("create", lambda zk: zk.create("/n", include_data=True), children("n"), UNKNOWN),
    "container": Case("create", lambda zk: zk.create("/n", container=True), children("n"), UNKNOWN),
    "ttl": Case("create", lambda zk: zk.create("/n", ttl=60), children("n"), UNKNOWN),
    "sequential": Case("create", lambda zk: zk.create("/n-", sequence=True), children("n-"), UNKNOWN),
    "ephemeral": Case("create", lambda zk: zk.create("/n", ephemeral=True), children("n"), APPLIED),
    "ephemeral with stat": Case(
        "create", lambda zk: zk.create("/n", ephemeral=True, include_data=True), children("n"), APPLIED
    ),
    "ephemeral sequential": Case(
        "create", lambda zk: zk.create("/n-", ephemeral=True, sequence=True), children("n-"), APPLIED
    ),
    "unique": Case("create", lambda zk: zk.create(f"/n-{GUID}", unique=True), children("n-"), APPLIED),
    "unique sequential": Case(
        "create", lambda zk: zk.create(f"/n-{GUID}-", sequence=True, unique=True), children("n-"), APPLIED
    ),
    "unique ephemeral sequential": Case(
        "create",
        lambda zk: zk.create(f"/n-{GUID}-", ephemeral=True, sequence=True, unique=True, include_data=True),
        children("n-"),
        APPLIED,
    ),
    "unique container": Case(
        "create", lambda zk: zk.create(f"/n-{GUID}", container=True, unique=True), children("n-"), APPLIED
    ),
    "set": Case("set_data", lambda zk: zk.set("/data", b"new"), version_of_data, UNKNOWN),
    "conditional set": Case("set_data", lambda zk: zk.set("/data", b"new", version=0), version_of_data, UNKNOWN),
    "delete": Case("delete", lambda zk: zk.delete("/old"), lambda zk: 1 - children("old")(zk), UNKNOWN),
    "set_acls": Case(
        "set_acl",
        lambda zk: zk.set_acls("/data", OPEN_ACL_UNSAFE),
        lambda zk: zk.get_acls("/data")[1].aversion,
        UNKNOWN,
    ),
    "transaction": Case(
        "multi", lambda zk: zk.transaction().create("/t").set_data("/data", b"new").commit(), both, UNKNOWN
    ),
    "transaction with an ephemeral node": Case(
        "multi",
        lambda zk: zk.transaction().set_data("/data", b"new").create("/t", ephemeral=True).commit(),
        both,
        APPLIED,
    ),
    "transaction with a unique node": Case(
        "multi",
        lambda zk: zk.transaction().create(f"/t-{GUID}", unique=True).set_data("/data", b"new").commit(),
        both,
        APPLIED,
    ),
    "transaction with a marker": Case(
        "multi",
        lambda zk: zk.transaction(marker="/markers").create("/t").set_data("/data", b"new").commit(),
        both,
        APPLIED,
    ),
    "transaction with a marker and every kind": Case(
        "multi",
        lambda zk: (
            zk.transaction(marker="/markers")
            .create("/t", include_data=True)
            .check("/data", 0)
            .set_data("/data", b"new")
            .delete("/old")
            .commit()
        ),
        both,
        APPLIED,
    ),
}
# What nothing on the server tells apart from another client's work.
UNTELLABLE = {"set_acls", "transaction"}


@pytest.fixture
def other(other: Client) -> Client:
    """... with the nodes the cases need."""
    for path in ("/data", "/old", "/markers"):
        other.create(path, b"")
    return other


@pytest.fixture
def away(make_client: MakeClient, zk_faults: FaultProxy, zk_chroot: str, other: Client) -> Client:
    """A client whose messages can be lost; it has seen everything `other` has made."""
    zk = make_client(zk_faults.hosts + zk_chroot)
    zk.sync("/")
    zk.get_children("/")
    return zk


def learn(write: Callable[[Client], object], zk: Client) -> tuple[Outcome, object]:
    """What a caller knows afterwards: the outcome, and the result or the error."""
    try:
        return APPLIED, write(zk)
    except ZooKeeperError as error:
        outcome = getattr(error, "outcome", None)
        assert isinstance(outcome, Outcome)
        return outcome, error


@pytest.mark.parametrize("name", CASES)
def test_a_lost_reply_ends_in_the_truth(name: str, away: Client, other: Client, zk_faults: FaultProxy) -> None:
    case = CASES[name]
    fault = zk_faults.lose_reply(case.kind)
    outcome, result = learn(case.write, away)
    assert fault.struck

    other.sync("/")
    assert case.count(other) == 1  # it was applied, and not a second time
    assert outcome is case.after_reply, result
    if outcome is APPLIED:
        assert not isinstance(result, Exception)
        check_result(result, other)


@pytest.mark.parametrize("name", CASES)
def test_a_lost_request_ends_in_the_truth(name: str, away: Client, other: Client, zk_faults: FaultProxy) -> None:
    case = CASES[name]
    fault = zk_faults.lose_request(case.kind)
    outcome, result = learn(case.write, away)
    assert fault.struck

    other.sync("/")
    assert case.count(other) == 0
    assert isinstance(result, ConnectionLostError)
    if name in UNTELLABLE:
        assert outcome in (NOT_APPLIED, UNKNOWN)
    else:
        assert outcome is NOT_APPLIED, result
    # The session is whole, so the write can simply be made again.
    assert learn(case.write, away)[0] is APPLIED
    other.sync("/")
    assert case.count(other) == 1


def check_result(result: object, other: Client) -> None:
    """A result that was put together from what the server shows is the one its reply would have given."""
    if isinstance(result, str):
        assert other.exists(result) is not None
    elif isinstance(result, tuple):
        path, stat = result
        assert other.exists(path) == stat
    else:
        assert isinstance(result, list)
        for part in result:
            if isinstance(part, CreateResult):
                stat = other.exists(part.path)
                assert stat is not None
                assert part.stat in (None, stat)
            elif isinstance(part, SetDataResult):
                assert part.stat == other.exists("/data")
            else:
                assert isinstance(part, (CheckResult, DeleteResult))


def test_a_marker_is_gone_afterwards_although_its_reply_was_lost(
    away: Client, other: Client, zk_faults: FaultProxy
) -> None:
    zk_faults.lose_reply("multi")
    CASES["transaction with a marker"].write(away)
    away.sync("/")
    other.sync("/")
    assert other.get_children("/markers") == []


def test_a_deleted_node_is_reported_missing_with_an_unknown_author(away: Client, zk_faults: FaultProxy) -> None:
    zk_faults.lose_reply("delete")
    with pytest.raises(NoNodeError) as gone:
        away.delete("/old")
    assert gone.value.outcome is UNKNOWN
    with pytest.raises(NoNodeError) as gone:
        away.delete("/old")
    assert gone.value.outcome is NOT_APPLIED


def test_a_node_that_was_there_before_is_an_error_of_the_create(away: Client, zk_faults: FaultProxy) -> None:
    zk_faults.lose_reply("create")
    with pytest.raises(NodeExistsError) as exists:
        away.create("/data", ephemeral=True)
    assert exists.value.outcome is NOT_APPLIED


def test_a_refused_transaction_is_not_applied_although_its_reply_was_lost(
    away: Client, other: Client, zk_faults: FaultProxy
) -> None:
    zk_faults.lose_reply("multi")
    with pytest.raises((ConnectionLostError, TransactionFailedError)) as lost:
        away.transaction(marker="/markers").create("/t").check("/nothing").commit()
    assert lost.value.outcome is NOT_APPLIED
    assert other.exists("/t") is None


# Rivals: what another client does meanwhile must not be taken for our own


@pytest.mark.parametrize("fault", ["reply", "request"])
@pytest.mark.parametrize("ephemeral", [False, True])
@pytest.mark.parametrize("then", ["created by another", "deleted by another", "replaced by another"])
def test_anothers_create_is_never_taken_for_ones_own(
    away: Client, other: Client, zk_faults: FaultProxy, fault: str, ephemeral: bool, then: str
) -> None:
    lost = (zk_faults.lose_reply if fault == "reply" else zk_faults.lose_request)("create")
    # The client is let back only after the other has acted.
    zk_faults.refuse()
    result = in_thread(lambda: learn(lambda zk: zk.create("/n", b"mine", ephemeral=ephemeral), away))
    lost.wait()
    if then in ("deleted by another", "replaced by another") and other.exists("/n") is not None:
        other.delete("/n")
    if then != "deleted by another" and other.exists("/n") is None:
        other.create("/n", b"of another")
    zk_faults.heal()
    outcome, value = result()

    if fault == "reply":
        # It was applied, whatever became of the node.
        assert outcome in (APPLIED, UNKNOWN), value
    else:
        assert outcome in (NOT_APPLIED, UNKNOWN), value
    if outcome is APPLIED:
        stat = other.exists("/n")
        assert stat is not None
        assert stat.owner_session_id == away.session_id


@pytest.mark.parametrize("fault", ["reply", "request"])
def test_anothers_set_is_never_taken_for_ones_own(
    away: Client, other: Client, zk_faults: FaultProxy, fault: str
) -> None:
    lost = (zk_faults.lose_reply if fault == "reply" else zk_faults.lose_request)("set_data")
    zk_faults.refuse()
    result = in_thread(lambda: learn(lambda zk: zk.set("/data", b"mine"), away))
    lost.wait()
    other.set("/data", b"of another")
    zk_faults.heal()
    outcome, value = result()
    assert outcome is UNKNOWN, value


def test_a_conditional_set_that_another_won_is_known_not_to_be_applied(
    away: Client, other: Client, zk_faults: FaultProxy
) -> None:
    lost = zk_faults.lose_request("set_data")
    zk_faults.refuse()
    result = in_thread(lambda: learn(lambda zk: zk.set("/data", b"mine", version=0), away))
    lost.wait()
    other.set("/data", b"of another", version=0)
    zk_faults.heal()
    outcome, value = result()
    assert outcome is NOT_APPLIED, value
    assert other.get("/data")[0] == b"of another"


# Many at once


@pytest.mark.parametrize("fault", ["reply", "request"])
def test_every_write_of_a_lost_burst_is_told_truly(
    away: Client, other: Client, zk_faults: FaultProxy, fault: str
) -> None:
    count = 60
    (zk_faults.lose_reply if fault == "reply" else zk_faults.lose_request)("write", nth=20)
    creates = [away.create_async(f"/n{number:02}", ephemeral=number % 3 == 0) for number in range(count)]
    reads = [away.get_children_async("/") for _ in range(20)]
    told = {
        f"n{number:02}": learn(lambda zk, call=call: call.result(PATIENCE), away) for number, call in enumerate(creates)
    }
    for read in reads:
        assert "data" in read.result(PATIENCE)
    away.sync("/")
    other.sync("/")
    there = set(other.get_children("/"))
    for name, (outcome, value) in told.items():
        if outcome is APPLIED:
            assert name in there, value
        if outcome is NOT_APPLIED:
            assert name not in there, value
    # An ephemeral node that is there is known by its owner.
    assert {name for name in there if name[1:].isdigit() and int(name[1:]) % 3 == 0} <= {
        name for name, (outcome, _) in told.items() if outcome is APPLIED
    }
    if fault == "reply":
        assert all(told[f"n{number:02}"][0] is APPLIED for number in range(19))


@pytest.mark.parametrize("fault", ["reply", "request"])
def test_sets_of_a_lost_burst_are_applied_at_most_once_and_in_order(
    away: Client, other: Client, zk_faults: FaultProxy, fault: str
) -> None:
    (zk_faults.lose_reply if fault == "reply" else zk_faults.lose_request)("set_data", nth=10)
    calls = [away.set_async("/data", b"%d" % number, version=number) for number in range(30)]
    outcomes = [learn(lambda zk, call=call: call.result(PATIENCE), away)[0] for call in calls]
    away.sync("/")
    other.sync("/")
    data, stat = other.get("/data")
    assert stat.version <= 30
    assert data == (b"%d" % (stat.version - 1) if stat.version else b"")
    for number, outcome in enumerate(outcomes):
        if outcome is APPLIED:
            assert number < stat.version
        if outcome is NOT_APPLIED:
            assert number >= stat.version
    if fault == "reply":
        assert outcomes[:9] == [APPLIED] * 9


@pytest.mark.zk_leaks_allowed("sessions")  # its proxy ends before its clients
def test_threads_that_lose_replies_all_the_time_are_never_lied_to(
    make_client: MakeClient, zk_server: ZooKeeperServer, zk_chroot: str, other: Client
) -> None:
    with FaultProxy(zk_server) as proxy:
        zk = make_client(proxy.hosts + zk_chroot)
        told: dict[str, Outcome] = {}
        background = Background()
        all_struck = threading.Event()

        def work(worker: int) -> None:
            for number in itertools.count():
                if number >= 25 and all_struck.is_set():
                    break
                name = f"w{worker}-{number}"
                told[name], _ = learn(
                    lambda zk, name=name, number=number: zk.create(
                        f"/{name}", ephemeral=number % 4 in (0, 1), unique=number % 4 in (1, 2)
                    ),
                    zk,
                )

        for worker in range(4):
            background(lambda worker=worker: work(worker))
        try:
            for turn in range(8):
                (proxy.lose_reply if turn % 2 else proxy.lose_request)("create", nth=4).wait(PATIENCE)
        finally:
            all_struck.set()
        background.join(60)
        zk.sync("/")
        other.sync("/")
        there = set(other.get_children("/"))
        wrong = {
            name: outcome
            for name, outcome in told.items()
            if (outcome is APPLIED and name not in there) or (outcome is NOT_APPLIED and name in there)
        }
        assert wrong == {}
        assert len(told) >= 100
        # What is there and can be told from the work of others was told; a unique ephemeral node in any case.
        unknown = {name: int(name.partition("-")[2]) % 4 for name, outcome in told.items() if outcome is UNKNOWN}
        assert {name for name, kind in unknown.items() if name in there and kind != 3} == set()
        assert 1 not in unknown.values()


# Where there is nobody to ask


def test_a_lost_write_is_unknown_when_no_server_comes_back_in_time(
    make_client: MakeClient, zk_faults: FaultProxy, zk_chroot: str, other: Client
) -> None:
    zk = make_client(zk_faults.hosts + zk_chroot, 20.0, resolve_timeout=0.3)
    fault = zk_faults.lose_reply("create")
    result = in_thread(lambda: learn(lambda zk: zk.create("/n", ephemeral=True), zk))
    zk_faults.refuse()
    fault.wait()
    outcome, error = result()
    assert outcome is UNKNOWN
    assert isinstance(error, ConnectionLostError)


def test_a_lost_write_of_an_expired_session_is_unknown(
    away: Client, other: Client, zk_faults: FaultProxy, zk_server: ZooKeeperServer
) -> None:
    states = States(away)
    fault = zk_faults.lose_reply("create")
    zk_faults.refuse()
    result = in_thread(lambda: learn(lambda zk: zk.create("/n"), away))
    fault.wait()
    states.wait(SessionState.SUSPENDED)
    expire(away, zk_server.address)
    zk_faults.heal()
    outcome, error = result()
    assert outcome is UNKNOWN
    assert isinstance(error, SessionExpiredError)
    assert other.exists("/n") is not None


def test_a_lost_write_of_a_stopped_client_is_unknown(away: Client, zk_faults: FaultProxy) -> None:
    states = States(away)
    fault = zk_faults.lose_reply("create")
    zk_faults.refuse()
    result = in_thread(lambda: learn(lambda zk: zk.create("/n"), away))
    fault.wait()
    states.wait(SessionState.SUSPENDED)
    away.stop()
    outcome, error = result()
    assert outcome is UNKNOWN
    assert isinstance(error, SessionClosedError)


def test_a_lost_write_fails_at_once_when_nothing_may_wait(
    make_client: MakeClient, zk_faults: FaultProxy, zk_chroot: str, other: Client
) -> None:
    zk = make_client(zk_faults.hosts + zk_chroot, when_disconnected="fail")
    zk_faults.lose_reply("create")
    with pytest.raises(ConnectionLostError) as lost:
        zk.create("/n", ephemeral=True)
    assert lost.value.outcome is UNKNOWN


def test_a_reply_that_never_comes_on_an_open_connection_is_looked_up_too(
    make_client: MakeClient, zk_faults: FaultProxy, zk_chroot: str, other: Client
) -> None:
    zk = make_client(zk_faults.hosts + zk_chroot, 1.2)
    fault = zk_faults.lose_reply("create", then="freeze")
    assert zk.create("/n", ephemeral=True) == "/n"
    assert fault.struck
    stat = other.exists("/n")
    assert stat is not None
    assert stat.owner_session_id == zk.session_id


@pytest.mark.parametrize("fault", ["reply", "request"])
def test_a_lost_read_is_simply_asked_again(away: Client, zk_faults: FaultProxy, fault: str) -> None:
    lose = zk_faults.lose_reply if fault == "reply" else zk_faults.lose_request
    for kind, read in (
        ("get_data", lambda: away.get("/data")[0]),
        ("get_children", lambda: away.get_children("/old")),
        ("exists", lambda: away.exists("/nothing")),
        ("get_acl", lambda: away.get_acls("/data")[1].aversion),
        ("multi_read", lambda: away.multi_read().get_children("/old").commit()),
        ("sync", lambda: away.sync("/data")),
    ):
        struck = lose(kind)
        assert read() in (b"", [], None, 0, [[]], "/data")
        assert struck.struck


def test_an_error_of_a_lost_write_is_a_servererror_with_its_path(away: Client, zk_faults: FaultProxy) -> None:
    zk_faults.lose_request("set_data")
    with pytest.raises(ServerError) as lost:
        away.set("/data", b"")
    assert lost.value.path == "/data"
    assert "not applied" in str(lost.value)
