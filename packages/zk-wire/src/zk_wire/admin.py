"""Four-letter words: the plain-text questions a server answers before any session.

Rule: no I/O; text in, values out. An answer either becomes a value, one of the two refusals a server
may give (`AdminCommandRefusedError`, `ServerNotServingError`), or a `RemoteProtocolError`.

A word is recognised only as the first four bytes of a connection; the answer is text without framing
and ends with the connection. A word the server does not know is taken for a frame length there, so it is
answered with nothing at all. Answers have no length and no terminator: one that was cut exactly at the end
of a line is told only by the lines that must be there.
Source: org.apache.zookeeper.server.command.*, ServerStats.java and ServerCnxn.java of 3.4 to 3.10.
"""

from __future__ import annotations

from .errors import LocalProtocolError, RemoteProtocolError, ZooKeeperError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final, NamedTuple
else:
    from ._typing import NamedTuple

# Every word a server of 3.4 to 3.10 knows; `stmk` alone is followed by an argument.
ADMIN_WORDS: Final = frozenset(
    "conf cons crst dirs dump envi gtmk hash isro mntr ruok srst srvr stat stmk wchc wchp wchs".split()
)

_REFUSED: Final = " is not executed because it is not in the whitelist."
_NOT_SERVING: Final = "This ZooKeeper instance is not currently serving requests"
_READ_ONLY: Final = "READ-ONLY mode"
_INT64: Final = 1 << 64
# A decimal number longer than this is no counter of a 64-bit server.
_LONGEST_NUMBER: Final = 32


class AdminCommandRefusedError(ZooKeeperError):
    """The server knows the word but its whitelist (4lw.commands.whitelist) does not allow it."""

    def __init__(self, word: str) -> None:
        super().__init__(f"{word!r} is not in the server's four-letter-word whitelist (4lw.commands.whitelist)")
        self.word = word

    def __reduce__(self) -> tuple[type[AdminCommandRefusedError], tuple[str]]:
        return type(self), (self.word,)


class ServerNotServingError(ZooKeeperError):
    """The server process runs and answered, but serves no requests now: starting, or without a quorum."""

    def __init__(self, word: str) -> None:
        super().__init__(f"the server answered {word!r} but is not currently serving requests")
        self.word = word

    def __reduce__(self) -> tuple[type[ServerNotServingError], tuple[str]]:
        return type(self), (self.word,)


class Latency(NamedTuple):
    """Request latencies in milliseconds since the server started or was reset (`srst`)."""

    min_ms: float
    avg_ms: float
    max_ms: float


class ProposalSizes(NamedTuple):
    """Sizes in bytes of a leader's proposals; -1 each before the first one."""

    last: int
    min: int
    max: int


class ConnectedClient(NamedTuple):
    """One connection of a server, as a line of `stat` or `cons`.

    host, port: the peer's address without brackets; both None where the server no longer knew it.
    interest: the selection bits in brackets (1 = waits to read).   queued, received, sent: packets.
    details: every further field of `cons`, as text (`sid`, `lop`, `est`, `to`, `lcxid`, `lzxid`, ...).
    """

    host: str | None
    port: int | None
    interest: int
    queued: int
    received: int
    sent: int
    details: dict[str, str]


class ServerStatus(NamedTuple):
    """What `srvr` and `stat` tell.

    mode: "standalone", "leader", "follower", "observer" or "read-only".   zxid: the last one processed, signed.
    received, sent: packets.   outstanding: requests queued.   clients: empty for `srvr`.
    proposal_sizes: of a leader since 3.5.4, else None.
    """

    version: str
    mode: str
    zxid: int
    latency: Latency
    received: int
    sent: int
    connections: int
    outstanding: int
    node_count: int
    read_only: bool = False
    clients: tuple[ConnectedClient, ...] = ()
    proposal_sizes: ProposalSizes | None = None


def encode_command(word: str, argument: int | None = None) -> bytes:
    """Encode a four-letter word as the bytes to send first on a new connection.

    argument: the trace mask of `stmk`, a signed 64-bit number; no other word takes one.
    Raises LocalProtocolError for a word no server knows and for a missing, needless or too large argument.
    """
    if word not in ADMIN_WORDS:
        raise LocalProtocolError(f"no four-letter word {word!r}: known are {', '.join(sorted(ADMIN_WORDS))}")
    if (argument is not None) != (word == "stmk"):
        needs = "needs its trace mask as" if word == "stmk" else "takes no"
        raise LocalProtocolError(f"four-letter word {word!r} {needs} argument, got {argument!r}")
    if argument is None:
        return word.encode("ascii")
    if not -(1 << 63) <= argument < 1 << 63:
        raise LocalProtocolError(f"four-letter word {word!r}: argument {argument} is outside a signed 64-bit number")
    return word.encode("ascii") + argument.to_bytes(8, "big", signed=True)


