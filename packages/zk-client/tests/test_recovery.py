"""What became of a lost write: the whole table of verdicts, and a search for one that contradicts the truth."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from corepair import SESSION, CorePair, stat
from modelserver import ModelServer, applied

from zk_client import Outcome, TransactionFailedError
from zk_client._session.machine import READY
from zk_client._session.recovery import (
    MOST_CANDIDATES,
    UNTELLABLE,
    Answer,
    CreateRecovery,
    DeleteRecovery,
    Recovery,
    SetRecovery,
    Situation,
    Verdict,
    is_sequel,
    names_of,
)
from zk_client.transactions import Transaction
from zk_wire import (
    CreateMode,
    CreateRequest,
    DeleteRequest,
    ExistsResponse,
    GetChildren2Response,
    GetDataResponse,
    SetDataRequest,
)

APPLIED, NOT_APPLIED, UNKNOWN = Outcome.APPLIED, Outcome.NOT_APPLIED, Outcome.UNKNOWN
BASELINE = 100
ALONE = Situation(BASELINE, SESSION, alone=True)
IN_COMPANY = Situation(BASELINE, SESSION, alone=False)
PERSISTENT, EPHEMERAL = CreateMode.PERSISTENT, CreateMode.EPHEMERAL
SEQUENTIAL, EPHEMERAL_SEQUENTIAL = CreateMode.PERSISTENT_SEQUENTIAL, CreateMode.EPHEMERAL_SEQUENTIAL
NO_NODE, NODE_EXISTS, BAD_VERSION, NO_AUTH = -101, -110, -103, -102

MISSING, FORBIDDEN = Answer(NO_NODE, None), Answer(NO_AUTH, None)
UNTOUCHED = Answer(0, ExistsResponse(stat(pzxid=BASELINE)))
TOUCHED = Answer(0, ExistsResponse(stat(pzxid=BASELINE + 1)))


def node(**fields: int) -> Answer:
    """The answer to exists."""
    return Answer(0, ExistsResponse(stat(**fields)))


def data(value: bytes | None, **fields: int) -> Answer:
    """The answer to getData."""
    return Answer(0, GetDataResponse(value, stat(**fields)))


def listing(*names: str, pzxid: int = BASELINE + 1, **fields: int) -> Answer:
    """The answer to getChildren2."""
    return Answer(0, GetChildren2Response(list(names), stat(pzxid=pzxid, **fields)))


# A parent that has had 2147483647 children, and has this one: its pzxid stands still when one is created.
EXHAUSTED = {"pzxid": BASELINE, "cversion": -3, "num_children": 1}


def conclude(recovery: Recovery, situation: Situation, *rounds: list[Answer]) -> Verdict:
    """Lead an investigation with these answers, round by round."""
    investigation = recovery.investigate(situation)
    asked = list(rounds)
    try:
        questions = next(investigation)
        while True:
            answers = asked.pop(0)
            assert len(answers) == len(questions)
            questions = investigation.send(answers)
    except StopIteration as end:
        assert asked == []
        return end.value  # type: ignore[no-any-return]


OURS = {"czxid": BASELINE + 1, "ephemeral_owner": SESSION}
OTHERS = {"czxid": BASELINE + 1, "ephemeral_owner": 7}
OLD = {"czxid": BASELINE}
NEW = {"czxid": BASELINE + 1}


@pytest.mark.parametrize(
    ("mode", "unique", "situation", "found", "parent", "verdict"),
    [
        # The baseline: what was there before was not made by this call; an untouched parent has gained no child.
        (PERSISTENT, False, ALONE, node(**OLD), TOUCHED, (NOT_APPLIED, NODE_EXISTS)),
        (PERSISTENT, True, ALONE, node(**OLD), TOUCHED, (NOT_APPLIED, NODE_EXISTS)),
        (EPHEMERAL, False, ALONE, node(**OLD), TOUCHED, (NOT_APPLIED, NODE_EXISTS)),
        (PERSISTENT, False, ALONE, MISSING, UNTOUCHED, (NOT_APPLIED, 0)),
        (EPHEMERAL, False, IN_COMPANY, MISSING, UNTOUCHED, (NOT_APPLIED, 0)),
        # The owner.
        (EPHEMERAL, False, ALONE, node(**OURS), TOUCHED, (APPLIED, 0)),
        (EPHEMERAL, False, IN_COMPANY, node(**OURS), TOUCHED, (UNKNOWN, 0)),
        (EPHEMERAL, False, ALONE, node(**OTHERS), TOUCHED, (UNKNOWN, 0)),
        # The name.
        (PERSISTENT, True, ALONE, node(**NEW), TOUCHED, (APPLIED, 0)),
        (EPHEMERAL, True, ALONE, node(**OURS), TOUCHED, (APPLIED, 0)),
        (EPHEMERAL, True, ALONE, MISSING, TOUCHED, (NOT_APPLIED, 0)),
        (EPHEMERAL, True, IN_COMPANY, MISSING, TOUCHED, (UNKNOWN, 0)),
        (PERSISTENT, True, ALONE, MISSING, TOUCHED, (UNKNOWN, 0)),
        (PERSISTENT, True, ALONE, MISSING, UNTOUCHED, (NOT_APPLIED, 0)),
        # Nothing of that.
        (PERSISTENT, False, ALONE, node(**NEW), TOUCHED, (UNKNOWN, 0)),
        (PERSISTENT, False, ALONE, MISSING, TOUCHED, (UNKNOWN, 0)),
        (PERSISTENT, False, ALONE, MISSING, MISSING, (UNKNOWN, 0)),
        (PERSISTENT, False, ALONE, FORBIDDEN, UNTOUCHED, (UNKNOWN, 0)),
        (PERSISTENT, False, ALONE, MISSING, node(**EXHAUSTED), (UNKNOWN, 0)),
    ],
)
def test_the_verdict_on_a_create(
    mode: CreateMode, unique: bool, situation: Situation, found: Answer, parent: Answer, verdict: tuple[Outcome, int]
) -> None:
    recovery = CreateRecovery("/p/n", mode, unique=unique, with_stat=False)
    concluded = conclude(recovery, situation, [found, parent])
    assert (concluded.outcome, concluded.code) == verdict
    assert concluded.reply == ("/p/n" if concluded.outcome is APPLIED else None)


ONE, TWO = "q-0000000001", "q-0000000002"


@pytest.mark.parametrize(
    ("mode", "unique", "situation", "rounds", "verdict"),
    [
        (SEQUENTIAL, False, ALONE, [[listing(ONE, pzxid=BASELINE)]], (NOT_APPLIED, None)),
        (SEQUENTIAL, False, ALONE, [[listing(ONE)]], (UNKNOWN, None)),
        (SEQUENTIAL, False, ALONE, [[MISSING]], (UNKNOWN, None)),
        (SEQUENTIAL, True, ALONE, [[listing(ONE)], [node(**NEW)]], (APPLIED, f"/p/{ONE}")),
        (SEQUENTIAL, True, ALONE, [[listing(ONE, **EXHAUSTED)], [node(**NEW)]], (APPLIED, f"/p/{ONE}")),
        (SEQUENTIAL, True, ALONE, [[listing(ONE)], [MISSING]], (UNKNOWN, None)),
        (SEQUENTIAL, True, ALONE, [[listing("x")]], (UNKNOWN, None)),
        (SEQUENTIAL, True, ALONE, [[MISSING]], (UNKNOWN, None)),
        (
            EPHEMERAL_SEQUENTIAL,
            False,
            ALONE,
            [[listing(ONE, TWO)], [node(**OTHERS), node(**OURS)]],
            (APPLIED, f"/p/{TWO}"),
        ),
        (EPHEMERAL_SEQUENTIAL, False, ALONE, [[listing(ONE, TWO)], [node(**OURS), node(**OURS)]], (UNKNOWN, None)),
        (
            EPHEMERAL_SEQUENTIAL,
            False,
            ALONE,
            [[listing(ONE)], [node(czxid=BASELINE, ephemeral_owner=SESSION)]],
            (UNKNOWN, None),
        ),
        (EPHEMERAL_SEQUENTIAL, False, IN_COMPANY, [[listing(ONE)], [node(**OURS)]], (UNKNOWN, None)),
        (EPHEMERAL_SEQUENTIAL, False, ALONE, [[listing()]], (UNKNOWN, None)),
        (EPHEMERAL_SEQUENTIAL, True, ALONE, [[listing()]], (NOT_APPLIED, None)),
        (EPHEMERAL_SEQUENTIAL, True, ALONE, [[MISSING]], (NOT_APPLIED, None)),
        (EPHEMERAL_SEQUENTIAL, True, ALONE, [[listing(ONE)], [node(**OURS)]], (APPLIED, f"/p/{ONE}")),
        (EPHEMERAL_SEQUENTIAL, True, ALONE, [[FORBIDDEN]], (UNKNOWN, None)),
    ],
)
def test_the_verdict_on_a_sequential_create(
    mode: CreateMode,
    unique: bool,
    situation: Situation,
    rounds: list[list[Answer]],
    verdict: tuple[Outcome, str | None],
) -> None:
    recovery = CreateRecovery("/p/q-", mode, unique=unique, with_stat=False)
    concluded = conclude(recovery, situation, *rounds)
    assert (concluded.outcome, concluded.reply) == verdict


def test_not_every_sibling_of_a_crowd_is_looked_at() -> None:
    names = [f"q-{i:010d}" for i in range(MOST_CANDIDATES + 1)]
    recovery = CreateRecovery("/p/q-", EPHEMERAL_SEQUENTIAL, unique=False, with_stat=False)
    assert conclude(recovery, ALONE, [listing(*names)]).outcome is UNKNOWN


def test_a_create_with_stat_is_given_its_stat_and_the_path_below_the_chroot() -> None:
    recovery = CreateRecovery("/app/n", EPHEMERAL, unique=False, with_stat=True, chroot="/app")
    assert conclude(recovery, ALONE, [node(**OURS), TOUCHED]).reply == ("/n", stat(**OURS))


@pytest.mark.parametrize(
    ("version", "found", "parent", "verdict"),
    [
        (-1, data(b"old", mzxid=BASELINE), TOUCHED, (NOT_APPLIED, 0)),
        (-1, data(b"new", mzxid=BASELINE + 1), TOUCHED, (UNKNOWN, 0)),
        (-1, data(b"other", mzxid=BASELINE + 1), TOUCHED, (UNKNOWN, 0)),
        (3, data(b"other", mzxid=BASELINE + 1, version=4), TOUCHED, (NOT_APPLIED, BAD_VERSION)),
        (3, data(b"new", mzxid=BASELINE + 1, version=4), TOUCHED, (UNKNOWN, 0)),
        (3, data(b"other", mzxid=BASELINE + 1, version=5), TOUCHED, (UNKNOWN, 0)),
        (3, data(b"other", mzxid=BASELINE + 1, version=4, czxid=BASELINE + 1), TOUCHED, (UNKNOWN, 0)),
        (3, data(None, mzxid=BASELINE + 1, version=4), TOUCHED, (NOT_APPLIED, BAD_VERSION)),
        (-1, MISSING, UNTOUCHED, (NOT_APPLIED, NO_NODE)),
        (-1, MISSING, TOUCHED, (UNKNOWN, 0)),
        (-1, MISSING, MISSING, (UNKNOWN, 0)),
        (-1, FORBIDDEN, UNTOUCHED, (UNKNOWN, 0)),
    ],
)
def test_the_verdict_on_a_set(version: int, found: Answer, parent: Answer, verdict: tuple[Outcome, int]) -> None:
    concluded = conclude(SetRecovery("/p/n", b"new", version), ALONE, [found, parent])
    assert (concluded.outcome, concluded.code) == verdict
    assert concluded.reply is None


@pytest.mark.parametrize(
    ("found", "parent", "verdict"),
    [
        (node(**OLD), TOUCHED, (NOT_APPLIED, 0)),
        (node(**NEW), TOUCHED, (UNKNOWN, 0)),
        (MISSING, TOUCHED, (UNKNOWN, NO_NODE)),
        (MISSING, UNTOUCHED, (NOT_APPLIED, NO_NODE)),
        (MISSING, MISSING, (UNKNOWN, NO_NODE)),
        (FORBIDDEN, UNTOUCHED, (UNKNOWN, 0)),
    ],
)
def test_the_verdict_on_a_delete(found: Answer, parent: Answer, verdict: tuple[Outcome, int]) -> None:
    concluded = conclude(DeleteRecovery("/p/n"), ALONE, [found, parent])
    assert (concluded.outcome, concluded.code) == verdict


def test_what_cannot_be_told_is_not_asked() -> None:
    assert conclude(UNTELLABLE, ALONE).outcome is UNKNOWN


@pytest.mark.parametrize(
    ("name", "prefix", "is_one"),
    [
        ("q-0000000001", "q-", True),
        ("q--000000001", "q-", True),
        ("q--2147483648", "q-", True),
        ("0000000001", "", True),
        ("q-000000001", "q-", False),
        ("q-00000000001", "q-", False),
        ("r-0000000001", "q-", False),
        ("q-000000000x", "q-", False),
        ("q-²²²²²²²²²²", "q-", False),
    ],
)
def test_a_sequel_is_the_prefix_and_an_int32_of_at_least_ten_characters(name: str, prefix: str, is_one: bool) -> None:
    assert is_sequel(name, prefix) is is_one


@pytest.mark.parametrize("number", ["0000000007", "-000000007", "-2147483648"])
def test_a_node_named_like_a_sequel_is_a_rival_of_the_sequence(number: str) -> None:
    for stem in ("/p/q", "/p/q-"):
        assert names_of(stem, sequential=True) & names_of(stem + number, sequential=False)


# The search

WRITER = 0x77
UNIQUE = "0123456789abcdef"
PLAIN_PATHS = ["/a", "/b", "/a/x", "/a/y"]
CONTENTS = [b"1", b"2", None]
KINDS = ["create", "ephemeral", "sequence", "unique", "set", "delete", "transaction"]


class Dice(Random):
    """Chance that keeps to a few paths and kinds of writes, so that things happen to each other."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.paths = self.choice([PLAIN_PATHS, ["/a"], ["/a", "/a/x"]])
        self.kinds = self.sample(KINDS, self.randint(1, 3))
        self.meddling = self.choice([0.0, 0.2, 0.5])

    @property
    def path(self) -> str:
        """One of the plain paths."""
        return self.choice(self.paths)

    @property
    def flip(self) -> bool:
        """Yes or no."""
        return self.random() < 0.5


