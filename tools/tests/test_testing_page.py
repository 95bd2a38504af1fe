"""docs/testing.md shows a project with tests: they pass, and those of the naive election fail, as the page says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tools.documentation import files
from tools.workspace import ROOT

PAGE = (ROOT / "docs" / "testing.md").read_text(encoding="utf-8")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name, text in files(PAGE).items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def outcome(project: Path) -> tuple[dict[str, str], str]:
    """How each test ended, and everything that was said."""
    command = [sys.executable, "-m", "pytest", "-rA", "-q", "--strict-markers", "-W", "error", "-p", "no:cacheprovider"]
    environment = {name: value for name, value in os.environ.items() if name != "ZK_TESTING_REQUIRE_REAL"}
    said = subprocess.run(
        command, cwd=project, env=environment, capture_output=True, text=True, timeout=120, check=False
    ).stdout
    lines: list[tuple[str, str]] = re.findall(r"^(PASSED|FAILED|ERROR) \S+::(\w+)", said, re.M)
    return {name: end.lower() for end, name in lines}, said


def test_the_tests_of_the_page_pass_and_are_as_many_as_it_says(project: Path) -> None:
    ends, said = outcome(project)

    assert set(ends.values()) == {"passed"}, said
    (shown,) = re.findall(r"^(\d+) passed in", PAGE, re.M)
    assert len(ends) == int(shown)


def test_the_naive_election_fails_the_tests_that_the_page_names(project: Path) -> None:
    tests = project / "test_election.py"
    text = tests.read_text(encoding="utf-8")
    tests.write_text(text.replace("from election import", "from naive_election import"), encoding="utf-8")

    ends, said = outcome(project)

    assert {name for name, end in ends.items() if end == "failed"} == {
        "test_a_leader_whose_session_expired_does_not_lead_any_more",
        "test_a_frozen_leader_stops_before_the_next_one_leads",
    }, said
