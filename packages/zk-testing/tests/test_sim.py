"""What a simulated world promises: it is decided by its seed, time is virtual, and what fails is told to people."""

from __future__ import annotations

import asyncio
import gc
import os
import random
import re
import secrets
import subprocess
import sys
import time
import unittest
import uuid
import warnings
from pathlib import Path

import pytest

from zk_client import AsyncClient, ConnectionLostError, NoNodeError, Outcome, SessionState, ZooKeeperError
from zk_testing.embedded import EnsembleSettings, Settings
from zk_testing.sim import FAULTS, NO_FAULTS, Faults, Simulation, SimulationFailedError, StuckError

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


def test_what_waits_for_ever_is_an_error_that_says_where() -> None:
    async def forget() -> None:
        await asyncio.Event().wait()

    async def main(sim: Simulation) -> None:
        sim.start("forgetful", forget)

    with pytest.raises(StuckError, match=r"forgetful in .*forget \(test_sim.py:\d+\), at Event.wait"):
        Simulation(1).run(main)

    async def forgetful_main(sim: Simulation) -> None:
        await forget()

    with pytest.raises(StuckError, match=r"main in .*forgetful_main \(test_sim.py:\d+\), at Event.wait"):
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


def test_each_line_of_a_timeline_says_when_and_who() -> None:
    async def main(sim: Simulation) -> None:
        sim.note("me", "one\ntwo")

    simulation = Simulation(1, recording=True)
    simulation.run(main)
    lines = [line.split() for line in str(simulation.timeline).splitlines()]
    assert [line for line in lines if "me" in line] == [["0.000000", "me", "one"], ["0.000000", "me", "two"]]


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


def test_a_frozen_process_does_nothing_and_loses_nothing() -> None:
    ticks: list[float] = []

    async def tick(sim: Simulation) -> None:
        async with AsyncClient(sim.hosts, 10.0) as zk:
            for _ in range(40):
                await asyncio.sleep(0.1)
                await zk.exists("/")
                ticks.append(sim.now())

    async def main(sim: Simulation) -> None:
        program = sim.start("ticking", lambda: tick(sim))
        await asyncio.sleep(1)
        frozen_at = sim.now()
        program.freeze(3.0)
        await asyncio.sleep(2.9)
        assert not [when for when in ticks if when > frozen_at]
        await program.ended.wait()

    Simulation(1).run(main)
    assert len(ticks) == 40


def test_a_frozen_process_whose_session_ends_is_told_when_it_runs_again() -> None:
    states: list[SessionState] = []

    async def live(sim: Simulation) -> None:
        async with AsyncClient(sim.hosts, 4.0) as zk:
            expired = asyncio.Event()
            zk.add_listener(lambda state: (states.append(state), expired.set() if state is SessionState.EXPIRED else 0))
            await expired.wait()

    async def main(sim: Simulation) -> None:
        program = sim.start("frozen", lambda: live(sim))
        await asyncio.sleep(1)
        program.freeze(30.0)
        await asyncio.sleep(20)
        assert sim.sessions() == [] and states == []

    Simulation(1).run(main)
    assert SessionState.EXPIRED in states


def test_a_crashed_process_ends_without_a_word_and_begins_again() -> None:
    lives: list[float] = []
    ended: list[str] = []

    async def live(sim: Simulation) -> None:
        lives.append(sim.now())
        async with AsyncClient(sim.hosts, 4.0) as zk:
            try:
                await zk.create("/mine", ephemeral=True)
                await asyncio.sleep(20)
            finally:
                ended.append("cleaned up")

    async def main(sim: Simulation) -> list[str]:
        program = sim.start("crashing", lambda: live(sim))
        await asyncio.sleep(1)
        assert sim.stranger.exists("/mine") is not None
        program.crash(restart_after=10.0)
        await asyncio.sleep(1)
        assert ended == [] and sim.stranger.exists("/mine") is not None
        await asyncio.sleep(6)
        assert sim.stranger.exists("/mine") is None
        await program.ended.wait()
        return list(ended)  # of the second life alone: the first one's end is the end of the run

    assert Simulation(1).run(main) == ["cleaned up"]
    assert len(lives) == 2


