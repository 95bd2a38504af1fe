"""Clients of an ensemble in memory, for tests."""

from __future__ import annotations

from typing import Any

from embedded_client import Talker, connect_raw

from zk_testing.embedded import MemoryConnection, MemoryEnsemble
from zk_testing.embedded.settings import EnsembleSettings, Settings
from zk_testing.embedded.tree import Node, Tree
from zk_wire import ConnectRequest, Exchange, ExistsRequest, GetDataRequest


class At:
    """One member, as a Talker connects to it."""

    def __init__(self, ensemble: MemoryEnsemble, number: int) -> None:
        self.ensemble = ensemble
        self.number = number

    def connect(self, host: str = "127.0.0.1") -> MemoryConnection:
        return self.ensemble.connect(self.number, host)


def ensemble_of(size: int = 3, *, leader: int | None = None, **options: Any) -> MemoryEnsemble:
    """An ensemble led by a member of choice; options of the ensemble, or of its servers."""
    own = {name: options.pop(name) for name in tuple(options) if name in EnsembleSettings.__slots__}
    ensemble = MemoryEnsemble(EnsembleSettings(size=size, server=Settings(**options), **own))
    if leader is not None and ensemble.leader() != leader:
        ensemble.elect(leader)
        ensemble.advance(0.1)
    assert leader in (None, ensemble.leader())
    return ensemble


def talk(ensemble: MemoryEnsemble, number: int, **options: Any) -> Talker:
    """A client with a session at a member."""
    return Talker(At(ensemble, number), **options)  # type: ignore[arg-type]


def pending(talker: Talker, request: Any) -> Exchange[Any]:
    """Send a request that is not answered yet."""
    exchange = talker.exchange(request)
    assert not answered(talker, exchange)
    return exchange


def answered(talker: Talker, exchange: Exchange[Any]) -> bool:
    talker._pump()
    return bool(exchange.zxid or exchange.error or exchange.reply is not None)


def data_at(ensemble: MemoryEnsemble, number: int, path: str) -> bytes | None:
    """What a member's tree has, without asking it; None for no node."""
    node = ensemble.core.member(number).tree.nodes.get(path)
    return None if node is None else node.data or b""


def read(talker: Talker, path: str) -> bytes | None:
    return talker.ask(GetDataRequest(path, False)).data


def there(talker: Talker, path: str) -> bool:
    return talker.code(ExistsRequest(path, False)) == 0


def connect_at(ensemble: MemoryEnsemble, number: int, request: ConnectRequest) -> tuple[Any, int, bool]:
    return connect_raw(At(ensemble, number), request.encode())  # type: ignore[arg-type]


def state_of(tree: Tree) -> dict[str, Any]:
    """All that a tree holds, to be compared."""
    fields = [name for name in Node.__slots__ if name != "children"]
    nodes = {
        path: [getattr(node, name) for name in fields] + [node.children.listed()] for path, node in tree.nodes.items()
    }
    ephemerals = {owner: paths.listed() for owner, paths in tree.ephemerals.items()}
    return {"nodes": nodes, "ephemerals": ephemerals, "ttls": set(tree.ttls), "containers": set(tree.containers)}
