"""What ends a simulated run with a failure, and what does not."""

from __future__ import annotations

import asyncio
import gc
import unittest

import pytest

from zk_client import AsyncClient, NoNodeError
from zk_testing.sim import Simulation, SimulationFailedError, StuckError


def test_what_waits_for_ever_is_an_error_that_says_where() -> None:
    async def forget() -> None:
        await asyncio.Event().wait()

    async def main(sim: Simulation) -> None:
        sim.start("forgetful", forget)

    with pytest.raises(StuckError, match=r"forgetful in .*forget \(test_sim_failures.py:\d+\), at Event.wait"):
        Simulation(1).run(main)

    async def forgetful_main(sim: Simulation) -> None:
        await forget()

    with pytest.raises(StuckError, match=r"main in .*forgetful_main \(test_sim_failures.py:\d+\), at Event.wait"):
        Simulation(1).run(forgetful_main)


def test_what_takes_too_much_virtual_time_is_an_error() -> None:
    async def main(sim: Simulation) -> None:
        for _ in range(10_000):
            await asyncio.sleep(1)

    with pytest.raises(StuckError, match="still waiting when time ran out"):
        Simulation(1, time_limit=100).run(main)


def test_what_runs_without_a_pause_is_an_error() -> None:
    async def main(sim: Simulation) -> None:
        for _ in range(1_000_000):
            await asyncio.sleep(0)

    with pytest.raises(StuckError, match="busy for ever, and no time passes"):
        Simulation(1).run(main)


def test_an_exception_of_main_a_program_a_callback_or_a_check_fails_the_run() -> None:
    async def broken() -> None:
        raise KeyError("a bug")

    async def in_main(sim: Simulation) -> None:
        await broken()

    async def in_a_program(sim: Simulation) -> None:
        sim.start("program", broken)

    async def in_a_callback(sim: Simulation) -> None:
        asyncio.get_running_loop().call_soon(lambda: {}["a bug"])
        await asyncio.sleep(1)

    async def in_a_check(sim: Simulation) -> None:
        sim.always(lambda: {}["a bug"])
        await asyncio.sleep(1)

    for main in (in_main, in_a_program, in_a_callback, in_a_check):
        with pytest.raises(SimulationFailedError, match=r"KeyError.*a bug") as caught:
            Simulation(1).run(main)
        assert isinstance(caught.value.__cause__, KeyError)


def test_what_is_no_exception_of_asyncio_fails_the_run_too() -> None:
    async def pytest_fails(sim: Simulation) -> None:
        with pytest.raises(KeyError):
            pass

    async def a_check_fails(sim: Simulation) -> None:
        sim.always(lambda: pytest.fail("a bug"))
        await asyncio.sleep(1)

    async def cancelled(sim: Simulation) -> None:
        task = asyncio.get_running_loop().create_task(asyncio.sleep(1))
        task.cancel()
        await task

    async def a_program_exits(sim: Simulation) -> None:
        async def exit_at_once() -> None:
            raise SystemExit(3)

        sim.start("program", exit_at_once)

    for main in (pytest_fails, a_check_fails, cancelled, a_program_exits):
        with pytest.raises(SimulationFailedError) as caught:
            Simulation(1).run(main)
        assert caught.value.seed == 1 and not isinstance(caught.value.__cause__, Exception)


@pytest.mark.parametrize("skipped", [pytest.skip.Exception, unittest.SkipTest])
def test_a_test_may_be_skipped_from_inside(skipped: type[BaseException]) -> None:
    async def main(sim: Simulation) -> None:
        raise skipped("nothing to do here")

    with pytest.raises(skipped):
        Simulation(1).run(main)


@pytest.mark.parametrize("kept", [True, False])
def test_what_a_task_raised_that_nobody_waited_for_fails_the_run(kept: bool) -> None:
    tasks: list[asyncio.Task[None]] = []

    async def broken() -> None:
        await asyncio.sleep(1)
        raise KeyError("a bug")

    async def program() -> None:
        task = asyncio.get_running_loop().create_task(broken())
        if kept:
            tasks.append(task)
        del task
        await asyncio.sleep(2)

    async def in_a_program(sim: Simulation) -> None:
        sim.start("program", program)

    async def in_main(sim: Simulation) -> None:
        await program()

    async def in_a_process_by_hand(sim: Simulation) -> None:
        await sim.process("by hand").spawn(program(), "it")

    async def while_others_wait(sim: Simulation) -> None:
        sim.start("program", program)
        await asyncio.Event().wait()

    for main, owner in (
        (in_a_program, "program"),
        (in_main, "main"),
        (in_a_process_by_hand, "by hand"),
        (while_others_wait, "program"),
    ):
        with pytest.raises(
            SimulationFailedError, match=f"{owner} did not wait for a task that raised KeyError: 'a bug'"
        ):
            Simulation(1).run(main)

    async def allowed(sim: Simulation) -> None:
        sim.start("program", program, may_raise=KeyError)

    Simulation(1).run(allowed)


def test_no_garbage_is_collected_in_a_run_which_would_speak_at_no_moment() -> None:
    async def main(sim: Simulation) -> bool:
        return gc.isenabled()

    assert gc.isenabled()
    assert not Simulation(1).run(main)
    assert gc.isenabled()


def test_a_program_may_end_with_what_was_allowed() -> None:
    async def refused(hosts: str) -> None:
        async with AsyncClient(hosts, 10.0) as zk:
            await zk.get("/missing")

    async def main(sim: Simulation) -> None:
        sim.start("program", lambda: refused(sim.hosts), may_raise=NoNodeError)

    Simulation(1).run(main)
    with pytest.raises(SimulationFailedError, match="NoNodeError"):
        Simulation(1).run(lambda sim: _start(sim, refused))


async def _start(sim: Simulation, refused: object) -> None:
    sim.start("program", lambda: refused(sim.hosts))  # type: ignore[operator]


def test_two_programs_of_one_name_are_refused() -> None:
    async def main(sim: Simulation) -> None:
        sim.start("twin", asyncio.Event().wait)
        sim.start("twin", asyncio.Event().wait)

    with pytest.raises(SimulationFailedError, match=r"ValueError: each program has a name of its own.*'twin'"):
        Simulation(1).run(main)
