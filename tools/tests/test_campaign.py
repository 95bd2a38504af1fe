"""A campaign tries as many schedules of every search as there is time for, and of each the same."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tools import campaign

PROGRAM = Path(campaign.__file__)
SETTINGS = '[tool.pytest.ini_options]\naddopts = ["--strict-markers"]\nmarkers = ["search: tries many"]\n'
SEARCH = """
import os
from pathlib import Path
import pytest

@pytest.mark.search
def test_every_schedule() -> None:
    first, count = int(os.environ["ZK_SIM_FIRST"]), int(os.environ["ZK_SIM_SCHEDULES"])
    with Path("tried.txt").open("a") as tried:
        tried.writelines(f"{number}\\n" for number in range(first, first + count))
    assert not first <= FAULTY < first + count

def test_that_is_no_search() -> None:
    raise AssertionError
"""
ENDLESS = """
import threading
from pathlib import Path
import pytest

@pytest.mark.search
def test_it_never_ends() -> None:
    Path("began").open("w").close()
    threading.Event().wait()
"""


class Rounds:
    """Rounds that take so many seconds each of a clock of their own; one of them may fail."""

    def __init__(self, *seconds: float, failing: int = 0) -> None:
        self.seconds = seconds
        self.failing = failing
        self.time = 50.0
        self.ran: list[tuple[int, int]] = []

    def now(self) -> float:
        return self.time

    def run(self, first: int, count: int, seconds: float) -> bool | None:
        takes = self.seconds[len(self.ran)]
        self.time += min(takes, seconds)
        self.ran.append((first, count))
        return None if takes > seconds else len(self.ran) != self.failing


def test_all_schedules_are_tried_once_in_as_many_rounds_as_asked_for() -> None:
    rounds = Rounds(1, 1, 1)
    assert campaign.search(100, 3, 10, rounds.run, rounds.now) == (100, True)
    assert rounds.ran == [(0, 33), (33, 33), (66, 34)]


def test_a_round_that_does_not_end_in_time_does_not_count() -> None:
    rounds = Rounds(30, 40, 40)
    assert campaign.search(100, 4, 105, rounds.run, rounds.now) == (50, True)
    assert rounds.ran == [(0, 25), (25, 25), (50, 25)]
    assert rounds.now() == 50 + 105


def test_nothing_is_tried_after_a_round_that_failed() -> None:
    rounds = Rounds(1, 1, 1, failing=2)
    assert campaign.search(90, 3, 10, rounds.run, rounds.now) == (30, False)
    assert len(rounds.ran) == 2


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    (tmp_path / "pyproject.toml").write_text(SETTINGS, encoding="utf-8")
    return tmp_path


def run(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(PROGRAM), str(folder), "--reports", str(folder), *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)


def test_the_searches_of_a_package_are_run_and_nothing_else(toy: Path) -> None:
    (toy / "test_toy.py").write_text(SEARCH.replace("FAULTY", "99"), encoding="utf-8")
    done = run(toy, "--schedules", "5", "--rounds", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].startswith("campaign: 5 of 5 schedules of each search in ")
    assert (toy / "tried.txt").read_text(encoding="utf-8").split() == ["0", "1", "2", "3", "4"]
    assert sorted(path.name for path in toy.glob("*.xml")) == ["schedules 0 to 1.xml", "schedules 2 to 4.xml"]


def test_a_fault_that_is_found_ends_the_campaign_and_is_shown(toy: Path) -> None:
    (toy / "test_toy.py").write_text(SEARCH.replace("FAULTY", "3"), encoding="utf-8")
    done = run(toy, "--schedules", "6", "--rounds", "3")
    assert done.returncode == 1
    assert "FAILED test_toy.py::test_every_schedule" in done.stdout
    assert "campaign: 2 of 6 schedules of each search" in done.stdout
    assert "a test of the round after these failed" in done.stdout
    assert (toy / "tried.txt").read_text(encoding="utf-8").split() == ["0", "1", "2", "3"]


def test_a_round_that_has_no_time_left_is_ended(toy: Path) -> None:
    (toy / "test_toy.py").write_text(ENDLESS, encoding="utf-8")
    os.mkfifo(toy / "began")
    done = run(toy, "--schedules", "5", "--seconds", "0.5")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "campaign: 0 of 5 schedules of each search" in done.stdout
    assert "the time (0 s) was over" in done.stdout


def test_a_campaign_beside_something_ends_with_it(toy: Path) -> None:
    (toy / "test_toy.py").write_text(ENDLESS, encoding="utf-8")
    os.mkfifo(toy / "began")
    command = [sys.executable, str(PROGRAM), str(toy), "--beside"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        (toy / "began").open(encoding="ascii").close()  # waits for it
        process.stdin.close()
        assert process.wait() == 1
        process.stdout.read()  # waits until nobody has it open any more, so for the end of its workers
