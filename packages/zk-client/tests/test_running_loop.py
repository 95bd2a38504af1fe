"""A blocking client inside a running asyncio loop: refused before anything is sent, and harmless everywhere else."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from zk_client import Client, ConfigurationError, SessionState
from zk_testing import EmbeddedServer


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedServer]:
    with EmbeddedServer() as server:
        yield server


@pytest.fixture
def zk(server: EmbeddedServer) -> Iterator[Client]:
    with Client(server.hosts) as zk:
        yield zk


async def inside(function: Callable[[], object]) -> object:
    return function()


BLOCKING: dict[str, Callable[[Client], Any]] = {
    "an operation": lambda zk: zk.exists("/"),
    "an operation in steps": lambda zk: zk.ensure_path("/a/b"),
    "an operation with a bound": lambda zk: zk.handler.call(zk.operations.get("/"), 5.0),
    "wait_connected": lambda zk: zk.wait_connected(),
    "a four-letter word": lambda zk: zk.command("ruok"),
    "a watcher": lambda zk: zk.watcher().wait(),
    "a transaction": lambda zk: zk.transaction().create("/t").commit(),
}


@pytest.mark.parametrize("what", BLOCKING)
def test_what_blocks_is_refused_inside_a_loop_before_it_is_sent(server: EmbeddedServer, zk: Client, what: str) -> None:
    before = server.call(lambda core: core.received)
    with pytest.raises(ConfigurationError, match=r"running asyncio loop.*AsyncClient"):
        asyncio.run(inside(lambda: BLOCKING[what](zk)))
    assert server.call(lambda core: core.received) == before
    assert zk.exists("/") is not None


def test_a_start_inside_a_loop_begins_nothing(server: EmbeddedServer) -> None:
    zk = Client(server.hosts)
    with pytest.raises(ConfigurationError, match="running asyncio loop"):
        asyncio.run(inside(zk.start))
    assert zk.state is SessionState.CLOSED


def test_what_does_not_block_may_be_used_inside_a_loop(zk: Client) -> None:
    call = asyncio.run(inside(lambda: zk.exists_async("/")))
    assert call.result() is not None  # type: ignore[attr-defined]


def test_a_thread_beside_the_loop_may_block(zk: Client) -> None:
    async def body() -> None:
        assert await asyncio.to_thread(zk.exists, "/") is not None

    asyncio.run(body())


def test_stop_returns_inside_a_loop_too_because_it_must_be_possible_anywhere(server: EmbeddedServer) -> None:
    zk = Client(server.hosts)
    zk.start()
    asyncio.run(inside(zk.stop))
    assert zk.state is SessionState.CLOSED


def test_asyncio_is_not_imported_to_look_for_a_loop(server: EmbeddedServer) -> None:
    program = (
        "import sys; from zk_client import Client\n"
        f"with Client({server.hosts!r}) as zk: assert zk.exists('/')\n"
        "assert 'asyncio' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
