"""A campaign: every search by simulation, in rounds, beside whatever else the machine does.

    python tools/campaign.py FOLDER [FILE ...] [--schedules 1000] [--rounds 4] [--seconds S] [--reports DIR] [--beside]

FOLDER: a package whose tests hold searches.   FILE: where to look for them, from there; everywhere if none is named.
Each round tries further schedules of every search, so that when the time is over all of them were tried alike. A round
that would end after `--seconds` is not begun; the last line says how many schedules of each search were tried. Exits
with 1 after the first round in which a test failed.

--beside: with the lowest priority, as long as who started it lives: it ends when its standard input does.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

# Runs one round, from a schedule on, and says whether all went well.
Round = Callable[[int, int], bool]


def search(schedules: int, rounds: int, seconds: float, run: Round, now: Callable[[], float]) -> tuple[int, bool]:
    """Run rounds until enough schedules were tried, the time is over, or one fails.

    Returns how many schedules of each search were tried, and whether all went well.   seconds: from now on.
    """
    end = now() + seconds
    tried, longest = 0, 0.0
    for number in range(1, rounds + 1):
        upto = schedules * number // rounds
        begun = now()
        if begun + longest > end:
            break
        if not run(tried, upto - tried):
            return tried, False
        longest = max(longest, now() - begun)
        tried = upto
    return tried, True


class Pytest:
    """Rounds that are runs of pytest in a folder.   reports: where each leaves its counts."""

    def __init__(self, folder: Path, files: Sequence[str], reports: Path | None) -> None:
        self._folder = folder
        self._files = files
        self._reports = reports
        self._process: subprocess.Popen[bytes] | None = None
        self._changing = threading.Lock()

    def run(self, first: int, count: int) -> bool:
        """Run one."""
        # A search takes as long as it may: beside something else it may stand still.
        options = "-q -m search -n 2 --dist worksteal --timeout 0".split()
        command = [sys.executable, "-m", "pytest", *options, *self._files]
        if self._reports is not None:
            command.append(f"--junitxml={self._reports / f'schedules {first} to {first + count - 1}.xml'}")
        environment = {**os.environ, "ZK_SIM_SCHEDULES": str(count), "ZK_SIM_FIRST": str(first)}
        with self._changing:
            # A group of its own, which its workers belong to: those that are busy do not notice that it is gone.
            self._process = subprocess.Popen(
                command, cwd=self._folder, env=environment, stdin=subprocess.DEVNULL, process_group=0
            )
        return self._process.wait() == 0

    def end_with_standard_input(self) -> None:
        """From now on end everything when nobody is there any more to hear of it."""
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        sys.stdin.buffer.read()
        with self._changing:
            if self._process is not None and self._process.poll() is None:
                os.killpg(self._process.pid, signal.SIGTERM)
            os._exit(1)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a campaign; the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("files", nargs="*")
    parser.add_argument("--schedules", type=int, default=1000, help="of each search")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="after which no round ends")
    parser.add_argument("--reports", type=Path, help="the folder for a JUnit file of each round")
    parser.add_argument("--beside", action="store_true", help="with the lowest priority, while standard input is open")
    options = parser.parse_args(arguments)
    pytest = Pytest(options.folder, options.files, options.reports)
    if options.beside:
        os.nice(19)
        pytest.end_with_standard_input()
    begun = time.monotonic()
    tried, well = search(options.schedules, options.rounds, options.seconds, pytest.run, time.monotonic)
    said = f"campaign: {tried} of {options.schedules} schedules of each search in {time.monotonic() - begun:.0f} s"
    if not well:
        said += "; the round after these failed"
    elif tried < options.schedules:
        said += f"; the time ({options.seconds:.0f} s) was over"
    print(said, flush=True)
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
