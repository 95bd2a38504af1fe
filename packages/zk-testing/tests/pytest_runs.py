"""Runs pytest inside pytest, with this package's plugin and no other.

Rule: in this process where nothing can stay behind in it (`run_inline`, quick), else in one of its own (`run_pytest`).
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

# What a run in this process imports for the first time is forgotten after it: a class would be another one each time.
import zk_testing._chroot
import zk_testing._leaks
import zk_testing._serving
import zk_testing.cluster
import zk_testing.embedded.ensemble
import zk_testing.faults  # noqa: F401


def run_pytest(folder: Path, tests: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    (folder / "test_it.py").write_text(tests)
    if not (folder / "pytest.ini").exists():
        (folder / "pytest.ini").write_text("[pytest]\n")
    # By name and alone: other plugins cost seconds. That pytest finds it by itself is shown by the tests below that use
    # its fixtures here.
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        "-p",
        "zk_testing.plugin",
        "-ra",
        "--strict-markers",
        "test_it.py",
    ]
    env = {name: value for name, value in os.environ.items() if not name.startswith(("ZK_TESTING_REQ", "PYTEST_"))}
    env |= {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    return subprocess.run(
        [*command, *arguments],
        cwd=folder,
        env=env | environment,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


NO_SERVER = {
    "ZK_TESTING_CACHE": "/nowhere",
    "ZK_TESTING_MAVEN_URL": "",
    "ZOOKEEPER_PATH": "",
    "ZOOKEEPER_CLASSPATH": "",
}


def run_inline(pytester: pytest.Pytester, tests: str, *arguments: str, **environment: str) -> pytest.RunResult:
    """Run a file of tests in this process; the plugin is there, as every installed one is."""
    pytester.makepyfile(test_it=tests)
    if not (pytester.path / "pytest.ini").exists():
        pytester.makefile(".ini", pytest="[pytest]")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("ZK_TESTING_REQUIRE_REAL", raising=False)
        for name, value in environment.items():
            patch.setenv(name, value)
        # Hypothesis would import most of itself, each time anew, for the last lines of the run.
        without = ("-p", "no:cacheprovider", "-p", "no:hypothesispytest")
        return pytester.runpytest_inprocess(*without, "-ra", "--strict-markers", *arguments)
