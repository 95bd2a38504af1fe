"""Where the servers are: the connection string, and the order in which hosts are tried.

Rule: nothing here resolves a name or draws a random number. The handler resolves a host each time it is
tried, so an address that changed in the DNS is found in the next round; the shuffling is handed in.

Source: ConnectStringParser.java for the form `host:port,[v6]:port/chroot`, default port 2181.
"""

from __future__ import annotations

from zk_wire import InvalidPathError, check_path

from .errors import ConfigurationError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import NamedTuple
else:
    from ._typing import NamedTuple

DEFAULT_PORT = 2181


class Host(NamedTuple):
    """A server's name or address as configured, and its client port."""

    name: str
    port: int

    def __str__(self) -> str:
        return f"[{self.name}]:{self.port}" if ":" in self.name else f"{self.name}:{self.port}"


def parse_hosts(hosts: str | Iterable[str]) -> tuple[tuple[Host, ...], str]:
    """Read a connection string: its hosts, in the order given, and its chroot ("" for none).

    hosts: `"h1:2181,[::1]:2182/chroot"`, or the same as a list of strings of which the last may carry the chroot.
    Raises ConfigurationError that names the part and the rule.
    """
    if not isinstance(hosts, str):
        parts = [] if isinstance(hosts, bytes) else list(hosts)
        if not parts or not all(isinstance(part, str) for part in parts):
            raise _refused(f"hosts must be a str, or a list of str that is not empty, not {hosts!r}")
        for part in parts[:-1]:
            if "/" in part:
                raise _refused(f"hosts {hosts!r}: only the last part may carry the chroot, not {part!r}")
        hosts = ",".join(parts)
    listed, slash, rest = hosts.partition("/")
    chroot = slash + rest if rest else ""
    if chroot:
        try:
            check_path(chroot)
        except InvalidPathError as error:
            # Whose text is in this one's, where it is redacted.
            raise _refused(f"hosts {hosts!r}: bad chroot: {error}") from None
    parsed = tuple(_parse_host(part, hosts) for part in listed.split(","))
    return parsed, chroot


def _parse_host(part: str, whole: str) -> Host:
    text = part.strip()
    if not text:
        raise _refused(f"hosts {whole!r}: empty host; write host:port, separated by single commas")
    if text.startswith("["):
        name, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise _refused(f"hosts {whole!r}: {text!r} is not of the form [IPv6 address]:port")
        port = rest[1:]
    elif text.count(":") > 1:
        raise _refused(f"hosts {whole!r}: {text!r} looks like an IPv6 address; write it as [{text}]:port")
    else:
        name, _, port = text.partition(":")
    if not name or any(c.isspace() or c in "@/?#" for c in name):
        raise _refused(f"hosts {whole!r}: {name!r} is not a host name or address")
    if not port:
        return Host(name.lower(), DEFAULT_PORT)
    if not (port.isascii() and port.isdigit()) or not 0 < int(port) < 65536:
        raise _refused(f"hosts {whole!r}: port {port!r} of {name!r} is not a number from 1 to 65535")
    return Host(name.lower(), int(port))


def _refused(message: str) -> ConfigurationError:
    """The error of a connection string; what stands before an `@` in it may be somebody's password."""
    import re

    return ConfigurationError(re.sub(r"[^,\s'\"]*@", "***@", message))


class HostList:
    """The hosts in the order they are tried, round after round.

    shuffle: reorders the list in place at the start of each round; None keeps the order given.
    fallback: hosts that end every round, when none of the others will do.
    """

    __slots__ = (
        "_fallback",
        "_hosts",
        "_new",
        "_old",
        "_preferred",
        "_round",
        "_takes_new",
        "rounds",
        "shuffle",
    )

    def __init__(
        self,
        hosts: Iterable[Host],
        shuffle: Callable[[list[Host]], None] | None = None,
        fallback: Iterable[Host] = (),
    ) -> None:
        self.shuffle = shuffle
        self._round: list[Host] = []
        self._preferred: Host | None = None
        self._new: list[Host] | None = None  # of a move under way, see `move`
        self._old: list[Host] | None = None
        self._takes_new: Callable[[], bool] | None = None
        self.rounds = 0
        self.replace(hosts, fallback)

    def __len__(self) -> int:
        return len(self._hosts)

    def __iter__(self) -> Iterator[Host]:
        return iter(self._hosts)

    @property
    def hosts(self) -> tuple[Host, ...]:
        """The hosts, without those to fall back to."""
        return self._hosts

    @property
    def fallback(self) -> tuple[Host, ...]:
        """The hosts that end every round."""
        return self._fallback

    @property
    def everyone(self) -> tuple[Host, ...]:
        """Every host there is."""
        return (*self._hosts, *self._fallback)

    @property
    def round_ended(self) -> bool:
        """Whether every host of this round was tried, so that the next one starts a new round."""
        return not (self._round or self._new or self._old) and self._preferred is None

    def replace(self, hosts: Iterable[Host], fallback: Iterable[Host] = ()) -> None:
        """Have other hosts from now on; a new round begins. Raises ConfigurationError when there are none."""
        listed = tuple(dict.fromkeys(hosts))
        if isinstance(hosts, tuple) and listed == hosts:
            listed = hosts  # one of the two is enough
        if not listed:
            raise ConfigurationError("no hosts given; at least one host:port is needed")
        self._hosts = listed
        self._fallback = tuple(host for host in dict.fromkeys(fallback) if host not in listed)
        self._round = []
        self._preferred = None
        self._end_move()

    def move(self, new: Iterable[Host], old: Iterable[Host], takes_new: Callable[[], bool]) -> None:
        """Before the next round, try these first, each once.

        takes_new: asked, as long as there are both, whether it is to be one of the new ones.
        """
        self._new, self._old = self._shuffled(new)[::-1], self._shuffled(old)[::-1]
        self._takes_new = takes_new

    def next(self) -> Host:
        """The host to try now."""
        if self._preferred is not None:
            host, self._preferred = self._preferred, None
            return host
        if self._new and (not self._old or (self._takes_new is not None and self._takes_new())):
            return self._new.pop()
        if self._old:
            return self._old.pop()
        if not self._round:
            self._begin_round()
            self.rounds += 1
        return self._round.pop()

    def prefer(self, host: Host) -> None:
        """Try this host next, before the round goes on (a read-write server was found there)."""
        self._preferred = host

    def restart(self, last: Host | None) -> None:
        """Begin a new round after a connection that had worked; the host that was lost comes last in it."""
        self._end_move()
        self._begin_round()
        if last is not None and last in self._round and len(self._round) > 1:
            self._round.remove(last)
            self._round.insert(0, last)

    def _begin_round(self) -> None:
        self._round = [*self._shuffled(self._hosts), *self._shuffled(self._fallback)][::-1]

    def _shuffled(self, hosts: Iterable[Host]) -> list[Host]:
        order = list(hosts)
        if order and self.shuffle is not None:
            self.shuffle(order)
        return order

    def _end_move(self) -> None:
        self._new = self._old = self._takes_new = None
