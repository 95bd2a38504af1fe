"""What an embedded server can be told to be.

Rule: the defaults are those of `start_cluster`, so that a test means the same on both.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from zk_wire import ADMIN_WORDS

from .permissions import digest_of
from .prepare import Rules
from .versions import profile_of

__all__ = ["EnsembleSettings", "Settings"]

_LEAST_FRAME = 64  # bytes; a connect request with a password of 16 has 45
_MOST_SERVERS = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The configuration of one server; times in milliseconds, as in a server's configuration file.

    version: a line ("3.9"), a release ("3.8.4") or "newest".   min/max_session_timeout_ms: None is 2 ticks, and
    20 ticks or 60 s, whichever is longer.   super_credential: who passes every check, as "user:password"; None is
    nobody.   local_sessions: what a member of an ensemble grants, and a read-only server of 3.7 or newer, which grants
    none without.   local_session_upgrading: an ephemeral node makes a local session one of the whole ensemble.
    ttl_nodes: as extendedTypesEnabled.   reconfig: as reconfigEnabled.   admin_words: those allowed, None for all.
    auth_required: schemes of which a connection needs one before any request.   max_frame: jute.maxbuffer, in bytes.
    container_check_ms: between two looks for containers and TTL nodes whose time has come.
    never_used_ms: after which a container that never had children goes; None is the version's default, 0 is never.
    first_zxid: what a single server counts its zxids from; those of an ensemble begin with the number of its leader.
    """

    version: str = "3.9"
    tick_ms: int = 200
    min_session_timeout_ms: int | None = None
    max_session_timeout_ms: int | None = None
    super_credential: str | None = field(default="super:test", repr=False)
    ttl_nodes: bool = True
    enforce_quotas: bool = False
    reconfig: bool = False
    skip_acl: bool = False
    admin_words: frozenset[str] | None = None
    auth_required: frozenset[str] = frozenset()
    local_sessions: bool = False
    local_session_upgrading: bool = False
    max_client_connections: int = 0
    max_frame: int = 0xFFFFF
    container_check_ms: int = 1000
    never_used_ms: int | None = None
    server_id: int = 1
    first_zxid: int = 0

    def __post_init__(self) -> None:
        """Refuse what no server could be; raises ValueError."""
        profile_of(self.version)
        if self.tick_ms < 1 or self.container_check_ms < 1:
            raise ValueError(
                f"tick_ms and container_check_ms are at least 1, not {self.tick_ms} and {self.container_check_ms}"
            )
        self._check_limits()
        if not 0 <= self.first_zxid < 1 << 62:
            raise ValueError(f"first_zxid is at least 0 and below {1 << 62}, not {self.first_zxid}")
        least, most = self.timeout_bounds_ms()
        if not 0 < least <= most:
            raise ValueError(f"session timeouts lie between 0 and the longest, not from {least} ms to {most} ms")

    def _check_limits(self) -> None:
        if self.max_client_connections < 0 or (self.never_used_ms or 0) < 0:
            raise ValueError(
                "max_client_connections and never_used_ms are at least 0, where they mean no limit, "
                f"not {self.max_client_connections} and {self.never_used_ms}"
            )
        if self.max_frame < _LEAST_FRAME:
            raise ValueError(f"max_frame is at least {_LEAST_FRAME} bytes, for connect requests, not {self.max_frame}")
        if not 0 <= self.server_id <= _MOST_SERVERS:
            raise ValueError(
                f"server_id is 0 to {_MOST_SERVERS}, the first byte of a session's id, not {self.server_id}"
            )
        unknown = sorted((self.admin_words or frozenset()) - ADMIN_WORDS)
        if unknown:
            raise ValueError(f"admin_words are any of {', '.join(sorted(ADMIN_WORDS))}, not {', '.join(unknown)}")

    def timeout_bounds_ms(self) -> tuple[int, int]:
        """The shortest and the longest session timeout."""
        least = 2 * self.tick_ms if self.min_session_timeout_ms is None else self.min_session_timeout_ms
        most = self.max_session_timeout_ms
        return least, max(60_000, 20 * self.tick_ms) if most is None else most

    def rules(self) -> Rules:
        """What the checks of writes ask for."""
        return Rules(profile_of(self.version), self.ttl_nodes, self.enforce_quotas, self.reconfig, self.skip_acl)

    def super_digest(self) -> str | None:
        """The digest id that makes a connection the super user."""
        return None if self.super_credential is None else digest_of(self.super_credential.encode())


@dataclass(frozen=True, slots=True, kw_only=True)
class EnsembleSettings:
    """The configuration of an ensemble.

    size: of all members.   observers: how many of them, the last ones, do not vote.   server: of each member.
    sync_limit: after how many ticks of silence a follower gives its leader up; a leader without a quorum gives itself
    up one tick later.   election_ms: how long it takes from the moment a leader could be found.
    read_only: members without a quorum serve read-only clients.
    read_only_after_ms: how long after they have lost it; None is 2 s, or a tick where that is longer.
    """

    size: int = 3
    observers: int = 0
    server: Settings = field(default_factory=Settings)
    sync_limit: int = 10
    election_ms: int = 20
    read_only: bool = False
    read_only_after_ms: int | None = None

    def __post_init__(self) -> None:
        """Refuse what no ensemble could be; raises ValueError."""
        if not 2 <= self.size - self.observers <= self.size <= _MOST_SERVERS:
            raise ValueError(
                f"an ensemble has at least two members that vote, not size={self.size} with observers={self.observers}"
            )
        if self.sync_limit < 1 or self.election_ms < 0 or (self.read_only_after_ms or 0) < 0:
            raise ValueError(
                "sync_limit is at least 1, election_ms and read_only_after_ms at least 0, "
                f"not {self.sync_limit}, {self.election_ms} and {self.read_only_after_ms}"
            )

    @property
    def silence_ms(self) -> int:
        """How long a follower does without its leader."""
        return self.sync_limit * self.server.tick_ms

    @property
    def read_only_ms(self) -> int:
        """How long a member that looks for a leader serves nobody."""
        if self.read_only_after_ms is not None:
            return self.read_only_after_ms
        return max(2000, self.server.tick_ms)
