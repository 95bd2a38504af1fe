"""The four-letter words: what a server says of itself in plain text.

Rule: asks the core, changes nothing but counters (`crst`, `srst`) and the trace mask (`stmk`). Each line has a real
server's shape, so that whatever reads real answers reads these; of the hundreds of lines of `mntr` only those are here
that say something of this server, and latencies are always 0.

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
_ENVIRONMENT = (
    "java.version", "java.vendor", "java.home", "java.class.path", "java.library.path", "java.io.tmpdir",
    "java.compiler", "os.name", "os.arch", "os.version", "user.name", "user.home", "user.dir", "os.memory.free",
    "os.memory.max", "os.memory.total",
)  # fmt: skip


def answer(core: Front, client: Client, word: str, argument: bytes, now_ms: int) -> bytes:
    """Return the answer to a word that came on a connection.   argument: what came behind it."""
    allowed = core.settings.admin_words
    if allowed is not None and word not in allowed:
        return f"{word} is not executed because it is not in the whitelist.\n".encode()
    return _text(core, client, word, argument, now_ms).encode()


def _text(core: Front, asking: Client, word: str, argument: bytes, now_ms: int) -> str:
    role = core.role
    if word == "ruok":
        return "imok"
    if word == "isro":
        return {"not serving": "null", "read-only": "ro"}.get(role, "rw")
    if word == "stmk":
        core.trace_mask = int.from_bytes(argument, "big", signed=True)
    if word in ("gtmk", "stmk"):
        return str(core.trace_mask)
    if word == "envi":
        known = {"zookeeper.version": _version(core), "host.name": "localhost"} | dict.fromkeys(_ENVIRONMENT, "none")
        return "Environment:\n" + "".join(f"{key}={value}\n" for key, value in known.items())
    if role == "not serving":
        return _NOT_SERVING
    match word:
        case "srvr" | "stat":
            return _status(core, asking if word == "stat" else None)
        case "mntr":
            measures = "".join(f"zk_{key}\t{value}\n" for key, value in _measures(core, now_ms))
            return measures + "".join(f"{line}\n" for line in core.describe().get(word, ()))
        case "conf":
            configuration = "".join(f"{key}={value}\n" for key, value in _configuration(core))
            return configuration + "".join(f"{line}\n" for line in core.describe().get(word, ()))
        case "cons":
            return "".join(_connection(client, asking) for client in core.clients) + "\n"
        case "crst":
            for client in core.clients:
                client.reset_counts()
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
            sessions = {_session(client): paths for client, paths in core.watches.data.by_watcher().items()}
            return _grouped(sessions)
        case "wchp":
            watchers = core.watches.data.by_path().items()
            return _grouped({path: [_session(client) for client in clients] for path, clients in watchers})
        case "dirs":
            return "datadir_size: 0\nlogdir_size: 0\n"
        case _:  # hash: no digests are kept
            return ""


def _version(core: Front) -> str:
    built = "1970-01-01 00:00 UTC" if core.profile.iso_build_date else "01/01/1970 00:00 GMT"
    return f"{core.profile.version}-embedded, built on {built}"


def _grouped(groups: dict[str, list[str]]) -> str:
    return "".join(f"{head}\n" + "".join(f"\t{item}\n" for item in items) for head, items in groups.items()) + "\n"


def _status(core: Front, asking: Client | None) -> str:
    """asking: for whom the connections are listed, too."""
    lines = [f"Zookeeper version: {_version(core)}"]
    if core.role == "read-only":
        lines.append("READ-ONLY mode; serving only read-only clients")
    if asking is not None:
        lines.append("Clients:")
        lines += [
            f" /{client.host}:{client.port}[{client is not asking:d}]({_counts(client)})" for client in core.clients
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


def _counts(client: Client) -> str:
    return f"queued=0,recved={client.received},sent={client.sent}"


def _connection(client: Client, asking: Client) -> str:
    shown = _counts(client)
    if client.session is not None:
        cxid = f"lcxid=0x{client.last_xid:x}," if client.last_xid >= 0 else ""
        shown += (
            f",sid={_session(client)},lop={client.last_op},est={client.accepted_ms},to={client.session.timeout_ms},{cxid}"
            f"lzxid=0x{client.last_zxid & (1 << 64) - 1:x},lresp={client.answered_ms},llat=0,minlat=0,avglat=0,maxlat=0"
        )
    return f" /{client.host}:{client.port}[{client is not asking:d}]({shown})\n"


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
    closings: dict[int, list[Client]] = {}
    for client in core.clients:
        timeout_ms = client.session.timeout_ms if client.session is not None else _BUCKET_MS
        closing = ((client.heard_ms + timeout_ms) // _BUCKET_MS + 1) * _BUCKET_MS
        closings.setdefault(closing, []).append(client)
    lines += ["Connections dump:", f"Connections Sets ({len(closings)})/({len(core.clients)}):"]
    for closing, clients in sorted(closings.items()):
        lines.append(f"{len(clients)} expire at {_date(closing)}:")
        lines += [f"\tip: /{client.host}:{client.port} sessionId: {_session(client)}" for client in clients]
    return "\n".join(lines) + "\n"


def _date(time_ms: int) -> str:
    """As Java prints a date."""
    moment = time.gmtime(time_ms / 1000)
    return f"{_DAYS[moment.tm_wday]} {_MONTHS[moment.tm_mon - 1]} {time.strftime('%d %H:%M:%S UTC %Y', moment)}"
