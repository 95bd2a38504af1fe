"""A campaign: every search by simulation, in rounds, beside whatever else the machine does.

    python tools/campaign.py FOLDER [FILE ...] [--schedules 1000] [--rounds 4] [--seconds S] [--reports DIR] [--beside]

FOLDER: a package whose tests hold searches.   FILE: where to look for them, from there; everywhere if none is named.
Each round tries further schedules of every search, so that when the time is over all of them were tried alike. After
`--seconds` the round that runs is ended, and does not count; the last line says how many schedules of each search were
tried. Exits with 1 after the first test that failed.

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

# Runs one round: so many schedules, from one on, in so many seconds at most. Says whether all went well, and None when
# the time was over before.
Round = Callable[[int, int, float], bool | None]


def search(schedules: int, rounds: int, seconds: float, run: Round, now: Callable[[], float]) -> tuple[int, bool]:
    """Run rounds until enough schedules were tried, the time is over, or one fails.

    Returns how many schedules of each search were tried, and whether all went well.   seconds: from now on.
    """
    end = now() + seconds
    tried = 0
    for number in range(1, rounds + 1):
        upto = schedules * number // rounds
        well = run(tried, upto - tried, end - now())
        if well is None:
            break
        if not well:
            return tried, False
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

    def run(self, first: int, count: int, seconds: float) -> bool | None:
        """Run one, for so many seconds at most."""
        # A search takes as long as it may: beside something else it may stand still.
        options = "-q -x -m search -n 2 --dist worksteal --timeout 0".split()
        command = [sys.executable, "-m", "pytest", *options, *self._files]
        if self._reports is not None:
            command.append(f"--junitxml={self._reports / f'schedules {first} to {first + count - 1}.xml'}")
        environment = {**os.environ, "ZK_SIM_SCHEDULES": str(count), "ZK_SIM_FIRST": str(first)}
        with self._changing:
            # A group of its own, which its workers belong to: those that are busy do not notice that it is gone.
            self._process = subprocess.Popen(
                command, cwd=self._folder, env=environment, stdin=subprocess.DEVNULL, process_group=0
            )
        try:
            return self._process.wait(None if seconds == float("inf") else max(0.0, seconds)) == 0
        except subprocess.TimeoutExpired:
            self._end()
            self._process.wait()
            return None

    def end_with_standard_input(self) -> None:
        """From now on end everything when nobody is there any more to hear of it."""
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while os.read(0, 1024):  # not through sys.stdin, which nobody may be reading when the interpreter ends
            pass
        with self._changing:
            self._end()
            os._exit(1)

    def _end(self) -> None:
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGTERM)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a campaign; the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("files", nargs="*")
    parser.add_argument("--schedules", type=int, default=1000, help="of each search")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="after which it ends")
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
        said += "; a test of the round after these failed"
    elif tried < options.schedules:
        said += f"; the time ({options.seconds:.0f} s) was over"
    print(said, flush=True)
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