def clients_write(dice: Dice, pair: CorePair, position: int) -> Any:
    """A write of the client, on its way."""
    operations = pair.operations
    kind = dice.choice(dice.kinds)
    path = dice.path
    unique_path = dice.choice(["/", "/a/"]) + f"{UNIQUE}{position}-"
    with_stat = dice.flip
    create: Any = operations.create_with_stat if with_stat else operations.create
    ephemeral, sequence = dice.flip, dice.flip
    if kind == "create":
        return create(path, b"mine")
    if kind == "ephemeral":
        return create(path, b"mine", ephemeral=True)
    if kind == "sequence":
        return create(path + "-", b"mine", ephemeral=ephemeral, sequence=True)
    if kind == "unique":
        return create(unique_path, b"mine", ephemeral=ephemeral, sequence=sequence, unique=True)
    if kind == "set":
        return operations.set(path, dice.choice(CONTENTS), dice.choice([-1, 0, 1]))
    if kind == "delete":
        earlier = f"/{UNIQUE}{position - 1}-"
        return operations.delete(dice.choice([path, earlier]))
    transaction = Transaction(operations, None)
    for step in range(dice.randint(1, 3)):
        where = dice.path
        what = dice.choice(["create", "unique", "set", "delete", "check"])
        if what == "create":
            transaction.create(where, b"mine", ephemeral=ephemeral, include_data=with_stat)
        elif what == "unique":
            transaction.create(unique_path + str(step), b"mine", ephemeral=ephemeral, sequence=sequence, unique=True)
        elif what == "set":
            transaction.set_data(where, dice.choice(CONTENTS))
        elif what == "delete":
            transaction.delete(where)
        else:
            transaction.check(where)
    return transaction.call()


