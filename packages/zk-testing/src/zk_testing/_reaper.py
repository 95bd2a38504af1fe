"""The process that cleans up after a test process that died: kills its servers, removes their folders.

Rule: imports nothing of ours and little else, since it is started by path (`python -I -S _reaper.py PID`).

Standard input tells it what there is, one line each: `+pid start` and `-pid` for processes, `>folder` and `<folder` for
folders. When its input ends, or when PID is no longer its parent (a forked child may keep the input open), it kills and
removes what is left and exits. A pid is killed only if it still has the start time it was announced with.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import sys
import time


def start_time(pid: int) -> str:
    """What tells a process from a later one with the same pid; empty when it is gone or the system does not say."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # The name, in parentheses, may hold anything; behind it come the state and, 19 fields on, the start time.
            fields = file.read().rpartition(b")")[2].split()
        return "" if fields[0] in (b"Z", b"X") else fields[19].decode("ascii")
    except (OSError, IndexError):
        return ""


def main(parent: int) -> None:
    """Listen until the parent is gone, then clean up."""
    processes: dict[int, str] = {}
    folders: set[str] = set()
    rest = b""
    while True:
        # What was announced is read first: the parent may have died before this process came so far.
        if not select.select([0], [], [], 1.0)[0]:
            if os.getppid() != parent:
                break
            continue
        data = os.read(0, 65536)
        if not data:
            break
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            sign, word = line[:1], os.fsdecode(line[1:])
            if sign == b"+":
                number, _, started = word.partition(" ")
                processes[int(number)] = started
            elif sign == b"-":
                processes.pop(int(word), None)
            elif sign == b">":
                folders.add(word)
            elif sign == b"<":
                folders.discard(word)
    for pid, started in processes.items():
        if start_time(pid) == started:
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                continue
    deadline = time.monotonic() + 5.0
    while time.monotonic() < deadline and any(start_time(pid) == started != "" for pid, started in processes.items()):
        time.sleep(0.02)
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
