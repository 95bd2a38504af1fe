"""What sessions hold on a server: connections, ephemeral nodes, watches.

Rule: only looks. An embedded server is looked into; any other one is asked two four-letter words (`dump`, and `wchc`
while there are sessions), each on a connection of its own.

A real server's `wchc` lists the watches of `get_data` and `exists` and the lasting ones; those of `get_children` it
counts, and names nowhere. Source: DataTree.dumpWatches, SessionTracker.dumpSessions, NIOServerCnxnFactory.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._serving import Server
    from .embedded.core import ServerCore

__all__ = ["Held", "holdings", "parse_dump", "parse_watches"]

_SESSION = re.compile(r"\t?0x([0-9a-f]+)(\t\d+ms)?")  # of a leader or standalone server; of a follower
_OWNER = re.compile(r"0x([0-9a-f]+):?")
_CONNECTION = re.compile(r"\tip: /?(\S+) sessionId: 0x([0-9a-f]+)")


@dataclass(slots=True)
class Held:
    """What one session holds.   address: where its client is connected from; None while it is not connected."""

    address: str | None = None
    ephemerals: set[str] = field(default_factory=set[str])
    watches: set[str] = field(default_factory=set[str])


def holdings(servers: Iterable[Server]) -> dict[int, Held]:
    """What each session that one of these servers knows holds; servers that do not answer are passed over."""
    found: dict[int, Held] = {}
    for server in servers:
        _add(found, server)
    return found


def _add(found: dict[int, Held], server: Server) -> None:
    from .embedded import EmbeddedServer

    if isinstance(server, EmbeddedServer):
        server.call(lambda core: _look_into(found, core))
        return
    try:
        parse_dump(server.send_command("dump"), found)
        if found:
            parse_watches(server.send_command("wchc"), found)
    except OSError:
        pass


def _look_into(found: dict[int, Held], core: ServerCore) -> None:
    for session in core.sessions.all():
        found.setdefault(session.id, Held()).ephemerals.update(core.tree.ephemerals.get(session.id, ()))
    for client in core.clients:
        if client.session is not None:
            found.setdefault(client.session.id, Held()).address = f"{client.host}:{client.port}"
    for table in (core.watches.data, core.watches.child):
        for client, paths in table.by_watcher().items():
            if client.session is not None:
                found.setdefault(client.session.id, Held()).watches.update(paths)


def parse_dump(text: str, found: dict[int, Held]) -> None:
    """Read an answer to `dump` into a table of sessions."""
    sessions, _, rest = text.partition("ephemeral nodes dump:")
    ephemerals, _, connections = rest.partition("Connections dump:")
    for line in sessions.splitlines():
        if match := _SESSION.fullmatch(line):
            found.setdefault(_signed(match[1]), Held())
    for number, path in _paths_by_session(ephemerals):
        found.setdefault(number, Held()).ephemerals.add(path)
    for match in _CONNECTION.finditer(connections):
        number = _signed(match[2])
        if number in found:
            found[number].address = match[1]


def parse_watches(text: str, found: dict[int, Held]) -> None:
    """Read an answer to `wchc` into a table of sessions."""
    for number, path in _paths_by_session(text):
        found.setdefault(number, Held()).watches.add(path)


def _paths_by_session(text: str) -> Iterable[tuple[int, str]]:
    owner: int | None = None
    for line in text.splitlines():
        if match := _OWNER.fullmatch(line):
            owner = _signed(match[1])
        elif owner is not None and line.startswith("\t"):
            yield owner, line[1:]


def _signed(digits: str) -> int:
    value = int(digits, 16)
    return value - (1 << 64) if value >= 1 << 63 else value
