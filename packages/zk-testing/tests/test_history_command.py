"""`python -m zk_testing check`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from history_making import op

from zk_testing.__main__ import main
from zk_testing.history import CHECKS, History, Operation

GOOD = [op("a", "write 1 2", 5), op("b", "read 3 4", None, 5), op("a", "acquire 1 2", key="/lock")]
LOCKED = '{"process": "a", "kind": "acquire", "key": "/l", "begin": 0, "end": 1, "ending": "ok"}\n'
STALE = op("b", "read 5 6", None, None)


def saved(folder: Path, operations: list[Operation], name: str = "run.jsonl") -> str:
    History(operations=operations).save(folder / name)
    return str(folder / name)


def test_a_history_that_holds_ends_with_0_and_names_what_was_checked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", saved(tmp_path, GOOD)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "register: holds, 2 operations on 1 key",
        "mutex: holds, 1 operations on 1 key",
        "in-time: holds, 3 operations on 2 keys",
    ]


def test_a_violated_history_ends_with_1_and_shows_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", saved(tmp_path, [*GOOD, STALE])]) == 1
    out = capsys.readouterr().out
    assert "register: violated, 3 operations on 1 key" in out
    assert str(STALE) in out


def test_json_is_one_object_for_programs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", saved(tmp_path, [*GOOD, STALE]), "--check", "register", "--json"]) == 1
    said = json.loads(capsys.readouterr().out)
    assert said["holds"] is False
    [found] = said["checks"]
    assert (found["check"], found["found"], found["keys"]) == ("register", 1, 1)
    assert found["violations"][0]["operations"][-1]["process"] == "b"


def test_only_the_checks_that_are_asked_for_are_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", saved(tmp_path, [*GOOD, STALE]), "--check", "mutex", "--check", "queue"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "mutex: holds, 1 operations on 1 key",
        "queue: holds, 0 operations on 0 keys",
    ]


def test_several_files_are_one_history(tmp_path: Path) -> None:
    one, other = saved(tmp_path, GOOD), saved(tmp_path, [STALE], "other.jsonl")
    assert main(["check", one]) == 0
    assert main(["check", other]) == 0
    assert main(["check", one, other]) == 1


@pytest.mark.parametrize(
    ("operations", "options"),
    [
        ([op("a", "read 1 2", None, "x")], ["--initial", '"x"']),
        ([op("a", "get 1 2", None, 3)], ["--start", "3"]),
        ([op("a", "add 1 2", 3, 0)], ["--returns", "old"]),
        ([op("a", "acquire 1 2"), op("b", "acquire 1 2")], ["--limit", "2"]),
        ([op("a", "enter 1 2")], ["--members", "1"]),
        ([op("a", "acquire 1 2.5", timeout=1.0)], ["--slack", "1"]),
    ],
)
def test_what_a_check_cannot_know_is_told(tmp_path: Path, operations: list[Operation], options: list[str]) -> None:
    path = saved(tmp_path, operations)
    assert main(["check", path]) != 0
    assert main(["check", path, *options]) == 0


@pytest.mark.parametrize(
    ("operations", "options"),
    [
        ([op("a", "enqueue 1 2", 1)], ["--drained"]),
        ([op("a", "acquire 1 9")], ["--patience", "1"]),
        (
            [op("a", "enqueue 1 2", 1), op("a", "enqueue 3 4", 2), op("b", "dequeue 5 6", None, 2)],
            ["--order", "fifo"],
        ),
    ],
)
def test_what_is_asked_for_is_checked(tmp_path: Path, operations: list[Operation], options: list[str]) -> None:
    path = saved(tmp_path, operations)
    assert main(["check", path]) == 0
    assert main(["check", path, *options]) == 1


@pytest.mark.parametrize(
    ("text", "options", "said"),
    [
        ("[]\n", [], "run.jsonl:1: a line is one JSON object, not []"),
        ("", [], "no operation in this history is of a kind that a check reads"),
        (LOCKED, ["--check", "barrier"], "no operation in this history is of a kind that a check reads"),
        ("", ["--check", "lock"], "no check is called 'lock'; there are register, counter"),
        ("", ["--initial", "x"], "--initial is a value in JSON, not 'x'"),
        (None, [], "No such file"),
    ],
)
def test_what_cannot_be_read_ends_with_2_and_one_line_that_says_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str | None, options: list[str], said: str
) -> None:
    path = tmp_path / "run.jsonl"
    if text is not None:
        path.write_text(text)
    assert main(["check", str(path), *options]) == 2
    out, line = capsys.readouterr()
    assert out == ""
    assert line.startswith("cannot check: ") and said in line and line.count("\n") == 1


@pytest.mark.parametrize(
    ("operation", "said"),
    [
        (op("a", "cas 1 2", 5, True), "a cas takes the pair (expected, new)"),
        (op("a", "add 1 2", True), "amounts and sums of a counter are whole numbers"),
        (op("a", "get 1 2", None, 1.5), "amounts and sums of a counter are whole numbers"),
        (op("a", "enter 1 2", True), "how many members does this need"),
        (op("a", "contents 1 2", None, 7), "the contents of a queue are a list"),
        (op("a", "enqueue 1 2"), "what is put is not null"),
    ],
)
def test_an_operation_that_a_check_cannot_read_ends_with_2_and_one_line_that_says_where(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], operation: Operation, said: str
) -> None:
    good = saved(tmp_path, GOOD)
    bad = saved(tmp_path, [*GOOD, operation], "bad.jsonl")
    place = 1 + History.load(bad).operations.index(operation)
    with open(bad, encoding="utf-8") as file:
        text = file.read()
    Path(bad).write_text("\n" + text, encoding="utf-8")
    assert main(["check", good, bad]) == 2
    out, line = capsys.readouterr()
    assert out == ""
    assert line.startswith(f"cannot check: {bad}:{place + 1}: {said}") and line.count("\n") == 1
    assert operation.kind + "(" in line


@pytest.mark.parametrize("option", ["--slack", "--patience"])
@pytest.mark.parametrize("text", ["nan", "inf", "soon"])
def test_seconds_that_are_none_are_refused(option: str, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["check", "run.jsonl", option, text])
    assert caught.value.code == 2
    assert f"a number of seconds, not '{text}'" in capsys.readouterr().err


def test_what_is_not_decided_ends_with_3(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("zk_testing.history.searching.WIDTHS", (1, 1, 1))
    operations = [
        op("a", "write 1 6", 2),
        op("b", "cas 2 6", (0, 2), True),
        op("c", "write 2 7?", 0),
        op("d", "cas 3 8", (0, 2), True),
    ]
    assert main(["check", saved(tmp_path, operations), "--initial", "0", "--check", "register"]) == 3
    assert capsys.readouterr().out.startswith(
        "register: could not be decided, 4 operations on 1 key\n/x: there are too"
    )


def test_it_runs_as_a_program(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "error", "-m", "zk_testing", "check", saved(tmp_path, [*GOOD, STALE])]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "")
    assert "register: violated" in done.stdout


def test_every_check_is_in_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["check", "--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert all(name in said for name in CHECKS)


def test_importing_the_package_loads_no_check() -> None:
    code = "import sys, zk_testing.history; print([name for name in sys.modules if name.startswith('zk_testing.')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['zk_testing.history']"