def parse_text(answer: bytes | str, word: str) -> str:
    """Return a whole answer as text, for the words without a parser of their own (`ruok`, `wchs`, `envi`, ...).

    Bytes that are no UTF-8 (a server may run in another locale) come out as backslash escapes.
    Raises AdminCommandRefusedError; ServerNotServingError; RemoteProtocolError for an empty answer (but to `hash`).
    """
    text = answer if isinstance(answer, str) else answer.decode("utf-8", "backslashreplace")
    if not text and word != "hash":  # a server without digests has none to tell
        raise RemoteProtocolError(f"empty answer to {word!r}: the server closed the connection without a word")
    if text.startswith(_NOT_SERVING):
        raise ServerNotServingError(word)
    if text.rstrip("\r\n") == word + _REFUSED:
        raise AdminCommandRefusedError(word)
    return text


def parse_srvr(answer: bytes | str) -> ServerStatus:
    """Parse the answer to `srvr`.

    Raises AdminCommandRefusedError; ServerNotServingError; RemoteProtocolError for any other or a cut text.
    """
    return _parse_status(answer, "srvr")


def parse_stat(answer: bytes | str) -> ServerStatus:
    """Parse the answer to `stat`: as `srvr`, with the connected clients.

    Raises AdminCommandRefusedError; ServerNotServingError; RemoteProtocolError for any other or a cut text.
    """
    return _parse_status(answer, "stat")


def parse_cons(answer: bytes | str) -> tuple[ConnectedClient, ...]:
    """Parse the answer to `cons`: the connected clients, each with its details.

    Raises AdminCommandRefusedError; ServerNotServingError; RemoteProtocolError for any other or a cut text.
    """
    return tuple(_client(line, "cons") for line in _lines(answer, "cons") if line)


def parse_mntr(answer: bytes | str) -> dict[str, int | float | str]:
    """Parse the answer to `mntr` into its `zk_...` keys; numbers become int or float, the rest stays text.

    Raises AdminCommandRefusedError; ServerNotServingError; RemoteProtocolError for any other or a cut text.
    """
    values: dict[str, int | float | str] = {}
    for line in _lines(answer, "mntr"):
        key, tab, value = line.partition("\t")
        if not tab or not key.startswith("zk_"):
            raise _bad("mntr", "a line is not zk_key<TAB>value", line)
        values[key] = _number_or_text(value)
    if "zk_version" not in values or "zk_server_state" not in values:
        raise _bad("mntr", "zk_version or zk_server_state is missing", f"{len(values)} keys")
    return values


def parse_conf(answer: bytes | str) -> dict[str, str]:
    """Parse the answer to `conf` into its keys, all as text.

    An ensemble's members are keys too (`server.1`, `version`); its heading line `membership:` is left out.
    Raises AdminCommandRefusedError; ServerNotServingError; RemoteProtocolError for any other or a cut text.
    """
    text = parse_text(answer, "conf")
    values: dict[str, str] = {}
    members = False
    for line in _split(text):
        if line.rstrip() == "membership:":
            members = True
        elif line.strip():
            key, equals, value = line.partition("=")
            if not equals or not key or key.strip() != key:
                raise _bad("conf", "a line is not key=value", line)
            values[key] = value
    # The list of members is printed as the quorum's file has it, without a newline at its end.
    if not text.endswith("\n") and not members:
        raise _bad("conf", "the last line has no end", _split(text)[-1])
    if "clientPort" not in values or "serverId" not in values or (members and "version" not in values):
        raise _bad("conf", "clientPort, serverId or the version of the membership is missing", f"{len(values)} keys")
    return values


def parse_isro(answer: bytes | str) -> bool | None:
    """Parse the answer to `isro`: True for a server in read-only mode, False for read-write, None while not serving.

    Raises AdminCommandRefusedError; ServerNotServingError; RemoteProtocolError for any other text.
    """
    text = parse_text(answer, "isro")
    known = {"ro": True, "rw": False, "null": None}
    if text.strip() not in known:
        raise _bad("isro", "neither 'ro', 'rw' nor 'null'", text)
    return known[text.strip()]


# How the texts are taken apart


