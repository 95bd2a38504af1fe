"""Which servers are compared: the versions, and the configurations that both sides are started with.

Rule: a configuration says the same to a real server and to an embedded one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from conformance import Pair
from conformance_bytes import LIMIT
from conformance_bytes import SCENES as BYTES
from conformance_guarded import BARE, GUARDED, play_read_only
from conformance_scenes import SCENES as MEANINGS
from conformance_stage import compare
from conformance_told import DifferenceError

from zk_testing._maven import pins
from zk_testing.cluster import start_cluster
from zk_testing.embedded import EmbeddedServer, Settings

__all__ = ["CONFIGURATIONS", "PLAYED", "SCENES", "VERSIONS", "Configuration", "play_scenes", "started"]

PLAYED = ("usual", "bare")  # the configurations for what hypothesis makes
VERSIONS = tuple(sorted(pins().releases))  # every release that can be had for sure

# A real server's sweep for containers comes when it likes; where that is not the point, it does not come at all.
_NO_SWEEP = {"znode.container.checkIntervalMs": 10**9}


@dataclass(frozen=True)
class Configuration:
    """properties, config: of a real server.   settings: the same, for an embedded one."""

    properties: Mapping[str, Any]
    settings: Mapping[str, Any]
    config: Mapping[str, Any] = field(default_factory=dict)


CONFIGURATIONS = {
    "usual": Configuration(
        _NO_SWEEP | {"zookeeper.enforceQuota": "true"},
        {"enforce_quotas": True},
    ),
    # No permissions, no TTL nodes, quotas that only warn.
    "bare": Configuration(
        _NO_SWEEP | {"zookeeper.extendedTypesEnabled": "false"},
        {"skip_acl": True, "ttl_nodes": False, "reconfig": True},
        {"skipACL": "yes", "reconfigEnabled": "true"},
    ),
    # Short times, and few connections for each address.
    "brief": Configuration(
        {
            "znode.container.checkIntervalMs": 200,
            "znode.container.maxNeverUsedIntervalMs": 400,
            "zookeeper.enforceQuota": "true",
        },
        {
            "tick_ms": 100,
            "container_check_ms": 200,
            "never_used_ms": 400,
            "enforce_quotas": True,
            "reconfig": True,
            "max_client_connections": LIMIT,
        },
        {"maxClientCnxns": LIMIT, "reconfigEnabled": "true", "tickTime": 100},
    ),
    # Authentication required, few words.
    "guarded": Configuration(
        {
            "zookeeper.enforce.auth.enabled": "true",
            "zookeeper.enforce.auth.schemes": "digest",
            "zookeeper.4lw.commands.whitelist": "ruok,srvr",
        },
        {"auth_required": frozenset(["digest"]), "admin_words": frozenset(["ruok", "srvr"])},
    ),
    # The same where only SASL could be required.
    "guarded 3.6": Configuration(
        {"zookeeper.sessionRequireClientSASLAuth": "true", "zookeeper.4lw.commands.whitelist": "ruok,srvr"},
        {"auth_required": frozenset(["sasl"]), "admin_words": frozenset(["ruok", "srvr"])},
    ),
}
SCENES = {"bare": BARE, "brief": BYTES + MEANINGS, "guarded": GUARDED}


@contextmanager
def started(version: str, name: str = "usual") -> Iterator[Pair]:
    """A pair of servers of a version and a configuration. Raises NoServerError when that version cannot be had."""
    chosen = CONFIGURATIONS[name]
    with start_cluster(1, version, config=chosen.config, java_properties=chosen.properties) as cluster:
        yield Pair(cluster, Settings(version=cluster.version, **chosen.settings))


def play_scenes(version: str, name: str) -> dict[str, str]:
    """Play the scenes of a configuration; the difference that each has found, "" for none."""
    if name == "read-only":
        return {f"read-only, local sessions {word}": _found(play_read_only, version, word == "on") for word in _ON_OFF}
    chosen = f"{name} 3.6" if name == "guarded" and version.startswith("3.6") else name
    with started(version, chosen) as pair, EmbeddedServer(settings=pair.settings) as server:
        return {scene.__name__: _found(compare, scene, pair.cluster.hosts, server.hosts) for scene in SCENES[name]}


_ON_OFF = ("off", "on")


def _found(play: Callable[..., object], *arguments: Any) -> str:
    try:
        play(*arguments)
    except DifferenceError as error:
        return str(error)
    return ""