def test_a_process_that_crashes_while_it_is_down_begins_again_once() -> None:
    lives: list[float] = []

    async def live(sim: Simulation) -> None:
        lives.append(sim.now())
        await asyncio.sleep(20)

    async def main(sim: Simulation) -> None:
        program = sim.start("crashing", lambda: live(sim))
        await asyncio.sleep(1)
        program.crash(restart_after=10.0)
        await asyncio.sleep(1)
        program.crash(restart_after=3.0)

    Simulation(1).run(main)
    assert lives == [0.0, 5.0]


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


@pytest.mark.parametrize("kind", ["lose request", "lose reply", "cut", "hang", "freeze"])
def test_each_kind_of_fault_at_a_message_does_what_it_says(kind: str) -> None:
    """What the client hears, and what the server did: `kind` strikes the first message after the connect request."""
    told: list[Outcome] = []

    async def live(sim: Simulation) -> None:
        async with AsyncClient(sim.hosts, 10.0) as zk:
            sim.calm = False
            try:
                await zk.create("/n-4f1c5a7e", unique=True)
                told.append(Outcome.APPLIED)
            except ZooKeeperError as error:
                told.append(error.outcome)
            sim.calm = True
            applied = sim.stranger.exists("/n-4f1c5a7e") is not None
            assert told[-1] is Outcome.UNKNOWN or applied == (told[-1] is Outcome.APPLIED)

    async def main(sim: Simulation) -> None:
        sim.calm = True
        sim.start("client", lambda: live(sim))

    for seed in range(12):
        simulation = Simulation(seed, faults=Faults(1.0, 1, (kind,), 0))
        simulation.run(main)
        assert [text.split(",")[0] for _, text in simulation.faults_struck] == [kind]
    # The client finds out what became of the write, unless its session ends first.
    assert (Outcome.APPLIED if kind in ("lose reply", "cut", "freeze") else Outcome.NOT_APPLIED) in told


def test_troubles_of_the_world_happen_and_are_survived() -> None:
    seen: set[str] = set()

    async def live(sim: Simulation) -> None:
        async with AsyncClient(sim.hosts, 10.0) as zk:
            for _ in range(10):
                try:
                    await zk.create("/n/e-", sequence=True, ephemeral=True, makepath=True)
                except ZooKeeperError as error:
                    sim.note("live", f"{error!r}")
                await asyncio.sleep(1.0)

    async def main(sim: Simulation) -> None:
        for name in ("a", "b"):
            sim.start(name, lambda: live(sim), may_raise=(ZooKeeperError, OSError))

    for servers in (1, 3):
        for seed in range(40):
            simulation = Simulation(seed, servers=servers, faults=FAULTS._replace(rate=0.0, limit=0))
            simulation.run(main)
            seen.update(text for _, text in simulation.faults_struck)
    words = " ".join(seen)
    wanted = ("crashes", "wall clock", "is ended", "is stopped", "is elected", "is cut off", "applies", "stands still")
    for word in wanted:
        assert word in words, f"{word!r} was not met: {seen}"


def struck_by(kind: str, seed: int, servers: int) -> tuple[float, list[tuple[float, str, str]]]:
    """One trouble beside a client that asks every second: its length, and the timeline without messages."""

    async def live(sim: Simulation) -> None:
        async with AsyncClient(sim.hosts, 10.0) as zk:
            while sim.now() < 60.0:
                try:
                    await zk.exists("/")
                except ZooKeeperError as error:
                    sim.note("live", f"{error!r}")
                await asyncio.sleep(1.0)

    async def main(sim: Simulation) -> None:
        sim.start("client", lambda: live(sim), may_raise=(ZooKeeperError, OSError))

    simulation = Simulation(seed, servers=servers, faults=Faults(0.0, 0, (kind,), 1), recording=True)
    simulation.run(main)
    ((_, text),) = simulation.faults_struck
    length = re.search(r"([\d.]+) s$", text)
    lines = [
        (float(when), who, what)
        for line in str(simulation.timeline).splitlines()
        for when, who, what in [(line[2:14].strip() or "0", line[16:33].strip(), line[33:])]
        if ">" not in who and "lines before" not in line
    ]
    return float(length[1]) if length else 0.0, lines


@pytest.mark.parametrize(
    ("kind", "end"),
    [
        ("restart", "is started again"),
        ("pause", "goes on"),
        ("isolate", "reaches the others again"),
        ("lag", "does not lag any more"),
        ("elect", "leads"),
    ],
)
def test_a_timeline_says_when_a_trouble_of_a_server_is_over(kind: str, end: str) -> None:
    for seed in range(4):
        length, lines = struck_by(kind, seed, 3)
        (begun,) = [when for when, who, _ in lines if who == "faults"]
        ((over, who),) = [(when, who) for when, who, what in lines if what == end]
        assert re.fullmatch("zk[123]", who)
        assert over >= begun
        assert not length or over - begun == pytest.approx(length, abs=0.1)


