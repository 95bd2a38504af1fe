"""The scheduler of the simulation: the seed decides everything, and time is virtual."""

from __future__ import annotations

import gc

import pytest
from sim_stage import Client, Port, make

from zk_testing.sim import Simulation, SimulationFailedError, StuckError, TaskCancelled
from zk_testing.simclient import Faults
from zk_wire import (
    ZooKeeperError,
)


def test_time_is_virtual_and_passes_only_where_somebody_waits() -> None:
    simulation = Simulation(0)
    woken: list[float] = []

    async def sleeper(seconds: float) -> None:
        await simulation.sleep(seconds)
        woken.append(simulation.now())

    for seconds in (3000.0, 1.5, 20.0):
        simulation.spawn(sleeper(seconds), "sleeper")
    simulation.run()
    assert woken == [1.5, 20.0, 3000.0]


def test_the_seed_decides_the_order_among_equals() -> None:
    def order(seed: int) -> tuple[int, ...]:
        simulation = Simulation(seed)
        seen: list[int] = []

        async def body(number: int) -> None:
            await simulation.pause()
            seen.append(number)

        for number in range(4):
            simulation.spawn(body(number), f"body {number}")
        simulation.run()
        return tuple(seen)

    assert len({order(seed) for seed in range(200)}) == 24
    assert order(3) == order(3)


def test_whoever_waits_for_ever_is_named_with_the_seed_and_the_timeline() -> None:
    simulation = Simulation(42)

    async def body() -> None:
        simulation.note("me", "waits for what never comes")
        await simulation.event().wait()

    simulation.spawn(body(), "the waiter")
    with pytest.raises(StuckError, match=r"seed 42: the waiter \(for an event\) waiting for ever") as caught:
        simulation.run()
    assert caught.value.seed == 42
    assert "waits for what never comes" in str(caught.value)


def test_whoever_polls_for_ever_is_found_when_virtual_time_runs_out() -> None:
    simulation = Simulation(0, time_limit=100.0)

    async def body() -> None:
        while True:
            await simulation.sleep(1)

    simulation.spawn(body(), "poller")
    with pytest.raises(StuckError, match=r"poller .* still waiting when time ran out"):
        simulation.run()


def test_whoever_is_busy_for_ever_is_found_though_no_time_passes() -> None:
    simulation = Simulation(0)

    async def body() -> None:
        while True:
            await simulation.pause()

    simulation.spawn(body(), "spinner")
    with pytest.raises(StuckError, match=r"spinner .* busy for ever"):
        simulation.run()


def test_a_task_that_raises_fails_the_run_with_its_error_as_the_cause() -> None:
    simulation = Simulation(0)

    async def body() -> None:
        raise KeyError("mine")

    simulation.spawn(body(), "culprit")
    with pytest.raises(SimulationFailedError, match="task 'culprit' raised KeyError") as caught:
        simulation.run()
    assert isinstance(caught.value.__cause__, KeyError)


def test_a_check_that_fails_ends_the_run_at_that_step() -> None:
    simulation = Simulation(0)
    reached: list[float] = []

    async def body() -> None:
        for _ in range(10):
            await simulation.sleep(1)
            reached.append(simulation.now())

    def check() -> None:
        assert simulation.now() < 3

    simulation.always(check)
    simulation.spawn(body(), "body")
    with pytest.raises(SimulationFailedError, match="AssertionError"):
        simulation.run()
    assert reached == [1.0, 2.0]


def test_an_await_of_another_world_is_named() -> None:
    simulation = Simulation(0)

    class Foreign:
        def __await__(self):  # type: ignore[no-untyped-def]
            yield "foreign"

    async def body() -> None:
        await Foreign()

    simulation.spawn(body(), "stranger")
    with pytest.raises(
        SimulationFailedError, match="task 'stranger' awaited 'foreign', which is not of this simulation"
    ):
        simulation.run()


def test_join_gives_the_result_or_the_error_or_a_timeout() -> None:
    simulation = Simulation(0)

    async def value() -> int:
        await simulation.sleep(1)
        return 7

    async def error() -> int:
        await simulation.sleep(1)
        raise KeyError("mine")

    async def body() -> None:
        task = simulation.spawn(value(), "value")
        with pytest.raises(TimeoutError, match=r"task 'value' still runs after 0\.5 s"):
            await task.join(0.5)
        assert not task.done
        assert await task.join() == 7
        assert task.done
        with pytest.raises(KeyError):
            await simulation.spawn(error(), "error").join()

    simulation.spawn(body(), "body")
    simulation.run()


def test_each_cancel_raises_once_at_an_await() -> None:
    simulation = Simulation(0)
    raised: list[str] = []

    async def victim() -> None:
        try:
            await simulation.event().wait()
        except TaskCancelled:
            raised.append("first")
            try:
                await simulation.sleep(5)
            except TaskCancelled:
                raised.append("second")
            raise

    async def body() -> None:
        task = simulation.spawn(victim(), "victim")
        await simulation.sleep(1)
        task.cancel()
        await simulation.sleep(1)
        task.cancel()
        with pytest.raises(TaskCancelled):
            await task.join()
        task.cancel()

    simulation.spawn(body(), "body")
    simulation.run()
    assert raised == ["first", "second"]


def test_an_event_wakes_everybody_and_times_out() -> None:
    simulation = Simulation(0)
    event = simulation.event()
    results: list[bool] = []

    async def wait(timeout: float | None) -> None:
        results.append(await event.wait(timeout))

    async def body() -> None:
        await simulation.sleep(2)
        event.set()
        assert event.is_set()
        event.clear()
        assert await event.wait(1.0) is False

    for timeout in (1.0, None, 5.0):
        simulation.spawn(wait(timeout), "waiter")
    simulation.spawn(body(), "setter")
    simulation.run()
    assert results == [False, True, True]


def test_nothing_is_reported_by_the_collector_after_a_failed_run(recwarn: pytest.WarningsRecorder) -> None:
    simulation, _, (client,) = make()

    async def cleaning(port: Port) -> None:
        try:
            await port.event().wait()
        finally:
            port.background_delete("/a", "x", port.session_id or 0)
            await port.sleep(1)
            await port.shielded(port.sleep(1))

    simulation.spawn(cleaning(client.port), "cleaner")
    with pytest.raises(StuckError):
        simulation.run()
    del simulation, client
    gc.collect()
    assert [str(warning.message) for warning in recwarn] == []


def test_the_same_seed_gives_the_same_run_on_every_python() -> None:
    """The numbers were taken from CPython 3.11, 3.12 and 3.13, which agreed."""

    def fingerprint(seed: int) -> tuple[int, int]:
        simulation, _, clients = make(seed, 3, Faults(rate=0.1, limit=5))

        async def body(client: Client) -> None:
            port = client.port
            for _ in range(5):
                try:
                    path = await port.create(
                        f"/a/{port.guid()}-", ephemeral=True, sequence=True, makepath=True, unique=True
                    )
                    await port.get_children("/a")
                    await port.delete(path)
                except ZooKeeperError:
                    await port.sleep(1)

        for client in clients:
            simulation.spawn(body(client), client.name, home=client)
        simulation.run()
        return simulation.fingerprint()

    assert [fingerprint(seed) for seed in range(3)] == [
        (137, 3840119261),
        (148, 1610293944),
        (148, 1475935428),
    ]
