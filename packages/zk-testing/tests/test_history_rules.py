"""Locks, offices, semaphores, queues, barriers, order, sessions and time limits: each rule kept, and broken once."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable

import pytest
from history_making import (
    barrier_history,
    gate_history,
    hold_history,
    op,
    queue_history,
    version_history,
)
from hypothesis import given, settings
from hypothesis import strategies as some

from zk_testing.history import (
    Operation,
    Verdict,
    barrier,
    check,
    double_barrier,
    fairness,
    fencing,
    in_time,
    leader,
    monotonic,
    mutex,
    queue,
    semaphore,
)

Rule = Callable[[list[Operation]], Verdict]


def three(operations: list[Operation]) -> Verdict:
    return semaphore(operations, limit=3)


def fifo(operations: list[Operation]) -> Verdict:
    return queue(operations, order="fifo")


def by_priority(operations: list[Operation]) -> Verdict:
    return queue(operations, order="priority")


def drained(operations: list[Operation]) -> Verdict:
    return queue(operations, drained=True)


GOOD: dict[str, tuple[Rule, list[Operation]]] = {
    "one after the other": (
        mutex,
        [op("a", "acquire 1 2", token=1), op("a", "release 3 4"), op("b", "acquire 1 3", token=2)],
    ),
    "not got, failed and unknown attempts hold nothing": (
        mutex,
        [op("a", "acquire 1 2", None, False), op("b", "acquire 1 2!"), op("c", "acquire 1 2?"), op("d", "acquire 1 2")],
    ),
    "the lease ended": (mutex, [op("a", "acquire 1 2", until=3.0), op("b", "acquire 1 3")]),
    "told of the loss": (mutex, [op("a", "acquire 1 2"), op("a", "lost 3 3"), op("b", "acquire 1 3")]),
    "re-entrant": (
        mutex,
        [
            op("a", "acquire 1 2", token=1),
            op("a", "acquire 3 4", token=1),
            op("a", "release 5 6"),
            op("a", "release 7 8"),
            op("b", "acquire 1 8", token=2),
        ],
    ),
    "a release of unknown outcome ends it": (
        mutex,
        [op("a", "acquire 1 2"), op("a", "release 3 4?"), op("b", "acquire 1 4")],
    ),
    "late work under an old token, at once with newer": (
        mutex,
        [
            op("a", "acquire 1 2", token=1),
            op("a", "use 3 9", token=1),
            op("a", "release 3 3"),
            op("b", "acquire 4 5", token=2),
            op("b", "use 5 6", token=2),
        ],
    ),
    "refused work under an old token": (
        fencing,
        [op("b", "write 5 6", 1, token=2), op("a", "write 7 8!", 2, token=1)],
    ),
    "renewed in time": (
        leader,
        [op("a", "lead 1 2", until=4.0), op("a", "renew 3 3.5", until=6.0), op("b", "lead 1 6", until=9.0)],
    ),
    "a lease that lapsed and came back": (
        leader,
        [op("a", "lead 1 2", until=3.0), op("b", "lead 2 3", until=4.0), op("a", "renew 4 5", until=6.0)],
    ),
    "got and given back in one moment": (
        mutex,
        [op("a", "acquire 1 2"), op("a", "release 2 3"), op("b", "acquire 1 4")],
    ),
    "got, entered again and given back in one moment": (
        mutex,
        [
            op("a", "acquire 1 2", token=1),
            op("a", "acquire 2 2", token=1),
            op("a", "release 2.5 3"),
            op("a", "release 4 5"),
            op("b", "acquire 1 4", token=2),
        ],
    ),
    "lost, however often it was entered": (
        mutex,
        [op("a", "acquire 1 2"), op("a", "acquire 3 4"), op("a", "lost 5 5"), op("b", "acquire 1 6")],
    ),
    "lost, however often it was entered under its token": (
        leader,
        [
            op("a", "lead 1 2", token=1),
            op("a", "lead 3 4", token=1),
            op("a", "lost 5 5", token=1),
            op("b", "lead 1 6", token=2),
        ],
    ),
    "as many as may": (three, [op(name, "acquire 1 2") for name in "abc"]),
    "the limit rose meanwhile": (
        semaphore,
        [op("k", "limit 0 0", 1), op("a", "acquire 1 2"), op("k", "limit 3 9", 2), op("b", "acquire 1 4")],
    ),
    "holders stay when the limit sinks": (
        semaphore,
        [op("k", "limit 0 0", 2), op("a", "acquire 1 2"), op("b", "acquire 1 2"), op("k", "limit 3 4", 1)],
    ),
    "a limit that may have come late": (
        semaphore,
        [op("k", "limit 0 0?", 2), op("k", "limit 1 2", 1), op("a", "acquire 3 4"), op("b", "acquire 3 5")],
    ),
    "one after the other in one moment": (
        fairness,
        [op("a", "acquire 0 5", place=2), op("b", "acquire 1 5", place=1)],
    ),
    "in the order of places": (fairness, [op("a", "acquire 1 5", place=1), op("b", "acquire 0 9", place=2)]),
    "who gave up is passed": (fairness, [op("a", "acquire 1 5!", place=1), op("b", "acquire 0 9", place=2)]),
    "put and got": (
        queue,
        [op("a", "enqueue 1 2", 7), op("b", "dequeue 1 2", None, 7), op("b", "dequeue 3 4", None, None)],
    ),
    "an unknown put may come": (queue, [op("a", "enqueue 1 2?", 7), op("b", "dequeue 8 9", None, 7)]),
    "an unknown put may stay away": (drained, [op("a", "enqueue 1 2?", 7)]),
    "an unknown taker may have it": (
        drained,
        [op("a", "enqueue 1 2", 7), op("b", "dequeue 1 2?"), op("b", "dequeue 3 4", None, None)],
    ),
    "an unknown taker may have it at the last moment": (
        queue,
        [op("a", "enqueue 1 2", 7), op("c", "dequeue 3 4", None, None), op("b", "dequeue 4 5?")],
    ),
    "an unknown taker may have it before somebody has looked": (
        queue,
        [op("a", "enqueue 1 2", 7), op("c", "contents 3 4", None, ()), op("b", "dequeue 4 5?")],
    ),
    "seen, taken, and called empty in one moment": (
        queue,
        [
            op("a", "enqueue 1 2", 7),
            op("b", "dequeue 3 4?"),
            op("c", "dequeue 5 6", None, None),
            op("d", "contents 6 6", None, (7,)),
        ],
    ),
    "empty between two": (
        queue,
        [
            op("a", "enqueue 1 2", 7),
            op("b", "dequeue 4 5", None, 7),
            op("c", "dequeue 3 6", None, None),
            op("a", "enqueue 4 4", 8),
            op("b", "dequeue 8 9", None, 8),
        ],
    ),
    "equal values, as many as were put": (
        queue,
        [op("a", "enqueue 1 2", 7), op("a", "enqueue 3 4", 7), *[op("b", "dequeue 5 6", None, 7)] * 2],
    ),
    "of equal values the unknown one came": (
        queue,
        [
            op("a", "enqueue 1 2?", 7),
            op("a", "enqueue 3 4", 7),
            op("b", "dequeue 5 6", None, 7),
            op("b", "dequeue 7 8", None, None),
        ],
    ),
    "empty before it was put": (queue, [op("a", "enqueue 1 5", 7), op("b", "dequeue 2 4", None, None)]),
    "what was inside": (queue, [op("a", "enqueue 1 2", 7), op("b", "contents 3 4", None, (7,))]),
    "out of order where none is asked for": (
        queue,
        [
            op("a", "enqueue 1 2", 1),
            op("a", "enqueue 3 4", 2),
            op("b", "dequeue 5 6", None, 2),
            op("b", "dequeue 7 8", None, 1),
        ],
    ),
    "at once, in any order": (
        fifo,
        [
            op("a", "enqueue 1 3", 1),
            op("b", "enqueue 2 4", 2),
            op("c", "dequeue 5 6", None, 2),
            op("c", "dequeue 7 8", None, 1),
        ],
    ),
    "the urgent one first": (
        by_priority,
        [
            op("a", "enqueue 1 2", 1, priority=5),
            op("a", "enqueue 3 4", 2, priority=0),
            op("c", "dequeue 5 6", None, 2),
            op("c", "dequeue 7 8", None, 1),
        ],
    ),
    "the urgent one came too late": (
        by_priority,
        [
            op("a", "enqueue 1 2", 1, priority=5),
            op("c", "dequeue 3 6", None, 1),
            op("a", "enqueue 3 4", 2, priority=0),
            op("c", "dequeue 7 8", None, 2),
        ],
    ),
    "passed when it was removed": (
        barrier,
        [op("k", "raise 1 2"), op("a", "pass 3 6"), op("k", "remove 5 7")],
    ),
    "passed when it may have been removed": (
        barrier,
        [op("k", "raise 1 2"), op("k", "remove 3 4?"), op("a", "pass 8 9")],
    ),
    "waits for one that is up again": (
        barrier,
        [op("k", "raise 1 2"), op("k", "remove 3 4"), op("k", "raise 5 6"), op("a", "pass 5 -")],
    ),
    "waits for one that may have been raised": (barrier, [op("k", "raise 1 2?"), op("a", "pass 3 -")]),
    "one who gave up may have been counted": (
        double_barrier,
        [op("a", "enter 1 5", 2, False), op("b", "enter 4 4.5", 2)],
    ),
    "waits to enter for one who may not have come": (
        double_barrier,
        [op("a", "enter 1 -", 2), op("b", "enter 1 2?", 2)],
    ),
    "waits to enter again, and the others are still leaving": (
        double_barrier,
        [
            op("a", "enter 1 2", 2),
            op("b", "enter 1 2", 2),
            op("a", "leave 3 4"),
            op("b", "leave 3 6"),
            op("a", "enter 5 -", 2),
        ],
    ),
    "waits to leave, and one may be inside": (
        double_barrier,
        [op("a", "enter 1 2", 2), op("b", "enter 1 2?", 2), op("a", "leave 3 -")],
    ),
    "waits to leave, and one may not have left": (
        double_barrier,
        [op("a", "enter 1 2", 2), op("b", "enter 1 2", 2), op("b", "leave 3 4?"), op("a", "leave 3 -")],
    ),
    "told of a loss when it was out": (
        double_barrier,
        [
            op("a", "enter 1 2", 2),
            op("b", "enter 1 2", 2),
            op("a", "leave 3 4"),
            op("b", "leave 3 4"),
            op("a", "lost 5 5"),
            op("a", "enter 6 7", 2),
            op("b", "enter 6 7", 2),
        ],
    ),
    "told of a loss before it entered": (
        double_barrier,
        [op("a", "enter 1 2!", 2), op("a", "lost 3 3"), op("a", "enter 4 5", 2), op("b", "enter 4 5", 2)],
    ),
    "lost while it entered": (
        double_barrier,
        [op("a", "enter 1 4", 2), op("b", "enter 1 2", 2), op("a", "lost 3 3"), op("b", "leave 5 6")],
    ),
    "all enter, all leave": (
        double_barrier,
        [op("a", "enter 1 4", 2), op("b", "enter 3 5", 2), op("a", "leave 6 9"), op("b", "leave 8 9")],
    ),
    "one inside was lost": (
        double_barrier,
        [op("a", "enter 1 4", 2), op("b", "enter 3 5", 2), op("b", "lost 6 6"), op("a", "leave 6 9")],
    ),
    "too few came, and nobody enters": (double_barrier, [op("a", "enter 1 -", 2)]),
    "forwards": (
        monotonic,
        [op("a", "read 1 2", version=1), op("a", "read 3 4", version=1), op("a", "write 5 6", version=9)],
    ),
    "another session may be behind": (
        monotonic,
        [op("a", "read 1 2", version=5, session=1), op("a", "read 3 4", version=1, session=2)],
    ),
    "at once, in any order of versions": (
        monotonic,
        [op("a", "read 1 5", version=5), op("a", "read 2 6", version=1)],
    ),
    "in time": (in_time, [op("a", "acquire 1 2", timeout=1.0), op("b", "acquire 1 99")]),
}


@pytest.mark.parametrize("case", GOOD)
def test_this_may_be(case: str) -> None:
    rule, operations = GOOD[case]
    for order in itertools.islice(itertools.permutations(operations), 24):
        rule(list(order)).assert_holds()


BAD: dict[str, tuple[Rule, list[Operation], str, set[str]]] = {
    "two holders": (
        mutex,
        [op("a", "acquire 1 2"), op("b", "acquire 1 3"), op("a", "release 4 5")],
        "two holders at once from 3.000000 to 4.000000: a and b",
        {"a", "b"},
    ),
    "a holder that was never told": (
        mutex,
        [op("a", "acquire 1 2"), op("c", "acquire 1 9"), op("c", "release 10 11")],
        "two holders at once from 9.000000 to 10.000000",
        {"a", "c"},
    ),
    "a release that failed ends nothing": (
        mutex,
        [op("a", "acquire 1 2"), op("a", "release 3 4!"), op("b", "acquire 1 5")],
        "two holders",
        {"a", "b"},
    ),
    "a token that does not grow": (
        mutex,
        [op("a", "acquire 1 2", token=5), op("a", "release 3 4"), op("b", "acquire 5 6", token=5)],
        "token 5 was given out after token 5",
        {"a", "b"},
    ),
    "work under an old token": (
        mutex,
        [
            op("a", "acquire 1 2", token=1),
            op("a", "release 3 3"),
            op("b", "acquire 4 5", token=2),
            op("b", "use 5 6", token=2),
            op("a", "use 7 8", token=1),
        ],
        "work under token 1 succeeded after work under token 2",
        {"a", "b"},
    ),
    "work under an old token elsewhere": (
        fencing,
        [op("b", "write 5 6", 1, token=2), op("a", "write 7 8", 2, token=1), op("c", "write 9 9", 2, token=3)],
        "work under token 1 succeeded after work under token 2",
        {"a", "b"},
    ),
    "two leaders": (
        leader,
        [op("a", "lead 1 2", until=5.0), op("b", "lead 1 4", until=9.0)],
        "two leaders at once from 4.000000 to 5.000000: a and b",
        {"a", "b"},
    ),
    "one holder too many": (
        three,
        [op(name, "acquire 1 2") for name in "abcd"],
        "4 holders at 2.000000, and the limit is 3: a, b, c, d",
        set("abcd"),
    ),
    "above a limit that had sunk": (
        semaphore,
        [op("k", "limit 0 0", 2), op("a", "acquire 1 2"), op("k", "limit 3 4", 1), op("b", "acquire 5 6")],
        "2 holders at 6.000000, and the limit is 1: a, b",
        set("abk"),
    ),
    "overtaken": (
        fairness,
        [op("a", "acquire 1 9", place=1), op("b", "acquire 2 5", place=2)],
        "b had place 2, and was let in before a with place 1",
        {"a", "b"},
    ),
    "twice": (
        queue,
        [op("a", "enqueue 1 2", 7), op("b", "dequeue 3 4", None, 7), op("c", "dequeue 5 6", None, 7)],
        "7 came out twice, and was put once",
        set("abc"),
    ),
    "out of nothing": (queue, [op("b", "dequeue 3 4", None, 7)], "7 came out, and nobody had put it", {"b"}),
    "though it failed": (
        queue,
        [op("a", "enqueue 1 2!", 7), op("b", "dequeue 3 4", None, 7)],
        "7 came out, and putting it had failed",
        {"a", "b"},
    ),
    "of the future": (
        queue,
        [op("b", "dequeue 1 2", None, 7), op("a", "enqueue 3 4", 7)],
        "7 came out before it was put",
        {"a", "b"},
    ),
    "lost": (drained, [op("a", "enqueue 1 2", 7)], "one was put, did not come out, and not inside in the end", {"a"}),
    "two lost, and one who may have taken one": (
        drained,
        [op("a", "enqueue 1 2", 7), op("a", "enqueue 1 2", 8), op("b", "dequeue 1 2?")],
        "2 were put, did not come out, and not inside in the end, and one was of unknown outcome",
        {"a"},
    ),
    "not inside": (
        queue,
        [op("a", "enqueue 1 2", 7), op("b", "contents 3 4", None, ())],
        "one was put, did not come out, and not inside when somebody looked",
        {"a", "b"},
    ),
    "inside though it came out": (
        queue,
        [op("a", "enqueue 1 2", 7), op("b", "dequeue 3 4", None, 7), op("c", "contents 5 6", None, (7,))],
        "7 came out or was inside twice, and was put once",
        set("abc"),
    ),
    "inside though it failed": (
        queue,
        [op("a", "enqueue 1 2!", 7), op("c", "contents 5 6", None, (7,))],
        "7 was inside, and putting it had failed",
        set("ac"),
    ),
    "called empty": (
        queue,
        [op("a", "enqueue 1 2", 7), op("b", "dequeue 3 4", None, None), op("b", "dequeue 5 6", None, 7)],
        "it was called empty while 7 was inside",
        {"a", "b"},
    ),
    "called empty while one after the other was inside": (
        queue,
        [
            op("a", "enqueue 1 2", 7),
            op("c", "dequeue 3 6", None, None),
            op("a", "enqueue 3 4", 8),
            op("b", "dequeue 5 6", None, 7),
            op("d", "dequeue 7 8", None, 8),
        ],
        "it was called empty while 7, then 8 was inside",
        set("abcd"),
    ),
    "called empty, and came out later, whatever the unknown one took": (
        queue,
        [
            op("a", "enqueue 1 2", 7),
            op("b", "dequeue 3 4?"),
            op("c", "dequeue 5 6", None, None),
            op("d", "dequeue 7 8", None, 7),
        ],
        "it was called empty while 7 was inside",
        set("acd"),
    ),
    "overlooked, and came out later, whatever the unknown one took": (
        queue,
        [
            op("a", "enqueue 1 2", 7),
            op("b", "dequeue 3 4?"),
            op("c", "contents 5 6", None, ()),
            op("d", "dequeue 7 8", None, 7),
        ],
        "7 was inside, and not when somebody looked",
        set("acd"),
    ),
    "called empty by one who could not have known": (
        queue,
        [
            op("a", "enqueue 1 2", 7),
            op("b", "dequeue 3 4?"),
            op("c", "dequeue 5 6", None, None),
            op("d", "contents 7 8", None, (7,)),
        ],
        "it was called empty while 7 was inside",
        set("acd"),
    ),
    "out of order": (
        fifo,
        [
            op("a", "enqueue 1 2", 1),
            op("a", "enqueue 3 4", 2),
            op("b", "dequeue 5 6", None, 2),
            op("c", "dequeue 7 8", None, 1),
        ],
        "2 came out before 1, which was put before it",
        set("abc"),
    ),
    "left behind by a younger one": (
        fifo,
        [op("a", "enqueue 1 2", 1), op("a", "enqueue 3 4", 2), op("b", "dequeue 5 6", None, 2)],
        "2 came out before 1",
        set("ab"),
    ),
    "the urgent one last": (
        by_priority,
        [
            op("a", "enqueue 1 2", 1, priority=5),
            op("a", "enqueue 3 4", 2, priority=0),
            op("c", "dequeue 5 6", None, 1),
            op("c", "dequeue 7 8", None, 2),
        ],
        "1 came out before 2, which was inside, and more urgent",
        set("ac"),
    ),
    "passed one that is up": (
        barrier,
        [op("k", "raise 1 2"), op("a", "pass 3 4"), op("k", "remove 5 6")],
        "a passed while the barrier was up",
        set("ak"),
    ),
    "waits for one that is gone": (
        barrier,
        [op("k", "raise 1 2"), op("a", "pass 3 -"), op("k", "remove 5 6")],
        "a waits for ever at a barrier that was removed",
        set("ak"),
    ),
    "waits for one that never was": (
        barrier,
        [op("k", "raise 1 2!"), op("a", "pass 3 -")],
        "a waits for ever at a barrier that was never raised",
        {"a"},
    ),
    "waits to enter where all wait": (
        double_barrier,
        [op("a", "enter 1 -", 2), op("b", "enter 2 -", 2)],
        "a waits for ever to enter: all 2 had come",
        {"a", "b"},
    ),
    "waits to enter, and who needed it went in and out": (
        double_barrier,
        [op("a", "enter 1 4", 2), op("b", "enter 1 -", 2), op("a", "leave 5 6")],
        "b waits for ever to enter, and a did: all 2 had come",
        {"a", "b"},
    ),
    "entered alone": (
        double_barrier,
        [op("a", "enter 1 2", 2), op("b", "enter 3 4", 2), op("a", "leave 5 9"), op("b", "leave 6 9")],
        "a entered with 1 of 2 there",
        {"a"},
    ),
    "left alone": (
        double_barrier,
        [op("a", "enter 1 4", 2), op("b", "enter 1 4", 2), op("a", "leave 5 6"), op("b", "leave 7 8")],
        "a left while b was inside",
        {"a", "b"},
    ),
    "waits to enter where all are": (
        double_barrier,
        [op("a", "enter 1 4", 2), op("b", "enter 1 -", 2)],
        "b waits for ever to enter, and a did: all 2 had come",
        {"a", "b"},
    ),
    "waits to leave an empty one": (
        double_barrier,
        [op("a", "enter 1 4", 2), op("b", "enter 1 4", 2), op("a", "leave 5 -"), op("b", "leave 7 8")],
        "a waits for ever to leave, and nobody is inside",
        {"a"},
    ),
    "backwards": (
        monotonic,
        [op("a", "read 1 2", version=5), op("a", "read 3 4", version=4)],
        "session process a saw version 4 after version 5",
        {"a"},
    ),
    "too late": (
        in_time,
        [op("a", "acquire 1 5", timeout=1.0)],
        "acquire by a took 4.000 s, and had 1 s",
        {"a"},
    ),
    "never": (in_time, [op("a", "acquire 1 -")], "acquire by a never ended", {"a"}),
}


@pytest.mark.parametrize("case", BAD)
def test_this_may_not_be_and_is_explained_by_those_who_did_it(case: str) -> None:
    rule, operations, sentence, processes = BAD[case]
    for order in itertools.islice(itertools.permutations(operations), 24):
        verdict = rule(list(order))
        assert verdict.holds is False
        [found, *_] = verdict.violations
        assert found.key == "/x"
        assert found.sentence.startswith(sentence)
        assert {one.process for one in found.operations} == processes
        assert [one.begin for one in found.operations] == sorted(one.begin for one in found.operations)


def test_patience_is_a_timeout_for_what_has_none() -> None:
    history = [op("a", "pass 1 9"), op("b", "pass 1 9", timeout=20.0)]
    in_time(history).assert_holds()
    assert in_time(history, patience=5.0).found == 1


@pytest.mark.parametrize(
    ("rule", "operations", "message"),
    [
        (semaphore, [op("k", "limit 0 0", "2"), op("a", "acquire 1 2")], "a limit is a whole number"),
        (double_barrier, [op("a", "enter 1 2")], "how many members does this need"),
        (queue, [op("a", "contents 1 2", None, 7)], "the contents of a queue are a list"),
    ],
)
def test_what_cannot_be_read_is_refused(rule: Rule, operations: list[Operation], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rule(operations)


# Correct services, and their mutations

seeds = some.integers(0, 2**32)


def seeded(count: int = 60) -> Callable[[Callable[[int], None]], Callable[[], None]]:
    def decorate(test: Callable[[int], None]) -> Callable[[], None]:
        return settings(max_examples=count, deadline=None)(given(seed=seeds)(test))

    return decorate


@seeded()
def test_what_correct_services_do_holds(seed: int) -> None:
    for history in (
        hold_history(seed, 60),
        hold_history(seed, 60, kinds=("lead", "resign")),
        queue_history(seed, 120, levels=1 + seed % 3),
        gate_history(seed, 20),
        barrier_history(seed, 20),
        version_history(seed, 100),
    ):
        for verdict in check(history):
            verdict.assert_holds()
    three(hold_history(seed, 80, limit=3)).assert_holds()
    fifo(queue_history(seed, 120)).assert_holds()
    by_priority(queue_history(seed, 120, levels=3)).assert_holds()


@seeded()
def test_a_hold_that_lasts_longer_is_found(seed: int) -> None:
    history = hold_history(seed, 40)
    acquires = [one for one in history if one.kind == "acquire"]
    follower = random.Random(seed).choice(acquires[1:])
    holder = acquires[acquires.index(follower) - 1]
    if holder.process == follower.process:
        return
    late = [
        one._replace(begin=follower.last + 0.5, end=follower.last + 0.6)
        if one.kind == "release" and one.process == holder.process and one.begin > holder.last
        and not any(other.process == holder.process and holder.last < other.last < one.begin for other in acquires)
        else one
        for one in history
    ]  # fmt: skip
    assert mutex(late).holds is False


@seeded()
def test_a_token_that_is_given_out_again_is_found(seed: int) -> None:
    history = hold_history(seed, 40, kinds=("lead", "resign"))
    places = [place for place, one in enumerate(history) if one.kind == "lead"]
    place = random.Random(seed).choice(places[1:])
    token = history[place].token
    assert token is not None
    history[place] = history[place]._replace(token=token - 1)
    assert leader(history).holds is False


@seeded()
def test_one_more_holder_than_may_be_is_found(seed: int) -> None:
    history = hold_history(seed, 80, limit=3)
    most = max(history, key=lambda one: one.last if one.kind == "acquire" else 0)
    history += [op(f"more{number}", f"acquire {most.last} {most.last + 0.0}") for number in range(3)]
    assert three(history).holds is False


@seeded()
def test_an_entry_that_comes_twice_is_found(seed: int) -> None:
    history = queue_history(seed, 120)
    taken = [one for one in history if one.kind == "dequeue" and one.result is not None]
    if not taken:
        return
    again = random.Random(seed).choice(taken)
    history.append(again._replace(process="thief", begin=again.begin + 1, end=again.last + 1))
    verdict = queue(history)
    assert verdict.holds is False
    assert again in verdict.violations[0].operations


@seeded()
def test_an_entry_that_is_lost_is_found(seed: int) -> None:
    history = queue_history(seed, 120, unknown=0.0)
    taken = [one for one in history if one.kind == "dequeue" and one.result is not None]
    if not taken:
        return
    gone = random.Random(seed).choice(taken)
    history[history.index(gone)] = gone._replace(result=None)
    assert queue(history).holds is False


@seeded()
def test_whoever_passes_a_barrier_that_is_up_is_found(seed: int) -> None:
    history = gate_history(seed, 20)
    place = random.Random(seed).choice([place for place, one in enumerate(history) if one.kind == "pass"])
    history[place] = history[place]._replace(end=history[place].begin)
    assert barrier(history).holds is False


@seeded()
def test_whoever_leaves_a_double_barrier_early_is_found(seed: int) -> None:
    history = barrier_history(seed, 20)
    leaves = [one for one in history if one.kind == "leave"]
    chosen = random.Random(seed).randrange(20)
    first, *others = leaves[4 * chosen : 4 * chosen + 4]
    history[history.index(first)] = first._replace(end=first.begin)
    enters = [one for one in history if one.kind == "enter"][4 * chosen : 4 * chosen + 4]
    inside = {one.process for one in enters if one.last < first.begin} & {one.process for one in others}
    assert double_barrier(history).holds is not bool(inside)


@seeded()
def test_a_session_that_reads_backwards_is_found(seed: int) -> None:
    history = version_history(seed, 100)
    own = [one for one in history if one.process == "p0"]
    before, one = random.Random(seed).choice(list(itertools.pairwise(own)))
    assert before.version is not None
    history[history.index(one)] = one._replace(version=before.version - 1)
    assert monotonic(history).holds is False
