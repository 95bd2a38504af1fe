"""What a simulated world promises: it is decided by its seed, and time is virtual."""

from __future__ import annotations

import asyncio
import os
import random
import secrets
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest

from zk_client import AsyncClient
from zk_testing.sim import Simulation

PROGRAM = Path(__file__).with_name("sim_program.py")


def test_time_passes_only_when_everybody_waits() -> None:
    async def main(sim: Simulation) -> float:
        await asyncio.sleep(86_400)
        return sim.now()

    begun = time.perf_counter()
    assert Simulation(1, time_limit=1e6).run(main) >= 86_400
    assert time.perf_counter() - begun < 30


def test_clocks_and_randomness_are_the_seeds_and_ours_again_afterwards() -> None:
    async def main(sim: Simulation) -> tuple[object, ...]:
        await asyncio.sleep(1)
        drawn = random.random(), os.urandom(8), uuid.uuid4(), secrets.token_hex(4), random.SystemRandom().random()
        return time.monotonic(), time.perf_counter(), time.time(), *drawn

    before = random.getstate()
    told = Simulation(5).run(main)
    assert told == Simulation(5).run(main) != Simulation(6).run(main)
    assert told[0] == told[1] == pytest.approx(1.0, abs=0.1)
    assert random.getstate() == before
    assert abs(time.time() - 1_700_000_000) > 10_000


def test_what_asyncio_keeps_in_sets_comes_in_the_same_order_in_every_run() -> None:
    async def main(sim: Simulation) -> list[object]:
        begun: list[object] = []

        async def work(number: int) -> int:
            begun.append(number)
            await asyncio.sleep(sim.random())
            return number

        ended = [await each for each in asyncio.as_completed([work(number) for number in range(8)], timeout=9)]
        futures = [asyncio.get_running_loop().create_future() for _ in range(8)]
        for number, future in enumerate(futures):
            future.set_result(number)
        done, _ = await asyncio.wait(futures)
        assert begun == list(range(8))
        return [*ended, *(future.result() for future in done)]

    crowd: list[object] = []
    first = Simulation(1).run(main)
    for _ in range(5):
        crowd.extend(object() for _ in range(37))  # so that the next run has other addresses
        assert Simulation(1).run(main) == first


def test_a_sleep_that_would_halt_everybody_is_refused() -> None:
    async def main(sim: Simulation) -> None:
        halt = time.sleep
        halt(0)
        with pytest.raises(RuntimeError, match=r"which time.sleep would halt: await asyncio.sleep"):
            halt(3600)

    Simulation(1).run(main)


def test_each_process_has_a_wall_clock_of_its_own() -> None:
    async def tell() -> float:
        return time.time()

    async def main(sim: Simulation) -> float:
        right, wrong = sim.process("right"), sim.process("wrong")
        wrong.clock_offset = -3600.0
        return await right.spawn(tell(), "right") - await wrong.spawn(tell(), "wrong")

    assert Simulation(1).run(main) == 3600.0


def test_a_client_works_as_it_is_on_one_server_and_on_an_ensemble() -> None:
    async def main(sim: Simulation) -> bytes:
        async with AsyncClient(sim.hosts, 10.0) as zk:
            await zk.create("/a", b"1")
            watch = zk.watch("/a")
            async with watch:
                await zk.set("/a", b"2")
                async for event in watch:
                    assert event.path == "/a"
                    break
            data, _ = await zk.get("/a")
            return data or b""

    assert Simulation(1).run(main) == b"2"
    assert Simulation(1, servers=3).run(main) == b"2"


def test_each_line_of_a_timeline_says_when_and_who() -> None:
    async def main(sim: Simulation) -> None:
        sim.note("me", "one\ntwo")

    simulation = Simulation(1, recording=True)
    simulation.run(main)
    lines = [line.split() for line in str(simulation.timeline).splitlines()]
    assert [line for line in lines if "me" in line] == [["0.000000", "me", "one"], ["0.000000", "me", "two"]]


def test_two_runs_of_a_seed_are_equal_and_of_others_are_not() -> None:
    prints = [_run_program(seed) for seed in (1, 1, 2, 3)]
    assert prints[0] == prints[1] and len(set(prints)) == 3


def _run_program(seed: int, python: str = sys.executable, hash_seed: str = "0") -> str:
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    done = subprocess.run(
        [python, str(PROGRAM), str(seed)], env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_run_does_not_depend_on_the_order_of_hashes() -> None:
    assert _run_program(4, hash_seed="1") == _run_program(4, hash_seed="2")


def test_a_recorded_run_is_the_same_run() -> None:
    from sim_program import play

    plain = play(7)
    recorded = play(7, recording=True)
    assert plain.fingerprint() == recorded.fingerprint()
    assert "create" in str(recorded.timeline) and str(plain.timeline) == ""
