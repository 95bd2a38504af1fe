"""What a four-letter word has said, in a form in which two servers can be compared.

Rule: every line is compared. Numbers that differ from run to run (times, sizes, latencies) are masked, sessions are
numbered as the game knows them, and lines that come from a hash table have no order.

Not compared: the lines of `mntr` beyond those that the embedded server gives, and the empty buckets of `dump`, which
are what is left of earlier moments.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

__all__ = ["plain_word"]

_SESSION = re.compile(r"0x[0-9a-f]{8,16}\b")
_NUMBER = re.compile(r"-?\d+(\.\d+)?")
_DATE = re.compile(r"\w{3} \w{3} \d\d \d\d:\d\d:\d\d UTC \d{4}")
# Fields of `srvr` and `mntr` whose values follow from what was played.
_KNOWN = ("Zxid", "Mode", "Node count", "Outstanding", "READ-ONLY mode; serving only read-only clients")
_MEASURES = {
    "zk_server_state", "zk_ephemerals_count", "zk_outstanding_requests", "zk_znode_count", "zk_global_sessions",
    "zk_watch_count",
}  # fmt: skip
_DETAILS = ("recved", "sent", "sid", "lop", "to", "lcxid", "lzxid")
_CONNECTION = re.compile(r" /([^\[]*):\d+\[([01])\]\((.*)\)")


def plain_word(word: str, text: str, sessions: Mapping[int, int], *, counts: bool = False) -> list[str]:
    """The plain form of an answer.   counts: whether connections are compared, too; lost ones stay for a while."""
    text = _SESSION.sub(lambda found: f"S{_number(found[0], sessions)}", text)
    match word:
        case "srvr" | "stat":
            return _status(text, counts)
        case "mntr":
            lines = [line.partition("\t") for line in text.splitlines()]
            return sorted(f"{key} {value}" if key in _MEASURES else key for key, _tab, value in lines)
        case "cons":
            return _connections(text, counts)
        case "wchp" | "wchc":
            return _groups(text)
        case "dump":
            return _dump(text)
        case "envi" | "conf":
            kept = ("tickTime", "maxClientCnxns", "minSessionTimeout", "maxSessionTimeout", "secureClientPort")
            return [line if line.startswith(kept) else line.partition("=")[0] for line in text.split("\n")]
        case "dirs":
            return _NUMBER.sub("N", text).split("\n")
        case _:
            return text.split("\n")


def _number(text: str, sessions: Mapping[int, int]) -> str:
    value = int(text, 16)
    if value >= 1 << 63:
        value -= 1 << 64
    return str(sessions.get(value, "?"))


def _status(text: str, counts: bool) -> list[str]:
    plain: list[str] = []
    clients: list[str] = []
    for line in text.split("\n"):
        name, _colon, value = line.partition(":")
        if line.startswith(" /"):
            clients.append(line)
        elif name in _KNOWN or (counts and name == "Connections"):
            plain.append(f"{name}: {value}")
        else:
            plain.append(name)
    return plain + _connections("\n".join(clients), counts)


def _connections(text: str, counts: bool) -> list[str]:
    plain: list[str] = []
    for line in text.split("\n"):
        match = _CONNECTION.fullmatch(line)
        if match is None:
            plain.append(line)
            continue
        details = dict(item.partition("=")[::2] for item in match[3].split(","))
        if counts or ("sid" in details and "?" not in details["sid"]):
            shown = ",".join(f"{name}={details[name]}" if name in _DETAILS else name for name in details)
            plain.append(f" /{match[1]}[{match[2]}]({shown})")
    return sorted(plain)


def _groups(text: str) -> list[str]:
    groups: list[list[str]] = []
    for line in text.split("\n"):
        if line.startswith("\t") and groups:
            groups[-1].append(line)
        else:
            groups.append([line])
    return sorted("".join([group[0], *sorted(group[1:])]) for group in groups)


def _dump(text: str) -> list[str]:
    text = re.sub(r"^0 expire at .*\n", "", _DATE.sub("DATE", text), flags=re.MULTILINE)
    text = re.sub(r"^Session Sets \(\d+\)/", "Session Sets (N)/", text, flags=re.MULTILINE)
    text, _heading, connections = text.partition("Connections dump:\n")
    sessions, _heading, ephemerals = text.partition("ephemeral nodes dump:\n")
    buckets = [re.sub(r"^\d+ expire", "N expire", line) for line in sessions.split("\n")]
    sets = sorted({re.sub(r"\d+", "N", line) if " expire at" in line else line for line in connections.split("\n")[1:]})
    shown = sorted({re.sub(r":\d+", "", line) for line in sets if "sessionId: " not in line or "S?" not in line})
    return [*sorted(set(buckets)), *_groups(ephemerals), *(line for line in shown if "sessionId: 0x0" not in line)]
