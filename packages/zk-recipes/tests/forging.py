"""Servers whose nodes have had nearly as many children as a server counts: nobody could wait for that.

Rule: no client can move such a counter, so a real server begins with a snapshot written here, and an embedded one is
told. Source of the format: FileSnap.java, DataTree.java, StatPersisted in zookeeper.jute; read by 3.6 and newer.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from zk_client import Client
from zk_testing import EmbeddedServer
from zk_testing.cluster import start_cluster

if TYPE_CHECKING:
    from zk_testing._choice import Choice
    from zk_testing.embedded.core import ServerCore

LAST = 2**31 - 1


@contextmanager
def forged(choice: Choice, counters: Mapping[str, int], folder: Path) -> Iterator[str]:
    """Run a server whose nodes have had so many children; yields its hosts. counters: by path, of nodes of the root."""
    if not choice.embedded:
        _write_snapshot(folder, counters)
        with start_cluster(1, choice.exact, config={"dataDir": str(folder)}) as cluster:
            yield cluster[0].hosts
        return
    with EmbeddedServer() as server:
        with Client(server.hosts) as client:
            for path in counters:
                client.create(path)

        def count(core: ServerCore) -> None:
            for path, counter in counters.items():
                core.tree.nodes[path].creations = counter

        server.call(count)
        yield server.hosts


def _write_snapshot(folder: Path, counters: Mapping[str, int]) -> None:
    """Write a snapshot in which nothing but these nodes and the server's own has ever been made."""
    header = b"ZKSN" + struct.pack(">iq", 2, -1)
    sessions = acls = struct.pack(">i", 0)
    nodes = [_node(path, 0) for path in ("", "/zookeeper", "/zookeeper/quota")]
    nodes += [_node(path, counter) for path, counter in counters.items()]
    body = b"".join([header, sessions, acls, *nodes, _text("/")])
    seal = struct.pack(">q", zlib.adler32(body)) + _text("/")
    (folder / "version-2").mkdir()
    (folder / "version-2" / "snapshot.0").write_bytes(body + seal)


def _node(path: str, children_ever: int) -> bytes:
    # Path, data, ACL (-1: open to all), czxid, mzxid, ctime, mtime, version, cversion, aversion, owner, pzxid.
    stat = struct.pack(">qqqqiiiqq", 0, 0, 0, 0, 0, children_ever, 0, 0, 0)
    return _text(path) + struct.pack(">iq", 0, -1) + stat


def _text(text: str) -> bytes:
    data = text.encode()
    return struct.pack(">i", len(data)) + data
