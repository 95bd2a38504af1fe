"""The search for a failing seed: what it runs, and what it tells of what it found."""

from __future__ import annotations

import asyncio
import inspect
import re
from pathlib import Path

import pytest
from naive_election import elect
from pytest_runs import run_pytest

from zk_client import AsyncClient
from zk_testing.sim import (
    NO_FAULTS,
    Faults,
    Simulation,
    SimulationFailedError,
    StuckError,
    search,
    searching,
    simulate,
)

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
    assert text.endswith(f"to run this again: search(..., seeds=[{failure.seed}])")
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


def test_a_method_of_a_class_of_tests_is_simulated_as_well() -> None:
    told: list[object] = []

    class TestThem:
        @simulate(seeds=1, faults=NO_FAULTS)
        async def test_it(self, sim: Simulation, fixture: str) -> None:
            told.extend((self, type(sim), fixture))

    tests = TestThem()
    tests.test_it(fixture="given")
    assert told == [tests, Simulation, "given"]
    assert list(inspect.signature(tests.test_it).parameters) == ["fixture"]


def test_only_async_functions_of_a_simulation_are_simulated() -> None:
    async def nothing() -> None: ...

    with pytest.raises(TypeError, match="takes an async function, not <function"):
        simulate()(lambda sim: None)  # type: ignore[arg-type, return-value]
    with pytest.raises(TypeError, match=r"nothing .* has no parameter for it"):
        simulate()(nothing)
    with pytest.raises(TypeError, match=r"@simulate\(\) or @simulate\(seeds=1000\)"):
        simulate(elect)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least 1, not 0"):
        simulate(seeds=0)


def test_of_many_faults_those_are_left_that_none_can_be_spared_of() -> None:
    def struck(sim: Simulation) -> set[str]:
        return {name.partition("#")[0] for name, _ in sim.faults_struck}

    async def read(sim: Simulation) -> None:
        async with AsyncClient(sim.hosts, 10.0) as zk:
            for _ in range(20):
                await zk.exists("/")

    async def main(sim: Simulation) -> None:
        for number in range(16):
            sim.start(f"p{number}", lambda: read(sim), may_raise=Exception)
        for program in sim.programs:
            await program.ended.wait()
        assert not {"p3", "p5", "p9", "p12"} <= struck(sim)

    with pytest.raises(SimulationFailedError) as caught:
        search(main, range(50), faults=Faults(rate=0.1, kinds=("cut",), troubles=0))
    failure = caught.value
    assert failure.found_with is not None and failure.found_with > 15
    assert sorted(name.partition("#")[0] for name, _ in failure.faults) == ["p12", "p3", "p5", "p9"]
    assert failure.fewest and failure.repeated


def test_a_failure_of_long_runs_is_made_smaller_in_so_many_steps_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searching, "_MOST_STEPS", 3000)
    runs: list[int] = []

    async def read(sim: Simulation) -> None:
        async with AsyncClient(sim.hosts, 10.0) as zk:
            for _ in range(50):
                await zk.exists("/")

    async def main(sim: Simulation) -> None:
        runs.append(sim.seed)
        await sim.start("p", lambda: read(sim), may_raise=Exception).ended.wait()
        for _ in range(500):
            await asyncio.sleep(0.05)
        assert len(sim.faults_struck) < 3

    with pytest.raises(SimulationFailedError, match="enough for this, and fewer may be") as caught:
        search(main, range(20), faults=Faults(rate=0.5, limit=8, kinds=("cut",), troubles=0))
    assert not caught.value.fewest
    assert 3 <= runs.count(caught.value.seed) <= 6


def test_what_does_not_fail_again_is_said_to_be_decided_by_something_else() -> None:
    runs: list[int] = []

    async def main(sim: Simulation) -> None:
        runs.append(sim.seed)
        assert len(runs) != 3

    with pytest.raises(SimulationFailedError, match="run again, it did not fail like that: something in it") as caught:
        search(main, range(5), faults=NO_FAULTS)
    assert caught.value.seed == 2 and not caught.value.repeated


FAILING = """
from zk_testing.sim import NO_FAULTS, simulate
import pytest

class TestThem:
    @pytest.mark.parametrize("wrong", [4, "four {4}"])
    @simulate(seeds=10, faults=NO_FAULTS)
    async def test_it(self, sim, wrong):
        assert sim.seed < 4, "too many"
"""


def test_what_pytest_shows_is_the_users_code_the_report_and_a_command_that_repeats_it(tmp_path: Path) -> None:
    def report(*arguments: str) -> tuple[str, list[str]]:
        run = run_pytest(tmp_path, FAILING, "-rN", *arguments)  # whose last lines are others under CI=true
        assert run.returncode == 1
        return re.sub(r"\d+\.\d+s|at 0x\w+", "", run.stdout), re.findall("to run this again: (.*)", run.stdout)

    text, commands = report()
    assert text.count("seed 4: AssertionError: too many") == 2
    assert "During handling" not in text and "searching.py" not in text and "world.py" not in text
    assert commands == [
        "pytest 'test_it.py::TestThem::test_it[4]' --zk-seed 4",
        "pytest 'test_it.py::TestThem::test_it[four {4}]' --zk-seed 4",
    ]
    assert report("--zk-seed=4") == (text, commands), "to the byte"


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
