"""Recording a history, and keeping it in a file."""

from __future__ import annotations

import asyncio
import itertools
import json
import math
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from zk_testing.history import Ending, History, HistoryFormatError, Operation, mutex
from zk_testing.history.lines import read_operations, write_operations
from zk_testing.sim import Simulation
from zk_wire import BadVersionError, ConnectionLostError, Outcome


def ticking() -> History:
    """A history whose clock counts its calls."""
    return History(itertools.count().__next__)


def test_a_process_that_crashed_holds_nothing_and_what_it_had_begun_is_unknown() -> None:
    history = ticking()
    history.begin("ada", "acquire", "/a").ok()
    history.begin("ada", "acquire", "/b").ok()
    history.begin("ada", "release", "/b").ok()
    history.begin("ada", "lead", "/c").ok(False)
    history.begin("ada", "write", "/x", 1)
    history.begin("bob", "acquire", "/d").ok()
    history.crashed("ada")
    history.crashed("ada")

    assert history.operations[4] == Operation("ada", "write", "/x", 1, None, 8, 11, Ending.UNKNOWN)
    assert [(one.process, one.kind, one.key, one.begin) for one in history if one.kind == "lost"] == [
        ("ada", "lost", "/a", 11)
    ]


def test_a_simulation_tells_a_history_of_its_crashes() -> None:
    async def main(sim: Simulation) -> None:
        history = History(sim.now)
        sim.on_crash(history.crashed)

        async def hold() -> None:
            history.begin("ada", "acquire", "/lock").ok()
            await asyncio.sleep(10)
            history.begin("ada", "release", "/lock").ok()

        program = sim.start("ada", hold)
        await asyncio.sleep(3)
        program.crash(restart_after=5)
        history.begin("bob", "acquire", "/lock").ok()
        await asyncio.sleep(4)
        history.begin("bob", "release", "/lock").ok()
        await program.ended.wait()
        mutex(history).assert_holds()

    Simulation(1).run(main)


def test_an_operation_ends_as_it_is_told() -> None:
    history = ticking()
    history.begin("ada", "write", "/x", b"5", session=7).ok(version=3)
    history.begin("bob", "write", "/x", b"6").failed()
    history.begin("eve", "read", "/x").unknown()
    history.begin("ida", "read", "/x")

    assert history.operations == [
        Operation("ada", "write", "/x", b"5", None, 0, 1, Ending.OK, session=7, version=3),
        Operation("bob", "write", "/x", b"6", None, 2, 3, Ending.FAILED),
        Operation("eve", "read", "/x", None, None, 4, 5, Ending.UNKNOWN),
        Operation("ida", "read", "/x", None, None, 6, None, Ending.UNKNOWN),
    ]


def test_a_block_that_ends_is_ok_and_keeps_the_result_it_was_given() -> None:
    history = ticking()
    with history.begin("ada", "write", "/x", 5):
        pass
    with history.begin("ada", "read", "/x") as read:
        read.ok([1, [b"2"]])
    assert [(one.ending, one.result) for one in history] == [(Ending.OK, None), (Ending.OK, (1, (b"2",)))]


class _OutsiderError(Exception):
    outcome = "applied"


@pytest.mark.parametrize(
    ("error", "ending"),
    [
        (BadVersionError("/x"), Ending.FAILED),
        (ConnectionLostError("/x", outcome=Outcome.UNKNOWN), Ending.UNKNOWN),
        (ConnectionLostError("/x", outcome=Outcome.NOT_APPLIED), Ending.FAILED),
        (ConnectionLostError("/x", outcome=Outcome.APPLIED), Ending.OK),
        (ValueError("no outcome"), Ending.UNKNOWN),
        (_OutsiderError("an outcome of its own"), Ending.UNKNOWN),
        (KeyboardInterrupt(), Ending.UNKNOWN),
    ],
)
def test_an_exception_tells_by_its_outcome_how_the_operation_ended_and_goes_on(
    error: BaseException, ending: Ending
) -> None:
    history = ticking()
    with pytest.raises(type(error)) as caught, history.begin("ada", "write", "/x", 5):
        raise error
    assert caught.value is error
    assert [one.ending for one in history] == [ending]