def _parse_status(answer: bytes | str, word: str) -> ServerStatus:
    lines = _lines(answer, word)
    if not lines[0].startswith("Zookeeper version: "):
        raise _bad(word, "it does not begin with 'Zookeeper version: '", lines[0])
    fields: dict[str, str] = {}
    clients: list[ConnectedClient] = []
    listing = read_only = False
    for line in lines:
        if listing:
            listing = bool(line)
            if listing:
                clients.append(_client(line, word))
        elif line == "Clients:":
            listing = True
        elif line.startswith(_READ_ONLY):
            read_only = True
        elif line:
            key, colon, value = line.partition(":")
            if not colon:
                raise _bad(word, "a line is not 'name: value'", line)
            fields[key] = value.strip()
    try:
        latency = [_float(x, word, "Latency") for x in fields["Latency min/avg/max"].split("/")]
        sizes = [_int(x, word, "Proposal sizes") for x in fields.get("Proposal sizes last/min/max", "0/0/0").split("/")]
        status = ServerStatus(
            version=fields["Zookeeper version"],
            mode=fields["Mode"],
            zxid=_zxid(fields["Zxid"], word),
            latency=Latency(*latency),
            received=_int(fields["Received"], word, "Received"),
            sent=_int(fields["Sent"], word, "Sent"),
            connections=_int(fields["Connections"], word, "Connections"),
            outstanding=_int(fields["Outstanding"], word, "Outstanding"),
            node_count=_int(fields["Node count"], word, "Node count"),
            read_only=read_only or fields["Mode"] == "read-only",
            clients=tuple(clients),
            proposal_sizes=ProposalSizes(*sizes) if "Proposal sizes last/min/max" in fields else None,
        )
    except KeyError as missing:
        raise _bad(word, f"the line {missing.args[0]!r} is missing", f"{len(lines)} lines") from missing
    except TypeError as wrong:
        raise _bad(word, "min/avg/max or last/min/max is not three numbers", repr(fields)) from wrong
    return status


def _client(line: str, word: str) -> ConnectedClient:
    """Parse ` /ip:port[ops](queued=0,recved=5,sent=5,...)`; the address may be `/[v6]:port`, `/v6:port` or `null`."""
    head, bracket, inside = line.strip().partition("](")
    address, opening, interest = head.rpartition("[")
    if not bracket or not opening or not inside.endswith(")"):
        raise _bad(word, "a client's line is not address[ops](key=value,...)", line)
    details: dict[str, str] = {}
    for item in inside[:-1].split(","):
        key, equals, value = item.partition("=")
        if not equals:
            raise _bad(word, "a client's field is not key=value", line)
        details[key] = value
    if address in ("", "null", "/null"):
        host, port = None, None
    else:
        name, colon, digits = address.rpartition(":")
        if not colon:
            raise _bad(word, "a client's address has no port", line)
        host = (name.partition("/")[2] or name).strip("[]")
        port = _int(digits, word, "port")
    try:
        queued, received, sent = (_int(details.pop(key), word, key) for key in ("queued", "recved", "sent"))
    except KeyError as missing:
        raise _bad(word, f"a client's field {missing.args[0]!r} is missing", line) from missing
    return ConnectedClient(host, port, _int(interest, word, "interest"), queued, received, sent, details)


def _lines(answer: bytes | str, word: str) -> list[str]:
    """The lines of an answer whose every line ends with a newline."""
    text = parse_text(answer, word)
    if not text.endswith("\n"):
        raise _bad(word, "the last line has no end", _split(text)[-1])
    return _split(text)


def _split(text: str) -> list[str]:
    """Lines end with a newline only: names may contain the other characters that str.splitlines() cuts at."""
    return text.replace("\r\n", "\n").removesuffix("\n").split("\n")


def _int(text: str, word: str, name: str) -> int:
    digits = text[1:] if text.startswith("-") else text
    if not digits.isascii() or not digits.isdigit() or len(digits) > _LONGEST_NUMBER:
        raise _bad(word, f"{name} is not a whole number", text)
    return int(text)


def _float(text: str, word: str, name: str) -> float:
    value = _number_or_text(text)
    if isinstance(value, str):
        raise _bad(word, f"{name} is not a number", text)
    return float(value)


def _zxid(text: str, word: str) -> int:
    """`0x` and the unsigned hexadecimal form of a signed number."""
    digits = text[2:].lower()
    if not text.startswith("0x") or not 0 < len(digits) <= 16 or digits.strip("0123456789abcdef"):
        raise _bad(word, "Zxid is not 0x and at most 16 hexadecimal digits", text)
    value = int(digits, 16)
    return value - _INT64 if value >= _INT64 >> 1 else value


def _number_or_text(text: str) -> int | float | str:
    """Numbers as Java prints them (`7`, `-1`, `0.25`, `1.0E7`, `NaN`); anything else unchanged."""
    digits = text[1:] if text.startswith("-") else text
    if not digits.isascii() or len(digits) > _LONGEST_NUMBER or "_" in digits:
        return text
    if digits.isdigit():
        return int(text)
    if not digits[:1].isdigit() and digits not in ("NaN", "Infinity"):
        return text
    try:
        return float(text)
    except ValueError:
        return text


def _bad(word: str, rule: str, seen: str) -> RemoteProtocolError:
    shown = seen if len(seen) <= 120 else seen[:117] + "..."
    return RemoteProtocolError(f"bad answer to {word!r}: {rule}: {shown!r}")
