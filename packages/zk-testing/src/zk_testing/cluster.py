"""Real ZooKeeper servers for tests: one, or an ensemble of several.

    with start_cluster(3, version="3.9") as cluster:
        cluster.hosts                       # "127.0.0.1:12001,127.0.0.1:12002,127.0.0.1:12003"
        leader = cluster.leader()
        leader.pause()                      # a frozen machine: sockets open, nothing answers
        cluster.leader(other_than=leader)   # waits until the others have elected one of themselves
        leader.resume()
        cluster.heal()                      # everybody runs, serves and agrees again

Rule: `stop()` (also by leaving the `with`) leaves no process and no file, whatever was done to the members; the same
holds when the interpreter exits, and when the test process is killed.

The servers are quick rather than durable: short ticks, no fsync, data in memory where there is a memory file system.
Every command, TTL nodes and reconfiguration are allowed; the super user is `super:test` (digest).
"""

from __future__ import annotations

import atexit
import os
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from ._ports import release_ports, reserve_ports
from ._process import make_folder, remove_folder
from .errors import ClusterError
from .member import HOST, MemberPlan, ZooKeeperServer, is_port_conflict
from .provision import Distribution, find_server

__all__ = ["Cluster", "StoppedCluster", "ZooKeeperServer", "live_clusters", "recently_stopped", "start_cluster"]

_POLL = 0.02  # seconds between two rounds of questions
_ATTEMPTS = 3  # with new ports, when somebody else took one between the choice and the start


class StoppedCluster(NamedTuple):
    """What is kept of a cluster that was stopped: its name and the end of each server's log."""

    name: str
    logs: tuple[tuple[str, str], ...]


_live: list[Cluster] = []
_stopped: deque[StoppedCluster] = deque(maxlen=4)
_registry = threading.Lock()


def live_clusters() -> tuple[Cluster, ...]:
    """The clusters of this process that were started and not stopped."""
    with _registry:
        return tuple(_live)


def recently_stopped() -> deque[StoppedCluster]:
    """The last few clusters that were stopped, for reports; whoever reports them may clear it."""
    return _stopped


def start_cluster(
    size: int = 1,
    version: str = "3.9",
    *,
    observers: int = 0,
    tick_ms: int = 200,
    read_only_mode: bool = False,
    config: Mapping[str, str | int] | None = None,
    java_properties: Mapping[str, str | int] | None = None,
    jvm_flags: Sequence[str] = (),
    heap_mb: int = 256,
    first_port: int = 0,
    timeout: float = 60.0,
) -> Cluster:
    """Start real servers and return when all of them serve.

    size: 1 is a standalone server, more is an ensemble.   version: as `zk_testing.provision.find_server` takes it.
    observers: how many of them (the last ones) observe instead of voting.
    tick_ms: the server's unit of time; sessions last at least two ticks and, unless `config` says otherwise, at most
    60 s, and end up to one tick late.
    read_only_mode: a member without a quorum serves read-only clients.
    config: settings of zoo.cfg, over the defaults.   java_properties: system properties (-D), over the defaults.
    jvm_flags: further arguments of java.   heap_mb: the most heap each server may use.
    first_port: 0 takes free ports; else server n has first_port + 10 (n - 1) for clients, and the two after it.
    timeout: seconds until all must serve.
    Raises NoServerError when that version cannot be had here; ClusterError when a server does not come up, after which
    nothing is left running; ValueError for numbers that make no cluster.
    """
    if size < 1 or observers < 0 or (observers and size - observers < 2):
        raise ValueError(
            "a cluster has at least one server, and two that vote beside its observers, "
            f"not size={size} with observers={observers}"
        )
    if tick_ms < 1 or heap_mb < 32 or timeout <= 0:
        raise ValueError(
            f"tick_ms is at least 1, heap_mb at least 32 and timeout above 0, not {tick_ms}, {heap_mb}, {timeout}"
        )
    if first_port and not 1024 <= first_port <= 65535 - 10 * size:
        raise ValueError(f"first_port leaves room for {size} servers between 1024 and 65535, not {first_port}")
    distribution = find_server(version)
    settings: dict[str, str] = {
        "tickTime": str(tick_ms),
        "initLimit": "50",
        "syncLimit": "10",
        "maxClientCnxns": "0",
        "maxSessionTimeout": str(max(60_000, 2 * tick_ms)),
    }
    settings |= {name: str(value) for name, value in (config or {}).items()}
    properties = {"readonlymode.enabled": "true"} if read_only_mode else {}
    properties |= {name: str(value) for name, value in (java_properties or {}).items()}
    deadline = time.monotonic() + timeout
    for attempt in range(1, _ATTEMPTS + 1):
        cluster = Cluster(distribution, size, observers, settings, properties, jvm_flags, heap_mb, first_port)
        try:
            cluster._start(max(1.0, deadline - time.monotonic()))
            return cluster
        except ClusterError as error:
            cluster.stop()
            if attempt == _ATTEMPTS or first_port or not is_port_conflict(error.log):
                raise
        except BaseException:
            cluster.stop()
            raise
    raise AssertionError("unreachable: the last attempt returned or raised")


