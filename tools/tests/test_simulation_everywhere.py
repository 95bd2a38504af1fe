"""Two runs of a seed are the same on every interpreter."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tools import interpreters

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = ROOT / "packages" / "zk-testing" / "tests" / "sim_program.py"
VERSIONS = ("3.11", "3.12", "3.13")


def run(python: Path, seed: int) -> str:
    sources = sorted(str(path) for path in ROOT.glob("packages/*/src"))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sources)}
    done = subprocess.run(
        [python, PROGRAM, str(seed)], env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_a_seed_is_the_same_run_on_every_interpreter(seed: int) -> None:
    found = {version: interpreters.find(version) for version in VERSIONS}
    here = {version: python for version, python in found.items() if python is not None}
    if len(here) < 2:
        pytest.skip(f"of {', '.join(VERSIONS)} only {', '.join(here)} can be found here")
    assert len({run(python, seed) for python in here.values()}) == 1
