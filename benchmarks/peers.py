"""The clients under test, each behind the same few callables.

Rule: an adapter adds nothing between the workload and the client: its attributes are the client's own bound methods.
    get(path) -> (bytes, stat)        children(path) -> list of names
    get_async(path), create_async(path, data), delete_async(path) -> handle        wait(handle) -> result
A client is imported only when it is opened, so that one peer's import never burdens another's process.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import methodcaller
from typing import Any

TIMEOUT = 30.0  # the session timeout of every peer, in seconds


class Peer:
    get: Callable[[str], Any]
    children: Callable[[str], Any]
    get_async: Callable[[str], Any]
    create_async: Callable[[str, bytes], Any]
    delete_async: Callable[[str], Any]
    wait: Callable[[Any], Any]
    close: Callable[[], Any]


class Ours(Peer):
    """zk_client on threads."""

    def __init__(self, host: str, port: int) -> None:
        from zk_client import Client

        client = Client(f"{host}:{port}", timeout=TIMEOUT)
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

    def __init__(self, host: str, port: int) -> None:
        from kazoo.client import KazooClient

        client = KazooClient(f"{host}:{port}", timeout=TIMEOUT)
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


CLIENTS: dict[str, type[Peer]] = {"ours": Ours, "kazoo": Kazoo}
RAW = "raw"
PEERS = [*CLIENTS, RAW]
LIBRARIES = {"ours": "zk_client", "kazoo": "kazoo.client"}  # what `import` costs, per peer


def open_peer(name: str, host: str, port: int) -> Peer:
    return CLIENTS[name](host, port)  # type: ignore[call-arg]