def others_write(dice: Dice, model: ModelServer) -> None:
    """A write of somebody else: anything, but no unique name, and no ephemeral node of one."""
    kind = dice.choice(["create", "set", "delete", "nothing"])
    there = [path for path in sorted(model.nodes) if path != "/"]
    if kind == "create":
        mode = dice.choice([PERSISTENT, EPHEMERAL, SEQUENTIAL, EPHEMERAL_SEQUENTIAL])
        path = dice.path + ("-" if mode.is_sequential else "")
        model.execute(CreateRequest(path, b"theirs", (), mode), WRITER)
    elif kind == "set" and there:
        model.execute(SetDataRequest(dice.choice(there), dice.choice(CONTENTS), -1), WRITER)
    elif kind == "delete":
        free = [path for path in there if UNIQUE not in path or not model.nodes[path].owner]
        if free:
            model.execute(DeleteRequest(dice.choice(free), -1), WRITER)


def check_truth(call: Any, truth: tuple[bool, Any]) -> None:
    """What the client was told must not contradict what happened."""
    happened, response = truth
    error = call.exception()
    if error is None:
        assert happened, f"{call!r} was reported as a success"
        reply = call.reply
        if isinstance(reply, str):
            assert reply == response.path
        elif isinstance(reply, tuple) and isinstance(reply[0], str):
            assert (reply[0], reply[1].czxid) == (response.path, response.stat.czxid)
        elif isinstance(reply, list):
            assert [getattr(result, "path", None) for result in reply] == [
                getattr(result, "path", None) for result in response.results
            ]
    elif isinstance(error, TransactionFailedError):
        assert not happened
    elif error.outcome is not UNKNOWN:
        assert (error.outcome is APPLIED) == happened, f"{call!r}: {error!r}"


