"""The four-letter words: what a server says of itself in plain text.

Rule: asks the core, changes nothing but counters (`crst`, `srst`). The shape is a real server's, so that whatever reads
real answers reads these.

Source: org.apache.zookeeper.server.command.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .client import Client
    from .front import Front

__all__ = ["answer", "session_sets"]

_BUCKET_MS = 10_000  # connections are looked at once in so many milliseconds
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_NOT_SERVING = "This ZooKeeper instance is not currently serving requests\n"


def answer(core: Front, word: str, now_ms: int) -> bytes:
    """Return the answer to a word."""
    allowed = core.settings.admin_words
    if allowed is not None and word not in allowed:
        return f"{word} is not executed because it is not in the whitelist.\n".encode()
    return _text(core, word, now_ms).encode()


def _text(core: Front, word: str, now_ms: int) -> str:
    role = core.role
    if word == "ruok":
        return "imok"
    if word == "isro":
        return {"not serving": "null", "read-only": "ro"}.get(role, "rw")
    if word in ("gtmk", "stmk"):
        return "306"
    if word == "envi":
        return f"Environment:\nzookeeper.version={_version(core)}\nhost.name=localhost\njava.vendor=none\n"
    if role == "not serving":
        return _NOT_SERVING
    match word:
        case "srvr" | "stat":
            return _status(core, with_clients=word == "stat")
        case "mntr":
            measures = "".join(f"zk_{key}\t{value}\n" for key, value in _measures(core, now_ms))
            return measures + "".join(f"{line}\n" for line in core.describe().get(word, ()))
        case "conf":
            configuration = "".join(f"{key}={value}\n" for key, value in _configuration(core))
            return configuration + "".join(f"{line}\n" for line in core.describe().get(word, ()))
        case "cons":
            return "".join(_connection(client, now_ms) for client in core.clients) + "\n"
        case "crst":
            for client in core.clients:
                client.received = client.sent = 0
            return "Connection stats reset.\n"
        case "srst":
            core.received = core.sent = 0
            return "Server stats reset.\n"
        case "dump":
            return _dump(core)
        case "wchs":
            connections, paths, watches = core.watches.data.counts()
            return f"{connections} connections watching {paths} paths\nTotal watches:{watches}\n"
        case "wchc":
            return (
                "".join(
                    f"{_session(client)}\n" + "".join(f"\t{path}\n" for path in paths)
                    for client, paths in core.watches.data.by_watcher().items()
                )
                + "\n"
            )
        case "wchp":
            return (
                "".join(
                    f"{path}\n" + "".join(f"\t{_session(client)}\n" for client in clients)
                    for path, clients in core.watches.data.by_path().items()
                )
                + "\n"
            )
        case "dirs":
            return "datadir_size: 0\nlogdir_size: 0\n"
        case _:  # hash: no digests are kept
            return ""


def _version(core: Front) -> str:
    built = "1970-01-01 00:00 UTC" if core.profile.iso_build_date else "01/01/1970 00:00 GMT"
    return f"{core.profile.version}-embedded, built on {built}"


def _status(core: Front, *, with_clients: bool) -> str:
    lines = [f"Zookeeper version: {_version(core)}"]
    if core.role == "read-only":
        lines.append("READ-ONLY mode; serving only read-only clients")
    if with_clients:
        lines.append("Clients:")
        lines += [
            f" /{client.host}:{client.port}[{_interest(client)}](queued=0,recved={client.received},sent={client.sent})"
            for client in core.clients
        ]
        lines.append("")
    lines += [
        "Latency min/avg/max: 0/0.0/0",
        f"Received: {core.received}",
        f"Sent: {core.sent}",
        f"Connections: {len(core.clients)}",
        "Outstanding: 0",
        f"Zxid: 0x{core.last_zxid:x}",
        f"Mode: {core.role}",
        *core.describe().get("srvr", ()),
        f"Node count: {len(core.tree.nodes)}",
    ]
    return "\n".join(lines) + "\n"


def _measures(core: Front, now_ms: int) -> list[tuple[str, object]]:
    tree, tables = core.tree, (core.watches.data, core.watches.child)
    return [
        ("version", _version(core)),
        ("server_state", core.role),
        ("ephemerals_count", sum(map(len, tree.ephemerals.values()))),
        ("num_alive_connections", len(core.clients)),
        ("avg_latency", "0.0"),
        ("min_latency", 0),
        ("max_latency", 0),
        ("outstanding_requests", 0),
        ("znode_count", len(tree.nodes)),
        ("global_sessions", core.session_count()),
        ("local_sessions", 0),
        ("packets_sent", core.sent),
        ("packets_received", core.received),
        ("watch_count", sum(table.counts()[2] for table in tables)),
        ("approximate_data_size", tree.data_size()),
        ("uptime", now_ms - core.started_ms),
    ]


def _configuration(core: Front) -> list[tuple[str, object]]:
    least, most = core.settings.timeout_bounds_ms()
    return [
        ("clientPort", core.port),
        ("secureClientPort", -1),
        ("dataDir", ""),
        ("dataDirSize", 0),
        ("dataLogDir", ""),
        ("dataLogSize", 0),
        ("tickTime", core.settings.tick_ms),
        ("maxClientCnxns", core.settings.max_client_connections),
        ("minSessionTimeout", least),
        ("maxSessionTimeout", most),
        ("clientPortListenBacklog", -1),
        ("serverId", core.number),
    ]


def _session(client: Client) -> str:
    return f"0x{client.session.id & (1 << 64) - 1:x}" if client.session is not None else "0x0"


def _interest(client: Client) -> int:
    """What a server waits for on the connection: 1 is bytes; whoever asks for a word has sent them all."""
    return int(client.session is not None)


def _connection(client: Client, now_ms: int) -> str:
    shown = f"queued=0,recved={client.received},sent={client.sent}"
    if client.session is not None:
        last = client.last_xid & (1 << 64) - 1
        shown += (
            f",sid={_session(client)},lop={client.last_op.replace('_', '')[:4]},est={client.accepted_ms}"
            f",to={client.session.timeout_ms},lcxid=0x{last:x},lzxid=0x{client.last_zxid & (1 << 64) - 1:x}"
            f",lresp={now_ms},llat=0,minlat=0,avglat=0,maxlat=0"
        )
    return f" /{client.host}:{client.port}[{_interest(client)}]({shown})\n"


def session_sets(buckets: dict[int, list[int]]) -> list[str]:
    """Lines of `dump` for sessions by deadline."""
    lines = [f"Session Sets ({len(buckets)})/({sum(map(len, buckets.values()))}):"]
    for deadline_ms, numbers in buckets.items():
        lines.append(f"{len(numbers)} expire at {_date(deadline_ms)}:")
        lines += [f"\t0x{number & (1 << 64) - 1:x}" for number in numbers]
    return lines


def _dump(core: Front) -> str:
    known = core.describe().get("dump")
    lines = ["SessionTracker dump:", *(session_sets(core.session_deadlines()) if known is None else known)]
    ephemerals = core.tree.ephemerals
    lines += ["ephemeral nodes dump:", f"Sessions with Ephemerals ({len(ephemerals)}):"]
    for number, paths in ephemerals.items():
        lines.append(f"0x{number & (1 << 64) - 1:x}:")
        lines += [f"\t{path}" for path in paths.listed()]
    connections: dict[int, list[Client]] = {}
    for client in core.clients:
        connections.setdefault(_connection_deadline_ms(client), []).append(client)
    lines += ["Connections dump:", f"Connections Sets ({len(connections)})/({len(core.clients)}):"]
    for deadline_ms, clients in sorted(connections.items()):
        lines.append(f"{len(clients)} expire at {_date(deadline_ms)}:")
        lines += [f"\tip: /{client.host}:{client.port} sessionId: {_session(client)}" for client in clients]
    return "\n".join(lines) + "\n"


def _connection_deadline_ms(client: Client) -> int:
    """When a server would close the connection if nothing came any more."""
    silent_ms = client.accepted_ms + _BUCKET_MS if client.session is None else client.session.deadline_ms
    return (silent_ms // _BUCKET_MS + 1) * _BUCKET_MS


def _date(ms: int) -> str:
    """As Java prints a date."""
    moment = time.gmtime(ms / 1000)
    return f"{_DAYS[moment.tm_wday]} {_MONTHS[moment.tm_mon - 1]} {time.strftime('%d %H:%M:%S UTC %Y', moment)}"