def test_a_single_server_that_stands_still_keeps_its_connections_and_goes_on() -> None:
    short = 0
    for seed in range(20):
        length, lines = struck_by("pause", seed, 1)
        (begun,) = [when for when, who, _ in lines if who == "faults"]
        (over,) = [when for when, who, what in lines if (who, what) == ("zk", "goes on")]
        assert over - begun == pytest.approx(length, abs=0.001)
        connected = [when for when, _, what in lines if what == "connected"]
        if length < 5.0:  # less than the client bears
            assert len(connected) == 1
            short += begun > connected[0]
        elif length > 7.0 and begun > 1.0:
            assert len(connected) > 1
    assert short


@pytest.mark.parametrize(
    ("faults", "words"),
    [
        (Faults(kinds=("lose_reply",)), "lose request, lose reply, cut, .*lag, not .*lose_reply"),
        (Faults(kinds="cut"), "kinds is a tuple of"),  # type: ignore[arg-type]
        (Faults(kinds=("isolate", "lag")), "only happen to an ensemble"),
        (Faults(rate=8), "rate is a chance, from 0 to 1, not 8"),
        (Faults(rate=-0.1), "rate is a chance"),
        (Faults(limit=-1), "limit and troubles are at least 0"),
        (Faults(troubles=-1), "limit and troubles are at least 0"),
        (Faults(timeout=0.0), "timeout is more than 0"),
    ],
)
def test_faults_that_nobody_knows_or_that_cannot_happen_are_refused(faults: Faults, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Simulation(1, faults=faults)


def test_a_world_that_cannot_be_is_refused() -> None:
    Simulation(1, servers=3, faults=Faults(kinds=("isolate",)))
    Simulation(1, settings=EnsembleSettings(size=5))
    with pytest.raises(ValueError, match="servers is at least 1, not 0"):
        Simulation(1, servers=0)
    with pytest.raises(ValueError, match="servers=3, and settings for an ensemble of 5"):
        Simulation(1, servers=3, settings=EnsembleSettings(size=5))
    with pytest.raises(ValueError, match="time_limit is more than 0 seconds"):
        Simulation(1, time_limit=0)


def test_no_fault_strikes_where_none_is_asked_for() -> None:
    async def live(sim: Simulation) -> None:
        async with AsyncClient(sim.hosts, 10.0) as zk:
            for _ in range(100):
                await zk.exists("/")

    async def main(sim: Simulation) -> None:
        sim.start("client", lambda: live(sim))

    simulation = Simulation(1, faults=NO_FAULTS)
    simulation.run(main)
    assert simulation.faults_struck == []


def test_names_of_machines_are_resolved_and_unknown_ones_are_not() -> None:
    async def main(sim: Simulation) -> str:
        sim.network.hosts["zk.example"] = "127.0.0.1"
        async with AsyncClient("zk.example:2181", 10.0) as zk:
            await zk.exists("/")
        reader, writer = await asyncio.open_connection("zk.example", 2181)
        writer.write(b"ruok")
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        with pytest.raises(OSError, match="not known"):
            await asyncio.open_connection("nobody.example", 2181)
        return answer.decode()

    assert Simulation(1).run(main) == "imok"


def test_nobody_listens_where_nobody_listens() -> None:
    async def main(sim: Simulation) -> None:
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", 9)

    Simulation(1).run(main)


def test_a_thread_or_a_process_is_refused() -> None:
    async def main(sim: Simulation) -> None:
        with pytest.raises(RuntimeError, match="has one thread"):
            await asyncio.to_thread(print)

    Simulation(1).run(main)


def test_what_a_simulation_has_not_is_refused_by_name() -> None:
    async def main(sim: Simulation) -> None:
        loop = asyncio.get_running_loop()
        with pytest.raises(NotImplementedError, match="no processes of the system"):
            await asyncio.create_subprocess_exec("true")
        with pytest.raises(NotImplementedError, match="no signals"):
            loop.add_signal_handler(15, print)
        with pytest.raises(NotImplementedError, match="no descriptors"):
            loop.add_reader(0, print)
        with pytest.raises(NotImplementedError, match="no datagrams"):
            await loop.create_datagram_endpoint(asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0))
        with pytest.raises(NotImplementedError, match="no Unix sockets"):
            await asyncio.open_unix_connection("/nowhere")

    Simulation(1).run(main)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0"])