def test_an_operation_ends_once() -> None:
    history = ticking()
    handle = history.begin("ada", "write", "/x", 5)
    handle.unknown()
    with pytest.raises(ValueError, match=r"write\(5\)  unknown: has ended already"):
        handle.ok()
    with pytest.raises(ValueError, match="cannot end at -1, before it began"):
        history.begin("ada", "write", "/x", 5).ok(at=-1)


def test_a_history_without_a_clock_is_told_every_time() -> None:
    history = History()
    history.begin("ada", "write", "/x", 5, at=1.5).ok(at=2.5)
    history.happened("ada", "lost", "/l", at=3.5, token=4)
    assert [(one.begin, one.end) for one in history] == [(1.5, 2.5), (3.5, 3.5)]
    with pytest.raises(ValueError, match="this history has no clock"):
        history.begin("ada", "write", "/x", 5)
    with pytest.raises(ValueError, match="finite number of seconds, not inf"):
        history.begin("ada", "write", "/x", 5, at=math.inf)


@pytest.mark.parametrize(("value", "error"), [({"a": 1}, TypeError), (object(), TypeError), (math.nan, ValueError)])
def test_what_json_cannot_say_is_refused(value: object, error: type[Exception]) -> None:
    with pytest.raises(error, match="a value of a history"):
        ticking().begin("ada", "write", "/x", value)


