"""Which servers are compared: the versions, and the configurations that both sides are started with.

Rule: a configuration says the same to a real server and to an embedded one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from conformance import Pair

from zk_testing._maven import pins
from zk_testing.cluster import start_cluster
from zk_testing.embedded import Settings

__all__ = ["CONFIGURATIONS", "VERSIONS", "Configuration", "started"]

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
}


@contextmanager
def started(version: str, name: str = "usual") -> Iterator[Pair]:
    """A pair of servers of a version and a configuration. Raises NoServerError when that version cannot be had."""
    chosen = CONFIGURATIONS[name]
    with start_cluster(1, version, config=chosen.config, java_properties=chosen.properties) as cluster:
        yield Pair(cluster, Settings(version=cluster.version, **chosen.settings))
