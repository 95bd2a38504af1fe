"""The main job, as README's first command runs it: on embedded servers, and on servers whose address is given."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tools.workspace import ROOT

if TYPE_CHECKING:
    from zk_testing.member import ZooKeeperServer

ENDING = "everything went as expected"


def main_job(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", str(ROOT / "examples" / "main_job.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_the_main_job_succeeds_on_embedded_servers_without_arguments() -> None:
    done = main_job()

    assert done.returncode == 0, done.stdout + done.stderr
    assert ENDING in done.stdout
    assert "embedded" in done.stdout and "killing server" in done.stdout


@pytest.mark.cluster
def test_the_main_job_succeeds_on_a_server_whose_address_is_given(zk_server: ZooKeeperServer) -> None:
    done = main_job(zk_server.hosts)

    assert done.returncode == 0, done.stdout + done.stderr
    assert ENDING in done.stdout
    assert "none of them is killed" in done.stdout


def test_the_main_job_fails_where_no_server_answers() -> None:
    done = main_job("127.0.0.1:1")

    assert done.returncode != 0
    assert ENDING not in done.stdout
