"""Starts server processes that never outlive the test process.

Rule: every process and folder made here is announced to the reaper (`_reaper.py`) before anything else happens to it,
and taken back when it is gone. The reaper is a process of its own, because a test process that is killed with SIGKILL
runs no code; it exists only while something is announced, so nothing is left when the last cluster has stopped.

(The kernel's parent-death signal would not do: it fires when the *thread* that started the process ends.)
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from . import _reaper

__all__ = ["helper_running", "make_folder", "remove_folder", "spawn", "wait_for_exit", "watched"]

_mutex = threading.Lock()
_watched: set[str] = set()
_helper: subprocess.Popen[bytes] | None = None

_TMPFS = Path("/dev/shm")
_ROOM = 256 << 20  # bytes that must be free there


def spawn(command: Sequence[str], folder: Path, log: Path) -> subprocess.Popen[bytes]:
    """Start a process in `folder`, its output appended to `log`, in a session of its own (no Ctrl-C from the tests)."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            list(command),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    _tell(f"+{process.pid} {_reaper.start_time(process.pid)}", watch=f"p{process.pid}")
    return process


def wait_for_exit(process: subprocess.Popen[bytes], timeout: float) -> bool:
    """Wait for a process and take its notice back; False if it still runs after `timeout` seconds."""
    try:
        process.wait(timeout)
    except subprocess.TimeoutExpired:
        return False
    _tell(f"-{process.pid}", forget=f"p{process.pid}")
    return True


def make_folder() -> Path:
    """A new folder for server data: on the memory file system where there is one with room, else a temporary one."""
    place: str | None = None
    with suppress(OSError):
        if _TMPFS.is_dir() and os.access(_TMPFS, os.W_OK) and shutil.disk_usage(_TMPFS).free >= _ROOM:
            place = str(_TMPFS)
    folder = Path(tempfile.mkdtemp(prefix="zk-testing-", dir=place))
    _tell(f">{folder}", watch=f"f{folder}")
    return folder


def remove_folder(folder: Path) -> None:
    """Remove a folder made by `make_folder` and all that is in it."""
    shutil.rmtree(folder, ignore_errors=True)
    _tell(f"<{folder}", forget=f"f{folder}")


def watched() -> frozenset[str]:
    """What the reaper was told of and not taken back, for tests that must leave nothing."""
    with _mutex:
        return frozenset(_watched)


def helper_running() -> bool:
    """Whether the reaper exists, for tests."""
    with _mutex:
        return _helper is not None and _helper.poll() is None


def _tell(line: str, *, watch: str | None = None, forget: str | None = None) -> None:
    global _helper
    with _mutex:
        if watch is not None:
            _watched.add(watch)
        if forget is not None:
            if forget not in _watched:
                return
            _watched.discard(forget)
        if _helper is None:
            _helper = subprocess.Popen(
                [sys.executable, "-I", "-S", _reaper.__file__, str(os.getpid())],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,  # or a pipe that the tests write to would stay open a little longer
                start_new_session=True,
            )
        if _helper.stdin is not None:
            with suppress(OSError):  # somebody killed the reaper: the servers still stop with their clusters
                _helper.stdin.write(os.fsencode(line) + b"\n")
                _helper.stdin.flush()
            if not _watched:
                with suppress(OSError):
                    _helper.stdin.close()
                _helper.wait()
                _helper = None


def _forget_after_fork() -> None:
    """A forked child owns none of this; its copy of the reaper's input must not keep the reaper waiting."""
    global _helper, _mutex
    _mutex = threading.Lock()
    _watched.clear()
    if _helper is not None and _helper.stdin is not None:
        with suppress(OSError):
            _helper.stdin.close()
        _helper.returncode = 0  # not this process's child: never waited for here
    _helper = None


os.register_at_fork(after_in_child=_forget_after_fork)
