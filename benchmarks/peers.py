"""The clients under test, each behind the same few callables.

Rule: an adapter adds nothing between the workload and the client: its attributes are the client's own bound methods.
    get(path) -> (bytes, stat)        children(path) -> list of names
    get_async(path), create_async(path, data), delete_async(path), watch_async(path, callback) -> handle
    wait(handle) -> result            close()
    event(), run_together(body, n), rest(seconds): of the peer's world
A client is imported only when it is opened, so that one peer's import never burdens another's process. Those that are
awaited are in `async_peers`.
"""

from __future__ import annotations

import importlib.util
import threading
import time
from collections.abc import Callable
from operator import methodcaller
from typing import Any

TIMEOUT = 30.0  # the session timeout of every peer, in seconds

# Peer to what it needs beside its own library, and to what `import` costs.
NEEDS = {
    "ours": "zk_client",
    "ours-gevent": "gevent",
    "ours-asyncio": "zk_client",
    "ours-uvloop": "uvloop",
    "kazoo": "kazoo",
    "kazoo-gevent": "gevent",
    "aiozk": "aiozk",
}
AWAITED = ["ours-asyncio", "ours-uvloop", "aiozk"]
RAW = "raw"
PEERS = [*NEEDS, RAW]
LIBRARIES = {"ours": "zk_client", "kazoo": "kazoo.client"}


def missing() -> dict[str, str]:
    """The peers that cannot be had here, and what they lack."""
    return {peer: module for peer, module in NEEDS.items() if importlib.util.find_spec(module) is None}


class Peer:
    """A client whose calls block, on threads unless said otherwise."""

    get: Callable[[str], Any]
    children: Callable[[str], Any]
    get_async: Callable[[str], Any]
    create_async: Callable[[str, bytes], Any]
    delete_async: Callable[[str], Any]
    wait: Callable[[Any], Any]
    close: Callable[[], Any]

    event: Callable[[], Any] = threading.Event
    rest = staticmethod(time.sleep)

    def watch_async(self, path: str, callback: Callable[[Any], Any]) -> Any:
        return self.get_async(path, callback)  # type: ignore[call-arg]

    @staticmethod
    def run_together(body: Callable[[], Any], count: int) -> None:
        threads = [threading.Thread(target=body) for _ in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


class Ours(Peer):
    """zk_client on threads."""

    def __init__(self, host: str, port: int, timeout: float) -> None:
        from zk_client import Client

        self._open(Client(f"{host}:{port}", timeout=timeout))

    def _open(self, client: Any) -> None:
        client.start()
        self.get, self.children = client.get, client.get_children
        self.get_async, self.create_async, self.delete_async = (
            client.get_async,
            client.create_async,
            client.delete_async,
        )
        self.wait = methodcaller("result")
        self.close = client.stop


class Kazoo(Peer):
    """kazoo with its threading handler."""

    def __init__(self, host: str, port: int, timeout: float) -> None:
        from kazoo.client import KazooClient

        self._open(KazooClient(f"{host}:{port}", timeout=timeout))

    def _open(self, client: Any) -> None:
        client.start()
        self.get, self.children = client.get, client.get_children
        self.get_async, self.create_async, self.delete_async = (
            client.get_async,
            client.create_async,
            client.delete_async,
        )
        self.wait = methodcaller("get")
        self._client = client
        self.close = self._end

    def _end(self) -> None:
        self._client.stop()
        self._client.close()


class OnGreenlets(Peer):
    """What a peer on greenlets does differently; nothing is patched."""

    @staticmethod
    def event() -> Any:
        from gevent.event import Event

        return Event()

    @staticmethod
    def rest(seconds: float) -> None:
        from gevent import sleep

        sleep(seconds)

    @staticmethod
    def run_together(body: Callable[[], Any], count: int) -> None:
        from gevent import joinall, spawn

        joinall([spawn(body) for _ in range(count)], raise_error=True)


class OursOnGreenlets(OnGreenlets, Ours):
    """zk_client on gevent."""

    def __init__(self, host: str, port: int, timeout: float) -> None:
        from zk_client import Client

        self._open(Client(f"{host}:{port}", timeout=timeout, runtime="gevent"))


class KazooOnGreenlets(OnGreenlets, Kazoo):
    """kazoo with its gevent handler."""

    def __init__(self, host: str, port: int, timeout: float) -> None:
        from kazoo.client import KazooClient
        from kazoo.handlers.gevent import SequentialGeventHandler

        self._open(KazooClient(f"{host}:{port}", timeout=timeout, handler=SequentialGeventHandler()))


BLOCKING: dict[str, Callable[[str, int, float], Peer]] = {
    "ours": Ours,
    "ours-gevent": OursOnGreenlets,
    "kazoo": Kazoo,
    "kazoo-gevent": KazooOnGreenlets,
}