@pytest.mark.parametrize("block", range(8))
def test_no_verdict_contradicts_the_truth(block: int) -> None:
    for seed in range(block * 100, (block + 1) * 100):
        try:
            search(Dice(seed))
        except Exception as error:
            error.add_note(f"seed {seed}")
            raise


def search(dice: Dice) -> None:
    """Writes of the client and of others, lost connections, and a look at what the client was told."""
    model, pair = ModelServer(), CorePair()
    pair.open()
    truths: dict[int, tuple[bool, Any]] = {}
    calls: list[Any] = []

    def serve(count: int, answers: int) -> None:
        """Execute requests, answer the first of them, let others write in between."""
        for position in range(count):
            if not pair.requests:
                return
            received = pair.requests.pop(0)
            if dice.random() < dice.meddling:
                others_write(dice, model)
            error, response = model.execute(received.request, SESSION)
            for call in calls:
                if call.xid == received.xid and not call.done:
                    truths[id(call)] = (applied(error, response), response)
            if position < answers:
                pair.reply(received, response, err=error, zxid=model.zxid)

    for _ in range(dice.randint(0, 4)):
        others_write(dice, model)
    for _ in range(dice.randint(1, 2)):
        for _ in range(dice.randint(1, 4)):
            call = clients_write(dice, pair, len(calls))
            calls.append(call)
            pair.submit(call)
            if dice.randint(0, 9) == 0:
                call.cancel()
        serve(dice.randint(0, 5), dice.randint(0, 4))
        losses = dice.randint(1, 2)
        for _ in range(losses):
            pair.close()
            if dice.random() < dice.meddling:
                others_write(dice, model)
            pair.reopen()
            # Questions are answered; what the client sends once it is ready stays on the wire.
            while pair.requests and pair.core.phase < READY and dice.randint(0, 9):
                serve(1, 1)
        while pair.requests:
            serve(1, 1)
    assert all(call.done for call in calls)
    for call in calls:
        check_truth(call, truths.get(id(call), (False, None)))
