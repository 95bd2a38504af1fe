"""A stage for scenes: conversations written by hand, held with two servers at a time over real sockets.

Rule: a scene is a function that is given a stage, and does the same whoever the server is; what it hears and notes is
its record, and the records of both servers must be equal. It waits for what must come, never for a time.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from conformance_told import DifferenceError, Ear, xid_of

from zk_wire import (
    AuthPacket,
    CloseSessionRequest,
    ConnectRequest,
    ConnectResponse,
    FrameBuffer,
    PingRequest,
    Request,
    parse_srvr,
)

__all__ = ["Caller", "Scene", "Stage", "compare", "compare_records"]

_PATIENCE = 8.0  # seconds


class Caller:
    """One connection of a scene.   host: from which address of the loopback network it comes."""

    def __init__(self, stage: Stage, name: str, host: str = "127.0.0.1") -> None:
        self._stage = stage
        self.name = name
        self.ended = False
        try:
            self._socket = socket.create_connection(stage.address, _PATIENCE, source_address=(host, 0))
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except (BrokenPipeError, ConnectionResetError):  # accepted and closed before we knew
            self._socket = socket.socket()
            self.ended = True
        self._frames = FrameBuffer()
        self._inbox: list[bytes] = []
        self._asked: dict[int, Request[Any]] = {}
        self._xid = 0
        self.session = (0, bytes(16))

    def note(self, *what: object) -> None:
        """Put something into the record."""
        self._stage.record.append((self.name, *what))

    def send(self, data: bytes) -> None:
        """Send bytes as they are; a connection that is gone swallows them."""
        try:
            self._socket.sendall(data)
        except OSError:
            pass

    def connect(self, behind: Sequence[Request[Any]] = (), **fields: Any) -> Caller:
        """Ask for a session, or with `session_id` for an old one, and note the answer."""
        fields.setdefault("timeout_ms", 10_000)
        content = ConnectRequest(**fields).encode()
        self.send(len(content).to_bytes(4, "big") + content + b"".join(map(self._frame, behind)))
        self.take_answer()
        if behind:
            self.hear(len(behind))
        return self

    def take_answer(self) -> None:
        """Note the answer to a connect request, or that none came."""
        while not self.ended and not self._inbox:
            self._read()
        if not self._inbox:
            self.note("refused without a word")
            return
        frame = self._inbox.pop(0)
        if len(frame) < 36:
            self.note("answered with", len(frame), *self._stage.ear.told([frame], {}))
            return
        answer = ConnectResponse.decode(frame)
        self.session = (answer.session_id, answer.password)
        self.note("session", self._stage.ear.meet(answer.session_id), answer.timeout_ms, answer.read_only)

    def resume(self, other: Caller, **fields: Any) -> Caller:
        """Ask for the session of another connection."""
        number, password = other.session
        return self.connect(**{"session_id": number, "password": password} | fields)

    def _frame(self, request: Request[Any]) -> bytes:
        self._xid += 1
        self._asked[self._xid] = request
        content = self._xid.to_bytes(4, "big", signed=True) + request.payload()
        return len(content).to_bytes(4, "big") + content

    def ask(self, *requests: Request[Any]) -> None:
        """Send requests in one segment; note what comes until all of them are answered, or the end."""
        self.send(b"".join(map(self._frame, requests)))
        self.hear(len(requests))

    def ask_bytes(self, opcode: int, body: bytes, xid: int = 1_000_000) -> None:
        """Send what may be no request, and note what comes."""
        content = xid.to_bytes(4, "big", signed=True) + opcode.to_bytes(4, "big", signed=True) + body
        self.send(len(content).to_bytes(4, "big") + content)
        self.hear(1)

    def hear(self, replies: int) -> None:
        """Note what comes until so many replies are there, or the end."""
        while not self.ended and sum(xid_of(frame) != -1 for frame in self._inbox) < replies:
            self._read()
        self._tell()

    def hear_events(self, count: int) -> None:
        """Note what comes until so many events are there, or the end."""
        while not self.ended and sum(xid_of(frame) == -1 for frame in self._inbox) < count:
            self._read()
        self._tell()

    def hear_end(self) -> None:
        """Note what comes until the server ends the connection."""
        while not self.ended:
            self._read()
        self._tell()

    def _tell(self) -> None:
        frames, self._inbox = self._inbox, []
        for told in self._stage.ear.told(frames, self._asked):
            self.note(*told)
        if self.ended:
            self.note("ended")

    def ping(self) -> None:
        """Note everything that was sent until now."""
        self.ask(PingRequest())

    def close(self) -> None:
        """End the connection without a word."""
        self._socket.close()

    def leave(self) -> None:
        """End the session."""
        self.ask(CloseSessionRequest())
        self.hear_end()

    def _read(self) -> None:
        try:
            data = self._socket.recv(1 << 18)
        except TimeoutError:
            before = self._stage.tail()
            raise DifferenceError(f"{self.name} heard nothing for {_PATIENCE} s; before: {before}") from None
        except ConnectionError:
            data = b""
        if not data:
            self.ended = True
        self._inbox += self._frames.feed(data)


class Stage:
    """Where a scene is played: one server.   record: what was heard and noted."""

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self.address = (host, int(port))
        self.record: list[tuple[Any, ...]] = []
        self._callers: list[Caller] = []
        self.before: Caller | None = None  # who was there before a server lost its quorum
        self.ear = Ear(parse_srvr(self.word("srvr")).zxid)

    def call(self, name: str, host: str = "127.0.0.1") -> Caller:
        """Open a connection."""
        caller = Caller(self, name, host)
        self._callers.append(caller)
        return caller

    def meet(self, name: str, host: str = "127.0.0.1", *, auth: bytes | None = None, **fields: Any) -> Caller:
        """Open a connection with a session."""
        caller = self.call(name, host).connect(**fields)
        if auth is not None:
            caller.ask(AuthPacket("digest", auth))
        return caller

    def word(self, word: str) -> str:
        """Ask a four-letter word."""
        with socket.create_connection(self.address, _PATIENCE) as connection:
            connection.sendall(word.encode())
            pieces: list[bytes] = []
            while piece := connection.recv(1 << 16):
                pieces.append(piece)
        return b"".join(pieces).decode()

    def note(self, *what: object) -> None:
        """Put something into the record."""
        self.record.append(what)

    def within(self, began: float, least: float, most: float) -> None:
        """Note whether as many seconds have passed since a moment of the monotonic clock."""
        passed = time.monotonic() - began
        self.note("after", f"{least} to {most} s" if least <= passed <= most else f"{passed:.3f} s")

    def tail(self) -> str:
        """The end of the record, for errors."""
        return "\n    ".join(map(repr, self.record[-4:]))

    def hang_up(self) -> None:
        """Close what is open."""
        for caller in self._callers:
            caller.close()

    def clear(self) -> None:
        """Close what is open; and end the sessions, so that the next scene finds none."""
        self.hang_up()
        for number, password in {caller.session for caller in self._callers if caller.session[0]}:
            last = self.call("the end").connect(session_id=number, password=password)
            if last.session[0]:
                last.leave()
            last.close()


Scene = Callable[[Stage], None]


def compare(scene: Scene, real: str, embedded: str) -> int:
    """Play a scene on both; raise DifferenceError where the records part, else tell how long they are."""
    with ThreadPoolExecutor(2) as pool:
        records = list(pool.map(lambda address: _record(scene, address), (real, embedded)))
    return compare_records(scene.__name__, *records)


def compare_records(name: str, real: list[tuple[Any, ...]], embedded: list[tuple[Any, ...]]) -> int:
    """Raise DifferenceError where two records part, else tell how long they are."""
    for index in range(max(len(real), len(embedded))):
        ours = [record[index : index + 1] for record in (real, embedded)]
        if ours[0] != ours[1]:
            before = "\n            ".join(map(repr, real[max(0, index - 3) : index]))
            raise DifferenceError(
                f"{name}, entry {index}\n    before: {before}\n      real: {ours[0]}\n  embedded: {ours[1]}"
            )
    return len(real)


def _record(scene: Scene, address: str) -> list[tuple[Any, ...]]:
    stage = Stage(address)
    try:
        scene(stage)
    finally:
        record = list(stage.record)
        stage.clear()
    return record
