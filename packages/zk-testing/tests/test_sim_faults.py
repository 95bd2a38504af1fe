"""What goes wrong in a simulation: each kind does what it says, and nothing else does."""

from __future__ import annotations

import asyncio
import re

import pytest

from zk_client import AsyncClient, Outcome, ZooKeeperError
from zk_testing.embedded import EnsembleSettings
from zk_testing.sim import FAULTS, NO_FAULTS, Faults, Simulation


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
