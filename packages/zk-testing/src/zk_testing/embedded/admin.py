"""The four-letter words: what a server says of itself in plain text.

Rule: asks the core, changes nothing but counters (`crst`, `srst`). The shape is a real server's, so that whatever reads
real answers reads these.

Source: org.apache.zookeeper.server.command.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .client import Client
    from .front import Front

__all__ = ["answer"]

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
            return "".join(f"zk_{key}\t{value}\n" for key, value in _measures(core, now_ms))
        case "conf":
            return "".join(f"{key}={value}\n" for key, value in _configuration(core))
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
            return "".join(
                f"{_session(client)}\n" + "".join(f"\t{path}\n" for path in paths)
                for client, paths in core.watches.data.by_watcher().items()
            )
        case "wchp":
            return "".join(
                f"{path}\n" + "".join(f"\t{_session(client)}\n" for client in clients)
                for path, clients in core.watches.data.by_path().items()
            )
        case "dirs":
            return "datadir_size: 0\nlogdir_size: 0\n"
        case _:  # hash: no digests are kept
            return ""


def _version(core: Front) -> str:
    return f"{core.profile.version}-embedded, built on 01/01/1970 00:00 UTC"


def _status(core: Front, *, with_clients: bool) -> str:
    lines = [f"Zookeeper version: {_version(core)}"]
    if core.role == "read-only":
        lines.append("READ-ONLY mode; serving only read-only clients")
    if with_clients:
        lines.append("Clients:")
        lines += [
            f" /{client.host}:{client.port}[1](queued=0,recved={client.received},sent={client.sent})"
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
        ("serverId", 0),
    ]


def _session(client: Client) -> str:
    return f"0x{client.session.id & (1 << 64) - 1:x}" if client.session is not None else "0x0"


def _connection(client: Client, now_ms: int) -> str:
    shown = f"queued=0,recved={client.received},sent={client.sent}"
    if client.session is not None:
        last = client.last_xid & (1 << 64) - 1
        shown += (
            f",sid={_session(client)},lop={client.last_op[:4]},est={now_ms},to={client.session.timeout_ms}"
            f",lcxid=0x{last:x},lzxid=0x{client.last_zxid & (1 << 64) - 1:x},lresp={now_ms}"
            ",llat=0,minlat=0,avglat=0,maxlat=0"
        )
    return f" /{client.host}:{client.port}[1]({shown})\n"


def _dump(core: Front) -> str:
    buckets = core.session_deadlines()
    lines = ["SessionTracker dump:", f"Session Sets ({len(buckets)})/({core.session_count()}):"]
    for deadline, numbers in buckets.items():
        lines.append(f"{len(numbers)} expire at {deadline}:")
        lines += [f"\t0x{number & (1 << 64) - 1:x}" for number in numbers]
    ephemerals = core.tree.ephemerals
    lines += ["ephemeral nodes dump:", f"Sessions with Ephemerals ({len(ephemerals)}):"]
    for number, paths in ephemerals.items():
        lines.append(f"0x{number & (1 << 64) - 1:x}:")
        lines += [f"\t{path}" for path in paths]
    return "\n".join(lines) + "\n"
