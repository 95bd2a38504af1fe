"""Runs pytest in a process of its own, with this package's plugin and no other."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


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
