"""Interpreters count only when they run."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tools import interpreters


def make_executable(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)
    return path


def test_the_running_interpreter_is_found() -> None:
    assert interpreters.find(interpreters.running_version()) is not None


def test_a_shim_that_does_not_run_is_passed_over(tmp_path: Path) -> None:
    shim = make_executable(tmp_path / "shim", "#!/bin/sh\nexit 127\n")
    real = Path(sys.executable)

    assert interpreters.find(interpreters.running_version(), [shim, real]) == real


def test_an_interpreter_of_another_version_is_passed_over(tmp_path: Path) -> None:
    liar = make_executable(tmp_path / "python3.12", "#!/bin/sh\necho 3.1\n")

    assert interpreters.find("3.12", [liar]) is None


def test_missing_versions_are_returned_and_found_ones_come_first_on_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = make_executable(tmp_path / "python3.98", "#!/bin/sh\necho 3.98\n")
    monkeypatch.setenv("PATH", f"/nowhere{os.pathsep}{found.parent}")

    missing = interpreters.put_on_path(["3.98", "3.99"])

    assert missing == ["3.99"]
    assert os.environ["PATH"].split(os.pathsep)[0] == str(found.parent)
