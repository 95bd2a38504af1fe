"""How an asyncio client tells its users: in order, in the loop, one failing callback harming no other."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from loops import loop_kind, run, until

from zk_client import AsyncClient
from zk_testing import EmbeddedServer, Settings

pytestmark = pytest.mark.usefixtures("loop_kind")
__all__ = ["loop_kind"]


@pytest.fixture
def server() -> Iterator[EmbeddedServer]:
    with EmbeddedServer(settings=Settings(tick_ms=20)) as server:
        yield server


def test_events_that_come_together_are_told_in_order_although_one_callback_fails(
    server: EmbeddedServer, caplog: pytest.LogCaptureFixture
) -> None:
    async def body() -> None:
        async with AsyncClient(server.hosts, timeout=2.0) as zk:
            seen: list[str] = []

            def told(event: Any) -> None:
                seen.append(event.path)
                if len(seen) == 3:
                    raise ValueError("the third")

            transaction = zk.transaction()
            for number in range(20):
                await zk.exists(f"/n{number:02d}", watch=told)
                transaction.create(f"/n{number:02d}")
            await transaction.commit()
            await until(lambda: len(seen) == 20)
            assert seen == [f"/n{number:02d}" for number in range(20)]
            assert "the third" in caplog.text

    run(body)


def test_what_a_callback_brings_about_is_told_after_what_had_come_before_it(server: EmbeddedServer) -> None:
    async def body() -> None:
        async with AsyncClient(server.hosts, timeout=2.0) as zk:
            handler: Any = zk.handler
            seen: list[int] = []

            def first(number: int) -> None:
                seen.append(number)
                handler._tell(seen.append, 3)

            handler._tell(first, 1)
            handler._tell(seen.append, 2)
            assert seen == []
            await until(lambda: len(seen) == 3)
            assert seen == [1, 2, 3]

    run(body)


def test_a_callback_that_ends_the_loop_costs_the_others_nothing(server: EmbeddedServer) -> None:
    seen: list[int] = []

    def interrupt(number: int) -> None:
        seen.append(number)
        raise KeyboardInterrupt

    loop = asyncio.new_event_loop()
    try:
        zk = AsyncClient(server.hosts, timeout=2.0)
        loop.run_until_complete(zk.start())
        handler: Any = zk.handler

        async def tell() -> None:
            handler._tell(interrupt, 1)
            handler._tell(seen.append, 2)
            await asyncio.Event().wait()  # for what ends the loop

        task = loop.create_task(tell())
        with pytest.raises(KeyboardInterrupt):
            loop.run_until_complete(task)
        loop.run_until_complete(asyncio.sleep(0))
        loop.run_until_complete(asyncio.sleep(0))
        assert seen == [1, 2]
        task.cancel()
        loop.run_until_complete(zk.stop())
    finally:
        loop.close()
