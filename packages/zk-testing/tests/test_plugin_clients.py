"""The fixtures that hand out clients."""

from __future__ import annotations

import asyncio
from pathlib import Path

from pytest_runs import run_pytest

from zk_client import AsyncClient, Client
from zk_testing import EmbeddedServer
from zk_testing._clients import ClientMaker
from zk_testing.faults import FaultProxy
from zk_testing.rawclient import RawClient
from zk_wire import ExistsRequest


def test_the_client_is_started_below_the_chroot(zk_client: Client, zk_embedded: EmbeddedServer, zk_chroot: str) -> None:
    zk_client.create("/here", b"")
    with RawClient(zk_embedded.address) as raw:
        raw.request(ExistsRequest(f"{zk_chroot}/here", False))
    assert zk_client.chroot == zk_chroot


def test_clients_are_stopped_and_their_nodes_gone_after_the_test(tmp_path: Path) -> None:
    tests = """
import threading
seen = []
def test_first(zk_client, zk_make_client, zk_faults, zk_chroot):
    for zk in (zk_client, zk_make_client(timeout=5.0), zk_make_client(zk_faults)):
        zk.create("/n-", ephemeral=True, sequence=True)
        seen.append(zk)
    zk_faults.refuse()
    zk_faults.cut()
def test_second(zk_client, zk_chroot):
    assert len(seen) == 3
    assert [str(zk.state) for zk in seen] == ["closed"] * 3
    assert zk_client.get_children("/") == []
"""
    run = run_pytest(tmp_path, tests)
    assert "2 passed" in run.stdout, run.stdout


def test_made_clients_go_where_they_are_told(
    zk_make_client: ClientMaker, zk_faults: FaultProxy, zk_embedded: EmbeddedServer, zk_chroot: str
) -> None:
    through = zk_make_client(zk_faults)
    assert through.chroot == zk_chroot and through.server_address == ("127.0.0.1", zk_faults.port)
    elsewhere = zk_make_client(zk_embedded.hosts, 3.0, start=False, read_only=True)
    assert elsewhere.chroot == "" and not elsewhere.connected


WITHOUT = """
import sys
sys.modules["zk_client"] = None  # as if it were not installed
"""


def test_without_zk_client_the_error_says_what_to_install(tmp_path: Path) -> None:
    run = run_pytest(tmp_path, WITHOUT + "def test_it(zk_client): pass\ndef test_chroot(zk_chroot): pass")
    assert "1 passed, 1 error" in run.stdout, run.stdout
    assert "needs the package zk-client, which is not installed: pip install zk-client" in run.stdout


WITHOUT_ASYNC = """
import zk_client
from zk_client import *  # everything else is there
class Without:
    def __getattr__(self, name):
        if name == "AsyncClient": raise AttributeError(name)
        return getattr(zk_client, name)
import sys
sys.modules["zk_client"] = Without()
"""


def test_without_an_asyncio_client_the_error_says_what_is_missing(tmp_path: Path) -> None:
    run = run_pytest(tmp_path, WITHOUT_ASYNC + "def test_it(zk_async_client): pass")
    assert "1 error" in run.stdout, run.stdout
    assert "needs zk_client.AsyncClient, which zk-client 0" in run.stdout


def test_an_asyncio_client_is_started_by_the_test_below_the_chroot(
    zk_async_client: AsyncClient, zk_client: Client
) -> None:
    async def main() -> None:
        async with zk_async_client as zk:
            await zk.create("/from-a-loop", b"data")

    asyncio.run(main())
    assert zk_client.get("/from-a-loop")[0] == b"data"


def test_an_asyncio_client_that_was_not_stopped_is_a_leak(tmp_path: Path) -> None:
    tests = """
import asyncio
def test_it(zk_async_client):
    async def main():
        await zk_async_client.start()
        await zk_async_client.create("/held", ephemeral=True)
    asyncio.run(main())
"""
    run = run_pytest(tmp_path, tests)
    assert "1 passed, 1 error" in run.stdout, run.stdout
    assert "the test left behind:" in run.stdout and "which owns an ephemeral node /test-" in run.stdout, run.stdout
