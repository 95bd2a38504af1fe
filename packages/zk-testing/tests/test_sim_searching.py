"""The search for a failing seed: what it runs, and what it tells of what it found."""

from __future__ import annotations

import asyncio
import re

import pytest
from naive_election import elect
from pytest_runs import run_pytest

from zk_testing.sim import NO_FAULTS, Faults, Simulation, SimulationFailedError, StuckError, search, simulate

CUTS = Faults(rate=0.1, limit=6, kinds=("cut", "hang", "freeze"), troubles=0)


def found(faults: Faults = CUTS, servers: int = 1) -> SimulationFailedError:
    with pytest.raises(SimulationFailedError) as caught:
        search(elect, range(300), faults=faults, servers=servers)
    return caught.value


def test_a_naive_election_is_found_out_with_the_fewest_faults_and_a_timeline() -> None:
    failure = found()
    assert isinstance(failure.__cause__, AssertionError)
    assert failure.found_with is not None and 1 <= len(failure.faults) <= failure.found_with
    text = str(failure)
    assert text.startswith(f"seed {failure.seed}: ") and "two leaders" in text
    assert f"to run this again: --zk-seed {failure.seed}" in text
    times = [float(line.split()[0]) for line in failure.timeline.splitlines()]
    assert times == sorted(times)
    assert re.search(r"\d+\.\d{6}  \w > zk +create\(path /leader, data \w, flags EPHEMERAL\)", failure.timeline)
    assert failure.timeline.count("  leads") >= 2 and "password" not in failure.timeline
    # Each fault that is told is needed.
    for name, _ in failure.faults:
        others = frozenset(other for other, _ in failure.faults) - {name}
        Simulation(failure.seed, faults=CUTS, only=others).run(elect)


def test_what_is_found_is_the_same_to_the_byte_each_time() -> None:
    assert str(found()) == str(found())


def test_it_is_found_on_an_ensemble_too() -> None:
    assert "two leaders" in found(servers=3).reason


def test_without_faults_there_is_nothing_to_find() -> None:
    assert search(elect, range(20), faults=NO_FAULTS) == 20


def test_a_failure_without_faults_says_so() -> None:
    async def main(sim: Simulation) -> None:
        await asyncio.Event().wait()

    with pytest.raises(StuckError, match="enough for this: none"):
        search(main, range(1), faults=NO_FAULTS)


def test_simulate_makes_a_test_with_fixtures_of_its_own() -> None:
    seeds: list[int] = []

    @simulate(seeds=7, faults=NO_FAULTS)
    async def test_it(sim: Simulation, fixture: str) -> None:
        """What is promised."""
        assert fixture == "given"
        seeds.append(sim.seed)

    test_it(fixture="given")
    assert seeds == list(range(7))
    assert test_it.__name__ == "test_it" and test_it.__doc__ == "What is promised."


def test_only_async_functions_are_simulated() -> None:
    with pytest.raises(TypeError, match="takes an async function, not <function"):
        simulate()(lambda sim: None)  # type: ignore[arg-type, return-value]


TESTS = """
from zk_testing.sim import NO_FAULTS, simulate

@simulate(seeds=5, faults=NO_FAULTS)
async def test_it(sim, tmp_path):
    print("seed", sim.seed, tmp_path.is_dir())
"""


def test_the_command_line_chooses_seeds(tmp_path: object) -> None:
    def seeds(*arguments: str) -> list[str]:
        run = run_pytest(tmp_path, TESTS, "-s", *arguments)  # type: ignore[arg-type]
        assert run.returncode == 0, run.stdout
        return re.findall(r"seed (\d+) True", run.stdout)

    assert seeds() == ["0", "1", "2", "3", "4"]
    assert seeds("--zk-seed=3") == ["3"]
    assert seeds("--zk-seeds=2") == ["0", "1"]
    refused = run_pytest(tmp_path, TESTS, "--zk-seeds=0")  # type: ignore[arg-type]
    assert refused.returncode == 4 and "--zk-seeds at least 1, not None and 0" in refused.stderr
