"""A real ZooKeeper server set up so that neither its disk nor its throttle paces the client.

Rule: the server comes from zk_testing (found there, or downloaded); where none can be had the benchmark says so.
Data lies in memory, nothing is synced to a disk, the limit on outstanding requests is lifted, the compiler of the
JVM is the full one, ticks have their usual length. It still needs tens of microseconds of CPU for a request and shares
the cores with the client, so its own speed is the limit in wall time: compare ratios, and CPU before wall time.
"""

from __future__ import annotations

from types import TracebackType

HEAP_MB = 1024


class NoRealServerError(Exception):
    """No real server can be had here."""


class RealServer:
    """One standalone server; a context manager that ends it and removes its files."""

    kind = "real"

    def __init__(self, version: str) -> None:
        try:
            from zk_testing.cluster import start_cluster
            from zk_testing.errors import NoServerError
        except ImportError as error:
            raise NoRealServerError(f"zk_testing is not installed ({error})") from error
        try:
            self._cluster = start_cluster(
                1,
                version,
                tick_ms=2000,
                config={"snapCount": 2_000_000, "minSessionTimeout": 2000, "maxSessionTimeout": 120_000},
                java_properties={"zookeeper.forceSync": "no", "zookeeper.globalOutstandingLimit": 100_000},
                jvm_flags=("-XX:TieredStopAtLevel=4", "-Xms512m"),
                heap_mb=HEAP_MB,
            )
        except NoServerError as error:
            raise NoRealServerError(str(error)) from error
        member = self._cluster[0]
        pid = member.pid
        if pid is None:
            raise NoRealServerError("the server ended as soon as it had started")
        host, _, port = member.address.rpartition(":")
        self.host, self.port, self.pid, self.version = host, int(port), pid, self._cluster.version

    def pin(self, core: int | None) -> None:
        """A JVM on one core would measure its compiler and collector: never confined."""

    def __enter__(self) -> RealServer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._cluster.stop()
