"""Processes and folders that do not outlive the test process, with `sleep` in place of a server."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from child_process import announced, finish, python

from zk_testing import _process, _reaper
from zk_testing._process import make_folder, remove_folder, spawn, wait_for_exit

SPAWN = """
import os, sys, threading, warnings
from zk_testing import _process
warnings.simplefilter("ignore", DeprecationWarning)  # to fork with threads
folder = _process.make_folder()
process = _process.spawn(["sleep", "1000"], folder, folder / "log")
print(process.pid, folder, flush=True)
"""


def wait_until(condition: Callable[[], object], timeout: float = 15.0) -> None:
    """Ask until it is so; a process that is not our child tells nobody of its end."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"


def alive(pid: int) -> bool:
    return _reaper.start_time(pid) != ""


@contextmanager
def test_process(*lines: str) -> Iterator[tuple[subprocess.Popen[str], int, Path]]:
    """A test process with a child and a folder: (the process, the child's pid, the folder)."""
    with python(SPAWN, *lines) as process:
        pid, folder = announced(process)
        yield process, int(pid), Path(folder)


test_process.__test__ = False  # type: ignore[attr-defined]


@pytest.mark.parametrize("harm", ["pass", "process.send_signal(19)"], ids=["running", "stopped"])
def test_when_the_test_process_is_killed_its_processes_and_folders_go(harm: str) -> None:
    with test_process(harm, "sys.stdin.read()") as (process, pid, folder):
        assert alive(pid)
        process.kill()
        process.wait()
        wait_until(lambda: not alive(pid) and not folder.exists())


def test_they_go_though_a_forked_child_lives_on_and_holds_a_copy_of_everything() -> None:
    with test_process("child = os.fork()", "sys.stdin.read()") as (process, pid, folder):
        process.kill()
        process.wait()
        wait_until(lambda: not alive(pid) and not folder.exists())


def test_the_thread_that_started_a_process_may_end() -> None:
    lines = (
        "process.kill(); _process.wait_for_exit(process, 10)",
        "started = []",
        "start = lambda: started.append(_process.spawn(['sleep', '1000'], folder, folder / 'log'))",
        "thread = threading.Thread(target=start)",
        "thread.start(); thread.join()",
        "print(started[0].poll(), flush=True)",
    )
    with test_process(*lines) as (process, _, _folder):
        output, errors = finish(process)
        assert (output, [line for line in errors.splitlines() if "ResourceWarning" in line]) == ("None\n", [])


def test_the_reaper_lives_only_while_there_is_something_to_reap() -> None:
    lines = (
        "print(_process.helper_running())",
        "process.kill(); _process.wait_for_exit(process, 10)",
        "print(_process.helper_running())",
        "_process.remove_folder(folder)",
        "print(_process.helper_running())",
    )
    with test_process(*lines) as (process, _, _folder):
        assert finish(process) == ("True\nTrue\nFalse\n", "")


def test_the_reaper_kills_no_process_that_has_got_the_pid_of_an_announced_one(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "1000"]) as other:
        try:
            command = [sys.executable, "-I", "-S", _reaper.__file__]
            program = f"import subprocess, os; subprocess.run({command!r} + [str(os.getpid())], input={{}})"
            line = f"+{other.pid} 1\n".encode()
            subprocess.run([sys.executable, "-c", program.format(repr(line))], check=True, timeout=30)
            assert other.poll() is None
            line = f"+{other.pid} {_reaper.start_time(other.pid)}\n>{tmp_path}/x\n".encode()
            (tmp_path / "x").mkdir()
            subprocess.run([sys.executable, "-c", program.format(repr(line))], check=True, timeout=30)
            assert other.wait(timeout=10) == -signal.SIGKILL
            assert not (tmp_path / "x").exists()
        finally:
            other.kill()


def test_what_was_taken_back_is_left_alone(tmp_path: Path) -> None:
    folder = make_folder()
    with (tmp_path / "log").open("wb"):
        process = spawn(["sleep", "1000"], folder, tmp_path / "log")
    assert {f"p{process.pid}", f"f{folder}"} <= _process.watched()
    assert not wait_for_exit(process, 0.01)
    process.kill()
    assert wait_for_exit(process, 10)
    remove_folder(folder)
    assert not {f"p{process.pid}", f"f{folder}"} & _process.watched()
    assert not folder.exists()


def test_a_process_writes_its_words_to_its_log(tmp_path: Path) -> None:
    process = spawn(["sh", "-c", "echo out; echo err >&2"], tmp_path, tmp_path / "log")
    assert wait_for_exit(process, 10)
    assert (tmp_path / "log").read_text() == "out\nerr\n"