def test_threads_may_write_at_once() -> None:
    history = ticking()

    def work(name: str) -> None:
        for number in range(500):
            with history.begin(name, "write", "/x", number):
                pass

    threads = [threading.Thread(target=work, args=(f"thread {number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(history) == len(history.operations) == 2000
    assert {one.ending for one in history} == {Ending.OK}


def test_a_cancelled_task_leaves_an_unknown_operation() -> None:
    history = ticking()

    async def work() -> None:
        with history.begin("ada", "write", "/x", 5):
            await asyncio.Event().wait()

    async def main() -> None:
        task = asyncio.create_task(work())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert [one.ending for one in history] == [Ending.UNKNOWN]


def test_a_simulation_gives_its_virtual_time() -> None:
    async def main(simulation: Simulation) -> list[Operation]:
        history = History(simulation.now)
        with history.begin("ada", "write", "/x", 5):
            await asyncio.sleep(2.5)
        return history.operations

    [one] = Simulation(0).run(main)
    assert one.last - one.begin == pytest.approx(2.5)


# Files

text = some.text('aé\n\u2028\0😀"\\', max_size=8)
values = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats(allow_nan=False, allow_infinity=False)
    | text | some.binary(),
    lambda inner: some.lists(inner, max_size=3).map(tuple),
    max_leaves=5,
)  # fmt: skip
seconds = some.floats(-1e9, 1e9)


@some.composite
def operations(draw: some.DrawFn) -> Operation:
    begin = draw(seconds)
    end = draw(some.none() | some.floats(begin, 2e9))
    ending = Ending.UNKNOWN if end is None else draw(some.sampled_from(Ending))
    whole = some.none() | some.integers()
    return Operation(
        draw(text),
        draw(text),
        draw(text),
        draw(values),
        draw(values),
        begin,
        end,
        ending,
        *(draw(one) for one in (whole, some.none() | seconds, whole | text, *[whole] * 3, some.none() | seconds)),
    )


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(some.lists(operations(), max_size=5))
def test_what_is_written_is_read_again_as_it_was(given: list[Operation]) -> None:
    lines = list(write_operations(given))
    again = list(read_operations(lines))
    assert again == given
    assert list(map(repr, again)) == list(map(repr, given))  # 1, 1.0 and True are equal, and not the same
    assert list(read_operations(line.encode() for line in lines)) == given


def test_a_history_is_saved_and_loaded_of_several_files_together(tmp_path: Path) -> None:
    one, other = ticking(), ticking()
    one.begin("ada", "write", "/ä", b"\xff").ok()
    other.begin("bob", "write", "/ä", "text").ok()
    one.save(tmp_path / "one.jsonl")
    other.save(tmp_path / "other.jsonl")

    assert (
        History.load(tmp_path / "one.jsonl", tmp_path / "other.jsonl").operations == one.operations + other.operations
    )


GOOD = {"process": "ada", "kind": "read", "key": "/x", "begin": 1, "end": 2}


def nested(depth: int) -> object:
    value: object = 1
    for _ in range(depth):
        value = [value]
    return value


def test_lists_within_lists_are_read() -> None:
    [one] = read_operations([json.dumps(GOOD | {"result": nested(100)})])
    assert str(one.result).count("(") == 100


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"begin": "soon"}, "\"begin\" is a number of seconds, not 'soon'"),
        ({"begin": None}, '"begin" is a number of seconds, not None'),
        ({"begin": 10**400}, '"begin" is a number of seconds, not 1000'),
        ({"begin": True}, '"begin" is a number of seconds, not True'),
        ({"end": 0.5}, '"end" is not before "begin", which is 1.0, not 0.5'),
        ({"process": 7}, '"process" is text, not 7'),
        ({"ending": "fine"}, '"ending" is "ok", "failed" or "unknown", not \'fine\''),
        ({"end": None, "ending": "ok"}, '"ending" is "unknown" where there is no "end"'),
        ({"token": 1.5}, '"token" is a whole number, not 1.5'),
        ({"session": [1]}, '"session" is a whole number or text, not [1]'),
        ({"tokens": 1}, "the fields are process, kind, key, argument, "),
        ({"argument": {"a": 1}}, '"argument" is a value, a list of values, {"bytes": text} or {"base64": text}, not'),
        ({"result": {"base64": "!"}}, '"result" holds bytes as text, or in base64, not'),
        ({"result": nested(101)}, "lists are nested at most 100 deep, not "),
        ({"result": nested(600)}, "lists are nested at most 100 deep, not "),
        ({"begin": nested(600)}, '"begin" is a number of seconds, not '),
        ({"key": "\ud800"}, "text has no halves of characters, not '\\ud800'"),
        ({"session": "\ud800"}, "text has no halves of characters, not "),
        ({"argument": ["\ud800"]}, "text has no halves of characters, not "),
    ],
)
def test_a_bad_line_is_named_with_what_it_says_and_what_it_should(
    tmp_path: Path, change: dict[str, object], said: str
) -> None:
    path = tmp_path / "run.jsonl"
    path.write_text(f"{json.dumps(GOOD)}\n\n{json.dumps(GOOD | change)}\n")
    with pytest.raises(HistoryFormatError) as caught:
        History.load(path)
    assert str(caught.value).startswith(f"{path}:3: {said}")
    assert (caught.value.source, caught.value.line) == (str(path), 3)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b'{"process": ', "a line is one JSON object, not "),
        (b"[1]", "a line is one JSON object, not [1]"),
        (b'{"process": "\xff"}', "a line is text in UTF-8, not "),
        (b'{"begin": NaN}', "numbers are finite, not 'NaN'"),
        (b'{"process": "a", "kind": "b", "key": "c", "begin": 1, "result": 1e999}', "numbers are finite, not 'inf'"),
        (b'{"process": "a", "kind": "b", "key": "c", "begin": 1, "argument": [-1e999]}', "numbers are finite, not "),
        (b"[" * 900 + b"]" * 900, "a line is one JSON object, not "),
        (b"[" * 100_000, "a line is one JSON object, not "),
        (b'{"begin": ' + b"9" * 5000 + b"}", "a line is one JSON object, not "),
    ],
)
def test_a_line_that_is_no_object_is_named(tmp_path: Path, line: bytes, said: str) -> None:
    path = tmp_path / "run.jsonl"
    path.write_bytes(line)
    with pytest.raises(HistoryFormatError) as caught:
        History.load(path)
    assert str(caught.value).startswith(f"{path}:1: {said}")
    assert len(str(caught.value)) < 300
