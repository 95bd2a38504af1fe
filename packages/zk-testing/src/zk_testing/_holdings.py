"""What sessions hold on a server: connections, ephemeral nodes, watches.

Rule: only looks. An embedded server is looked into; any other one is asked four-letter words (`dump`, and while there
are sessions `cons` and `wchc`), each on a connection of its own.

`dump` lists connections as well, but also ones that are closed: one that is heard of while it closes stays in that list
until its time-out. `cons` does not.

A real server's `wchc` lists the watches of `get_data` and `exists` and the lasting ones; those of `get_children` it
counts, and names nowhere. Source: DataTree.dumpWatches, SessionTracker.dumpSessions, NIOServerCnxnFactory.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from zk_wire import ZooKeeperError, parse_cons

if TYPE_CHECKING:
    from ._serving import Server
    from .embedded.core import ServerCore

__all__ = ["Held", "holdings", "parse_dump", "parse_watches"]

_SESSION = re.compile(r"\t?0x([0-9a-f]+)(\t\d+ms)?")  # of a leader or standalone server; of a follower
_OWNER = re.compile(r"0x([0-9a-f]+):?")


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
            for client in parse_cons(server.send_command("cons")):
                held = found.get(_signed(client.details.get("sid", "0x0").removeprefix("0x")))
                if held is not None:
                    held.address = f"{client.host}:{client.port}"
            parse_watches(server.send_command("wchc"), found)
    except (OSError, ZooKeeperError):  # it is ending, or serves nobody
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
    ephemerals = rest.partition("Connections dump:")[0]
    for line in sessions.splitlines():
        if match := _SESSION.fullmatch(line):
            found.setdefault(_signed(match[1]), Held())
    for number, path in _paths_by_session(ephemerals):
        found.setdefault(number, Held()).ephemerals.add(path)


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
