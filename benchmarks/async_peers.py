"""The clients under test that are awaited, each behind the same few callables.

Rule: as in `peers`; what `get`, `children` and the `_async` return is awaited instead. A handle is begun at once, by
the client's own means where it has some, by a task otherwise.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any


class AsyncPeer:
    get: Callable[[str], Awaitable[Any]]
    children: Callable[[str], Awaitable[Any]]
    get_async: Callable[[str], Awaitable[Any]]
    create_async: Callable[[str, bytes], Awaitable[Any]]
    delete_async: Callable[[str], Awaitable[Any]]
    close: Callable[[], Awaitable[Any]]

    def watch_async(self, path: str, callback: Callable[[Any], Any]) -> Awaitable[Any]:
        raise NotImplementedError


class Ours(AsyncPeer):
    """zk_client on asyncio, or on uvloop: that is the loop's affair."""

    @classmethod
    async def open(cls, host: str, port: int, timeout: float) -> Ours:
        from zk_client import AsyncClient

        peer, client = cls(), AsyncClient(f"{host}:{port}", timeout=timeout)
        await client.start()
        peer.get, peer.children = client.get, client.get_children
        peer.get_async, peer.create_async, peer.delete_async = (
            client.get_async,
            client.create_async,
            client.delete_async,
        )
        peer.close = client.stop
        return peer

    def watch_async(self, path: str, callback: Callable[[Any], Any]) -> Awaitable[Any]:
        return self.get_async(path, callback)  # type: ignore[call-arg]


class Aiozk(AsyncPeer):
    """aiozk; it has no handles, so each of them is a task."""

    @classmethod
    async def open(cls, host: str, port: int, timeout: float) -> Aiozk:
        import logging

        from aiozk import ZKClient

        logging.getLogger("aiozk").setLevel(logging.ERROR)
        peer, client = cls(), ZKClient(f"{host}:{port}", session_timeout=timeout)
        await client.start()
        begin = asyncio.ensure_future
        peer.get, peer.children, peer.close = client.get, client.get_children, client.close
        peer.get_async = lambda path: begin(client.get(path))
        peer.create_async = lambda path, data: begin(client.create(path, data))
        peer.delete_async = lambda path: begin(client.delete(path, force=True))
        peer._client = client
        return peer

    _client: Any

    def watch_async(self, path: str, callback: Callable[[Any], Any]) -> Awaitable[Any]:
        from aiozk.protocol.watches import WatchEvent

        self._client.session.add_watch_callback(WatchEvent.DATA_CHANGED, path, callback)
        return asyncio.ensure_future(self._client.get_data(path, watch=True))


ASYNC: dict[str, Callable[[str, int, float], Awaitable[AsyncPeer]]] = {
    "ours-asyncio": Ours.open,
    "ours-uvloop": Ours.open,
    "aiozk": Aiozk.open,
}


def run_in_loop(peer: str, main: Callable[[], Any]) -> Any:
    """Run a coroutine in the peer's kind of loop."""
    factory = None
    if peer == "ours-uvloop":
        import uvloop

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(main())
