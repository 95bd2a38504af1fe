"""Plays many operations to real servers of every version, and prints what came of it: `nox -s conformance`.

    python tests/conformance_run.py --operations 1000000 --versions 3.8.7 3.9.6 --seed 1

Operations are shared out evenly over the versions and the configurations. A line of the table says with which seed to
go on; a difference is printed as a script that can be pasted into a test.
"""

from __future__ import annotations

import argparse
import os
import sys
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from conformance_play import Played, play
from conformance_servers import PLAYED, SCENES, VERSIONS, play_scenes, started

_HEAD = (
    f"{'version':8} {'servers':8} {'operations':>10} {'differences':>11} {'seconds':>8} {'ops/s':>6} {'next seed':>9}"
)


def main() -> int:
    """Return the exit status: 0 when there was no difference."""
    parser = argparse.ArgumentParser(description="Compare the embedded server with real ones.")
    parser.add_argument("--operations", type=int, default=1_000_000, help="in all (default 1000000)")
    parser.add_argument("--versions", nargs="+", default=list(VERSIONS), help="releases or lines (default: all pinned)")
    parser.add_argument("--configurations", nargs="+", choices=PLAYED, default=PLAYED)
    parser.add_argument("--seed", type=int, default=1, help="the first seed (default 1)")
    parser.add_argument("--jobs", type=int, default=max(1, (os.cpu_count() or 2) // 2), help="versions at a time")
    parser.add_argument("--no-scenes", action="store_true", help="only what hypothesis makes")
    arguments = parser.parse_args()
    plays = [(version, name) for version in arguments.versions for name in arguments.configurations]
    share = arguments.operations // len(plays) + 1
    found: list[Played] = []
    wrong: list[str] = []
    with ProcessPoolExecutor(arguments.jobs) as pool:
        if not arguments.no_scenes:
            wrong = _scenes(pool, arguments.versions)
        print(_HEAD, flush=True)
        running = {pool.submit(_play, *chosen, share, arguments.seed): chosen for chosen in plays}
        for future in as_completed(running):
            found.append(played := future.result())
            print(_line(played, running[future][1]), flush=True)
    seconds = sum(played.seconds for played in found)
    total = Played("all", sum(played.operations for played in found), seconds, 0, "".join(p.difference for p in found))
    print(_line(total, "", sum(bool(played.difference) for played in found)))
    for played in found:
        if played.difference:
            print(f"\n{played.difference}")
    print("\n".join(wrong))
    return int(bool(total.difference or wrong))


def _scenes(pool: ProcessPoolExecutor, versions: list[str]) -> list[str]:
    """Play the scenes that were written by hand; print a line for each server, return the differences."""
    wrong: list[str] = []
    chosen = [(version, name) for version in versions for name in (*SCENES, "read-only")]
    for (version, name), found in zip(chosen, pool.map(play_scenes, *zip(*chosen, strict=True)), strict=True):
        differences = [
            f"\nversion {version}, servers {name}: {difference}" for difference in found.values() if difference
        ]
        print(f"{version:8} {name:10} {len(found):3} scenes {len(differences):3} differences", flush=True)
        wrong += differences
    return wrong


def _play(version: str, configuration: str, operations: int, seed: int) -> Played:
    with started(version, configuration) as pair:
        return play(pair, operations, seed)


def _line(played: Played, name: str, differences: int | None = None) -> str:
    count = bool(played.difference) if differences is None else differences
    speed = played.operations / max(played.seconds, 0.001)
    return (
        f"{played.version:8} {name:8} {played.operations:10} {count:11d} {played.seconds:8.1f} {speed:6.0f} "
        f"{played.next_seed or '':>9}"
    )


if __name__ == "__main__":
    raise SystemExit(main())
