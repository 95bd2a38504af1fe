"""Who belongs to an ensemble: the text of /zookeeper/config, and what `reconfig` makes of it.

Rule: pure; a configuration is a value. What a member does when it changes is in quorum.py.

Source: QuorumPeer.QuorumServer, QuorumMaj.java, QuorumPeerConfig.java, PrepRequestProcessor.java (reconfig).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

from zk_wire import ErrorCode, ReconfigRequest

from .refusal import RefusedError

__all__ = ["Configuration", "ServerLine"]

_LINE = re.compile(
    r"(?P<host>\[[^\]]+\]|[^:;\[\]]+):(?P<quorum>\d+):(?P<election>\d+)(?::(?P<role>[a-z]+))?;(?P<client>.+)"
)
_CLIENT = re.compile(r"(?:(?P<host>\[[^\]]+\]|[^:\[\]]+):)?(?P<port>\d+)")
_LEAST_VOTERS = 2  # of an ensemble that may not become a standalone server


class ServerLine(NamedTuple):
    """One member: `host:quorum:election:role;client`."""

    host: str
    quorum_port: int
    election_port: int
    votes: bool
    client: str

    @classmethod
    def parse(cls, text: str) -> ServerLine:
        """Read what stands behind `server.N=`. Raises ValueError."""
        line = _LINE.fullmatch(text.strip())
        client = None if line is None else _CLIENT.fullmatch(line["client"])
        if line is None or client is None or line["role"] not in (None, "participant", "observer"):
            raise ValueError(f"no server line: {text!r}")
        return cls(
            line["host"],
            int(line["quorum"]),
            int(line["election"]),
            line["role"] != "observer",
            f"{client['host'] or '0.0.0.0'}:{client['port']}",
        )

    def __str__(self) -> str:
        role = "participant" if self.votes else "observer"
        return f"{self.host}:{self.quorum_port}:{self.election_port}:{role};{self.client}"

    def collides_with(self, other: ServerLine) -> bool:
        """Whether two members would listen on one port of one host."""
        mine = {(self.host, self.quorum_port), (self.host, self.election_port)}
        theirs = {(other.host, other.quorum_port), (other.host, other.election_port)}
        return bool(mine & theirs) or self.client == other.client


@dataclass(frozen=True, slots=True)
class Configuration:
    """All members by number.   version: the zxid of the change that made it."""

    servers: dict[int, ServerLine]
    version: int

    @classmethod
    def parse(cls, data: bytes) -> Configuration:
        """Read the data of /zookeeper/config. Raises ValueError."""
        *lines, last = data.decode().split("\n")
        return cls(_servers(lines), int(last.removeprefix("version="), 16))

    @property
    def voters(self) -> frozenset[int]:
        """The numbers of those that vote."""
        return frozenset(number for number, line in self.servers.items() if line.votes)

    @property
    def quorum(self) -> int:
        """How many voters have to agree."""
        return len(self.voters) // 2 + 1

    def observes(self, number: int) -> bool:
        """Whether a member is an observer; who is not named at all is not."""
        line = self.servers.get(number)
        return line is not None and not line.votes

    def server_line(self, number: int) -> str:
        """The line of a member; "" for one that is not named."""
        line = self.servers.get(number)
        return "" if line is None else f"server.{number}={line}"

    def encode(self) -> bytes:
        """The data of /zookeeper/config."""
        lines = [self.server_line(number) for number in sorted(self.servers)]
        return "\n".join([*lines, f"version={self.version:x}"]).encode()

    def changed(self, request: ReconfigRequest, version: int) -> Configuration:
        """Return what a request makes of it; refuses with -103, -8, or -5 for a leaving id that is no number."""
        if request.cur_config_id not in (-1, self.version):
            raise RefusedError(ErrorCode.BAD_VERSION)
        try:
            if request.new_members is not None:
                servers = _servers(re.split(r"[,\n]", request.new_members))
            else:
                servers = self._joined(self._left(request.leaving_servers), request.joining_servers)
        except ValueError:
            raise RefusedError(ErrorCode.BAD_ARGUMENTS) from None
        following = Configuration(servers, version)
        if len(following.voters) < _LEAST_VOTERS:
            raise RefusedError(ErrorCode.BAD_ARGUMENTS)
        return following

    def _left(self, leaving: str | None) -> dict[int, ServerLine]:
        servers = dict(self.servers)
        for text in _split(leaving):
            try:
                servers.pop(int(text), None)
            except ValueError:
                raise RefusedError(ErrorCode.MARSHALLING_ERROR) from None
        return servers

    def _joined(self, servers: dict[int, ServerLine], joining: str | None) -> dict[int, ServerLine]:
        for text in _split(joining):
            for number, line in _servers([text]).items():
                if any(line.collides_with(other) for known, other in servers.items() if known != number):
                    raise ValueError(f"a port of {text!r} is taken")
                servers[number] = line
        return servers


def _split(text: str | None) -> list[str]:
    return [part.strip() for part in (text or "").split(",") if part.strip()]


def _servers(lines: list[str]) -> dict[int, ServerLine]:
    servers: dict[int, ServerLine] = {}
    for text in lines:
        if not text.strip():
            continue
        name, equals, value = text.strip().partition("=")
        number = name.removeprefix("server.")
        if not equals or number == name or not number.isdecimal():
            raise ValueError(f"no server line: {text!r}")
        servers[int(number)] = ServerLine.parse(value)
    return servers
