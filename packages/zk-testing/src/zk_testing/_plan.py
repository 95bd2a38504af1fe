"""What servers the unittest harness starts, read from a class's attributes and the environment.

Rule: decides only. An attribute goes before the environment, which goes before the default, one embedded server.

| variable | meaning | honoured for |
|---|---|---|
| `ZOOKEEPER_VERSION` | the version, as "3.8.4", "3.9" or "newest"; asks for real servers | real |
| `ZOOKEEPER_PATH`, `ZOOKEEPER_CLASSPATH` | where the server is (see provision.py); asks for real servers | real |
| `ZOOKEEPER_CLUSTER_SIZE` | how many servers (default: 1) | both |
| `ZOOKEEPER_OBSERVER_START_ID` | the number from which on servers observe; -1 is none | both |
| `ZOOKEEPER_PORT_OFFSET` | the first port; server n has offset + 10 (n - 1) and the two after it | real, one embedded |
| `ZOOKEEPER_LOCAL_SESSION_RO` | "true": local sessions, and read-only servers where there is no quorum | both |
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ._choice import DEFAULT_VERSION, EMBEDDED, REAL, Choice, parse_choices, parse_version

__all__ = ["Plan", "plan_for"]

_ASK_FOR_REAL = ("ZOOKEEPER_VERSION", "ZOOKEEPER_PATH", "ZOOKEEPER_CLASSPATH")


@dataclass(frozen=True, slots=True)
class Plan:
    """Servers to be started.   observers: how many of them, the last ones.   first_port: 0 is any free ones."""

    choice: Choice
    size: int = 1
    observers: int = 0
    first_port: int = 0
    local_sessions: bool = False


def plan_for(environment: Mapping[str, str], *, zk: str | None = None, cluster_size: int | None = None) -> Plan:
    """Read the plan.   zk, cluster_size: what the class says; None where it says nothing.

    Raises ValueError, with the name of the variable, for a value that is none.
    """
    asks_for_real = any(environment.get(name) for name in _ASK_FOR_REAL)
    try:
        version = parse_version(environment.get("ZOOKEEPER_VERSION") or DEFAULT_VERSION)
    except ValueError as error:
        raise ValueError(f"ZOOKEEPER_VERSION: {error}") from None
    choices = parse_choices(zk) if zk is not None else (Choice(REAL if asks_for_real else EMBEDDED),)
    if len(choices) != 1:
        raise ValueError(f"a test case runs on one kind of server, not on {zk!r}: make one class of each")
    size = _number(environment, "ZOOKEEPER_CLUSTER_SIZE", 1, least=1) if cluster_size is None else cluster_size
    if size < 1:
        raise ValueError(f"cluster_size is at least 1, not {size}")
    start = _number(environment, "ZOOKEEPER_OBSERVER_START_ID", -1, least=-1)
    observers = 0 if start < 1 else max(0, size - start + 1)
    if observers and size - observers < 2:
        raise ValueError(f"ZOOKEEPER_OBSERVER_START_ID={start} leaves {size - observers} of {size} servers to vote")
    local = environment.get("ZOOKEEPER_LOCAL_SESSION_RO", "false").strip().lower() in ("true", "1")
    first_port = _number(environment, "ZOOKEEPER_PORT_OFFSET", 0, least=0)
    return Plan(choices[0].with_version(version), size, observers, first_port, local)


def _number(environment: Mapping[str, str], name: str, default: int, *, least: int) -> int:
    text = environment.get(name) or str(default)
    try:
        value = int(text)
    except ValueError:
        raise ValueError(f"{name} is a whole number, not {text!r}") from None
    if value < least:
        raise ValueError(f"{name} is at least {least}, not {value}")
    return value