def test_a_program_listens_at_its_name_and_everywhere(host: str) -> None:
    async def main(sim: Simulation) -> None:
        server = await asyncio.start_server(lambda reader, writer: writer.close(), host, 7000)
        reader, writer = await asyncio.open_connection("localhost", 7000)
        assert await reader.read() == b""
        writer.close()
        server.close()

    Simulation(1).run(main)


def test_streams_that_a_run_leaves_open_complain_of_nothing_later() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async def main(sim: Simulation) -> None:
        await asyncio.start_server(talk, "127.0.0.1", 7000)
        _, writer = await asyncio.open_connection("127.0.0.1", 7000)
        writer.write(b"1")
        await asyncio.sleep(1)
        raise KeyError("a bug")

    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        with pytest.raises(SimulationFailedError):
            Simulation(1).run(main)
        gc.collect()
    assert [str(warning.message) for warning in told] == []


def test_asyncio_programs_may_serve_each_other() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write((await reader.readline()).upper())
        await writer.drain()
        writer.close()

    async def main(sim: Simulation) -> bytes:
        server = await asyncio.start_server(serve, "127.0.0.1", 7777)
        async with server:
            reader, writer = await asyncio.open_connection("127.0.0.1", 7777)
            writer.write(b"hello\n")
            answer = await reader.read()
            writer.close()
            return answer

    assert Simulation(1).run(main) == b"HELLO\n"


def test_the_stranger_reads_and_changes_the_tree_at_once() -> None:
    async def main(sim: Simulation) -> None:
        stranger = sim.stranger
        async with AsyncClient(sim.hosts, 10.0) as zk:
            stranger.ensure_path("/a/b")
            assert await zk.get_children("/a") == stranger.children("/a") == ["b"]
            stranger.set("/a/b", b"new")
            assert (await zk.get("/a/b"))[0] == stranger.get("/a/b")[0] == b"new"
            stranger.forge_counter("/a", 41)
            assert stranger.create("/a/n-", sequence=True) == "/a/n-0000000041"
            stranger.forge_version("/a/b", 7)
            assert stranger.exists("/a/b").version == 7  # type: ignore[union-attr]
            assert stranger.paths() == ["/a", "/a/b", "/a/n-0000000041"]
            assert stranger.intrude("/a/b") and not stranger.intrude("/a/b") and not stranger.intrude("/a")
            with pytest.raises(NoNodeError):
                stranger.get("/a/b")

    Simulation(1).run(main)
    Simulation(1, settings=Settings(version="3.6")).run(main)
    Simulation(1, settings=EnsembleSettings(size=3)).run(main)


def test_a_timeline_tells_what_the_stranger_does() -> None:
    async def main(sim: Simulation) -> None:
        sim.stranger.create("/a", b"1")
        sim.stranger.set("/a", b"2" * 101)
        sim.stranger.delete("/a")

    simulation = Simulation(1, recording=True)
    simulation.run(main)
    lines = [line.partition("stranger")[2].strip() for line in str(simulation.timeline).splitlines()]
    data = "2" * 100
    assert lines == ["create(path /a, data 1)", f"set_data(path /a, data {data})", "/a is deleted by a stranger"]


def test_a_cut_connection_is_lost_to_both_and_a_block_keeps_it_so() -> None:
    async def main(sim: Simulation) -> None:
        process = sim.process("client")
        zk = process.context.run(AsyncClient, sim.hosts, 10.0, when_disconnected="fail")
        await process.spawn(zk.start(), "start")
        sim.network.block(process, None, 4.0)
        for connection in sim.network.connections_of(process):
            connection.cut()
        await asyncio.sleep(0.1)
        assert zk.state is SessionState.SUSPENDED
        with pytest.raises(ConnectionLostError):
            await process.spawn(zk.get("/"), "get")
        await asyncio.sleep(3.5)
        assert zk.state is SessionState.SUSPENDED
        await asyncio.sleep(5.0)
        assert zk.state is SessionState.CONNECTED
        await process.spawn(zk.stop(), "stop")

    Simulation(1).run(main)
