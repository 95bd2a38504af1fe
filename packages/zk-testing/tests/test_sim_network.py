"""The simulated network, and the stranger who needs none."""

from __future__ import annotations

import asyncio
import gc
import warnings

import pytest

from zk_client import AsyncClient, ConnectionLostError, NoNodeError, SessionState
from zk_testing.embedded import EnsembleSettings, Settings
from zk_testing.sim import Simulation, SimulationFailedError


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
