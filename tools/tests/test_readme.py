"""README.md begins with the two commands that a newcomer copies, and the runner uses the second."""

from __future__ import annotations

import os

import pytest

from tools.documentation import read_blocks
from tools.workspace import ROOT, read_packages

COMMANDS = [
    block.text for block in read_blocks((ROOT / "README.md").read_text(encoding="utf-8")) if block.language == "sh"
]


@pytest.mark.parametrize("position", [0, 1])
def test_each_of_the_first_two_shell_blocks_is_one_line_alone(position: int) -> None:
    (line,) = COMMANDS[position].splitlines()

    assert line
    assert not line.endswith("\\")


def test_the_first_command_runs_the_demo() -> None:
    assert COMMANDS[0].split()[-2:] == ["--session", "demo"]


def test_the_runner_calls_the_second_command_as_it_stands() -> None:
    lines = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()

    assert lines[-1] == COMMANDS[1].rstrip("\n")
    assert "export ZK_TESTING_REQUIRE_REAL=1" in lines


def test_the_runner_can_be_executed() -> None:
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


def test_both_commands_need_nothing_but_an_interpreter() -> None:
    for command in COMMANDS[:2]:
        programs = [part.split()[0] for part in command.split("&&")]
        assert all(program == "python3" or program.startswith(".venv/bin/") for program in programs)


def test_every_package_is_introduced() -> None:
    page = (ROOT / "README.md").read_text(encoding="utf-8")

    for package in read_packages():
        assert f"`{package.name}`" in page
