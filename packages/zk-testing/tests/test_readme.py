"""The tests that the README shows."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pytest_runs import NO_SERVER, run_inline

README = Path(__file__).parent.parent / "README.md"


def test_the_tests_of_the_readme_pass(pytester: pytest.Pytester) -> None:
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    tests = "\n".join(block for block in blocks if "def test_" in block)
    run = run_inline(pytester, tests, "--zk=embedded", **NO_SERVER)
    assert "3 passed in" in run.stdout.str()