class Cluster:
    """Running servers; made by `start_cluster`. Indexable and iterable by member, in the order of their numbers."""

    def __init__(
        self,
        distribution: Distribution,
        size: int,
        observers: int,
        config: Mapping[str, str],
        java_properties: Mapping[str, str],
        jvm_flags: Sequence[str],
        heap_mb: int,
        first_port: int = 0,
    ) -> None:
        self.distribution = distribution
        self._owner = os.getpid()
        self._stopped = False
        ensemble = size > 1 or config.get("standaloneEnabled") == "false"
        self._reserved = [] if first_port else reserve_ports(size * 3 if ensemble else size)
        ports = self._reserved or [first_port + 10 * index + use for use in range(3) for index in range(size)]
        self._folder = make_folder()
        servers: list[str] = []
        if ensemble:
            config = {"reconfigEnabled": "true", **config}
            for index in range(size):
                port, quorum, election = ports[index::size]
                kind = "observer" if index >= size - observers else "participant"
                servers.append(f"server.{index + 1}={HOST}:{quorum}:{election}:{kind};{HOST}:{port}")
        self._members = tuple(
            ZooKeeperServer(
                MemberPlan(
                    distribution=distribution,
                    number=index + 1,
                    port=ports[index],
                    servers=tuple(servers),
                    config=config,
                    java_properties=java_properties,
                    jvm_flags=tuple(jvm_flags),
                    heap_mb=heap_mb,
                ),
                self._folder / f"server{index + 1}",
            )
            for index in range(size)
        )
        with _registry:
            _live.append(self)

    def __repr__(self) -> str:
        return f"<Cluster of {len(self)} x ZooKeeper {self.version} at {self.hosts}>"

    def __len__(self) -> int:
        return len(self._members)

    def __getitem__(self, index: int) -> ZooKeeperServer:
        return self._members[index]

    def __enter__(self) -> Cluster:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    # Who and where

    @property
    def version(self) -> str:
        """The exact release the servers run."""
        return self.distribution.version

    @property
    def members(self) -> tuple[ZooKeeperServer, ...]:
        """All servers, in the order of their numbers."""
        return self._members

    @property
    def folder(self) -> Path:
        """The folder of everything the servers write; removed by `stop`."""
        return self._folder

    @property
    def hosts(self) -> str:
        """The addresses of all members, as a client takes them."""
        return ",".join(member.address for member in self._members)

    def connection_string(self, chroot: str = "") -> str:
        """The addresses followed by a chroot ("" or "/path")."""
        return self.hosts + chroot

    # Who leads

    def leader(self, *, other_than: ZooKeeperServer | None = None, timeout: float = 30.0) -> ZooKeeperServer:
        """The member that leads now (the only one of a standalone server), waiting for an election if need be.

        other_than: a member that does not count, for one that has just been paused or cut off and may not know it yet.
        Raises ClusterError when nobody leads within `timeout` seconds.
        """
        deadline = time.monotonic() + timeout
        while True:
            for member in self._members:
                if member is not other_than and member.role in ("leader", "standalone"):
                    return member
            if time.monotonic() > deadline:
                raise self._error(f"nobody leads after {timeout:.1f} s")
            time.sleep(_POLL)

    def followers(self) -> list[ZooKeeperServer]:
        """The members that follow (observers do not count) at this moment."""
        return [member for member in self._members if member.role == "follower"]

    def wait_until_serving(self, *, timeout: float = 30.0) -> None:
        """Wait until every member that runs (and is not paused) serves requests and one of them leads.

        Raises ClusterError after `timeout` seconds, as soon as a server ends, and at once when none runs.
        """
        expected = [member for member in self._members if member.running and not member.paused]
        if not expected:
            raise self._error("no member runs, so none will ever serve")
        self._wait_for(expected, timeout)

    def _wait_for(self, expected: Sequence[ZooKeeperServer], timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while True:
            roles = [member.ready_role for member in expected]
            if None not in roles and sum(role in ("leader", "standalone") for role in roles) == 1:
                return
            if ended := [member for member in expected if not member.running]:
                raise self._error(f"server {ended[0].number} ended, but was expected to serve")
            if time.monotonic() > deadline:
                raise self._error(f"not every member serves with one leader after {timeout:.1f} s (roles: {roles})")
            time.sleep(_POLL)

    # What to do to it

    @property
    def damaged(self) -> bool:
        """Whether a member is paused or does not run."""
        return any(member.condition != "running" for member in self._members)

    def heal(self, *, timeout: float = 30.0) -> None:
        """Resume and start whoever is paused or stopped, and wait until all serve. Raises ClusterError."""
        for member in self._members:
            if member.paused:
                member.resume()
            member.start(wait=False)
        self._wait_for(self._members, timeout)

    def stop(self) -> None:
        """End every server, remove every file and give the ports back; a second call does nothing.

        Called in a forked child it does nothing: the servers belong to the process that started them.
        """
        if self._stopped or os.getpid() != self._owner:
            return
        self._stopped = True
        try:
            for member in self._members:
                member.close()
        finally:
            _stopped.append(StoppedCluster(repr(self), self._logs(200)))
            remove_folder(self._folder)
            release_ports(self._reserved)
            with _registry, suppress(ValueError):
                _live.remove(self)

    def _start(self, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        for member in self._members:
            member.start(wait=False)
        self._wait_for(self._members, max(0.1, deadline - time.monotonic()))

    def _logs(self, lines: int) -> tuple[tuple[str, str], ...]:
        return tuple((f"server {member.number}", member.log(lines)) for member in self._members)

    def _error(self, message: str) -> ClusterError:
        conditions = ", ".join(f"server {member.number} {member.condition}" for member in self._members)
        log = "\n".join(f"--- {name}, end of its log ---\n{text}" for name, text in self._logs(30))
        return ClusterError(f"{self!r}: {message}; {conditions}", log=log)


def _stop_all() -> None:
    for cluster in live_clusters():
        with suppress(Exception):  # at exit: the others are to be stopped as well
            cluster.stop()


atexit.register(_stop_all)
