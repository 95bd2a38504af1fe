"""Plays the same steps to a real and to an embedded server, and compares everything that can be seen.

Rule: both begin each play in the same state, down to the zxid, so that zxids are compared as they are
(conformance_told.py says what is not). Where a server promises no order (the events of one closed session, the answers
to authentication among others), none is compared.

What is played is in conformance_steps.py, what hypothesis makes of it in conformance_scripts.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from conformance_lines import EmbeddedLine, RealLine, frame
from conformance_steps import SLOTS, Ask, Burst, Bytes, Connect, Lose, Step, Word, is_harmless
from conformance_told import DifferenceError, Ear
from conformance_words import plain_word

from zk_testing.cluster import Cluster
from zk_testing.embedded import MemoryServer, Settings
from zk_testing.rawclient import RawClient
from zk_wire import (
    OPEN_ACL_UNSAFE,
    READ_ACL_UNSAFE,
    AuthPacket,
    CloseSessionRequest,
    ConnectRequest,
    ConnectResponse,
    DeleteRequest,
    GetACLRequest,
    GetChildrenRequest,
    GetDataRequest,
    NoNodeError,
    PingRequest,
    Request,
    SaslRequest,
)

__all__ = ["Pair"]

CONFIG = "/zookeeper/config"
_ROUNDS = 50  # questions until a real server has noticed that connections are gone
_NOBODY = (0, bytes(16))


@dataclass
class _Slot:
    real: RealLine | None = None
    embedded: EmbeddedLine | None = None
    real_session: tuple[int, bytes] = _NOBODY
    embedded_session: tuple[int, bytes] = _NOBODY
    xid: int = 0
    unordered: bool = False  # a session has ended since the last comparison: the order of its nodes' events is free


@dataclass
class Pair:
    """A real server and embedded ones made equal to it."""

    cluster: Cluster
    settings: Settings
    played: int = 0  # operations that were compared
    kinds: Counter[str] = field(default_factory=Counter)

    def __repr__(self) -> str:
        return f"Pair({self.cluster.version})"

    def play(self, steps: list[Step]) -> None:
        """Play steps to both; raises DifferenceError with what was said at the first difference."""
        game = _Game(self)
        try:
            for slot in range(SLOTS):
                game.step(Connect(slot))
            for step in steps:
                try:
                    game.step(step)
                except DifferenceError as error:
                    raise DifferenceError(f"{step}: {error}") from None
                self._count(step)
            game.compare_the_rest()
        finally:
            game.end()

    def _count(self, step: Step) -> None:
        requests = [*step.requests] if isinstance(step, Burst) else [step.request] if isinstance(step, Ask) else [step]
        self.played += len(requests)
        self.kinds.update(type(request).__name__ for request in requests)


class _Game:
    def __init__(self, pair: Pair) -> None:
        self._address = pair.cluster[0].address
        self._member = pair.cluster[0]
        self._slots = [_Slot() for _ in range(SLOTS)]
        self._ears = (Ear(), Ear())
        self._opened: list[RealLine] = []
        self.server = MemoryServer(pair.settings)
        self._make_equal()

    # The beginning and the end

    def _make_equal(self) -> None:
        """Empty the real server, and let the embedded one begin where that is."""
        core = self.server.core
        with RawClient(self._address, session_timeout=60) as raw:
            raw.auth("digest", b"super:test")
            for path in ("/", "/zookeeper", "/zookeeper/quota"):
                for name in raw.request(GetChildrenRequest(path, False)).children:
                    if name not in ("zookeeper", "quota", "config"):
                        _delete(raw, f"{path.rstrip('/')}/{name}")
            for path in ("/", "/zookeeper", "/zookeeper/quota", CONFIG):
                data, stat = (reply := raw.request(GetDataRequest(path, False))).data, reply.stat
                assert raw.request(GetACLRequest(path)).acl == list(
                    READ_ACL_UNSAFE if path == CONFIG else OPEN_ACL_UNSAFE
                )
                node = core.tree.nodes[path]
                node.data = data
                node.version, node.mzxid, node.mtime = stat.version, stat.mzxid, stat.mtime
                node.pzxid, node.creations = stat.pzxid, (stat.cversion + stat.num_children) // 2
            exchange = raw.send(CloseSessionRequest())
            raw.wait(exchange)
            core.last_zxid = exchange.zxid

    def end(self) -> None:
        """Close what is open; sessions too, so that the next play finds the server empty."""
        for line in self._opened:
            line.close()
        for slot in self._slots:
            if slot.real_session[0]:
                _end_session(self._address, slot.real_session)

    # One step

    def step(self, step: Step) -> None:
        if isinstance(step, Word):
            self._word(step.word)
            return
        slot = self._slots[step.slot]
        if isinstance(step, Connect):
            self._connect(slot, step)
            return
        if slot.real is None or slot.embedded is None or slot.embedded.ended:
            return
        match step:
            case Lose():
                self._flush(slot)
                slot.real.close()
                slot.embedded.close()
                slot.real = slot.embedded = None
            case Burst():
                self._burst(slot, step.requests)
            case Ask():
                assert is_harmless(step.request), step
                slot.xid += 1
                xid = slot.xid if step.xid is None else step.xid
                self._exchange(slot, xid, step.request.payload(), {xid: step.request})
            case Bytes():
                assert step.opcode not in (13, 21), step
                slot.xid += 1
                self._exchange(slot, slot.xid, step.opcode.to_bytes(4, "big", signed=True) + step.body, {})

    def _exchange(self, slot: _Slot, xid: int, payload: bytes, asked: Mapping[int, Request[Any]]) -> None:
        real, embedded = slot.real, slot.embedded
        assert real is not None and embedded is not None
        framed = frame(xid, payload)
        real.send(framed)
        embedded.send(framed)
        opcode = int.from_bytes(payload[:4], "big", signed=True)
        real.read_until([-2 if opcode == 11 else xid])
        if embedded.ended:
            real.read_all()
        if opcode == -11:
            for other in self._slots:
                other.unordered = True
        self._compare(slot, asked)
        if opcode == -11:
            self.compare_the_rest()

    def _burst(self, slot: _Slot, requests: list[Request[Any]]) -> None:
        """Requests in one segment; one by one where the checks of a later one would race with an earlier one."""
        if self.server.core.settings.enforce_quotas and self.server.core.tree.quotas.exist:
            for request in requests:
                self.step(Ask(self._slots.index(slot), request))
            return
        frames, asked = self._frames_of(slot, requests)
        real, embedded = slot.real, slot.embedded
        assert real is not None and embedded is not None
        real.send(frames)
        embedded.send(frames)
        if embedded.ended:
            real.read_all()
        real.read_until([-2 if isinstance(request, PingRequest) else xid for xid, request in asked.items()])
        self._compare(slot, asked)

    def _frames_of(self, slot: _Slot, requests: Sequence[Request[Any]]) -> tuple[bytes, dict[int, Request[Any]]]:
        frames, asked = b"", {}
        for request in requests:
            assert is_harmless(request), request
            slot.xid += 1
            asked[slot.xid] = request
            frames += frame(slot.xid, request.payload())
        return frames, asked

    def compare_the_rest(self) -> None:
        """Compare what other connections' steps have sent to each one since its own last step."""
        for slot in self._slots:
            self._flush(slot)

    def _connect(self, slot: _Slot, step: Connect) -> None:
        for line in (slot.real, slot.embedded):
            if line is not None and not line.ended and not step.resume:
                return  # a session is left by closing it or losing its connection, not by forgetting it
        self._flush(slot)
        real, embedded = lines = RealLine(self._address), EmbeddedLine(self.server.connect())
        self._opened.append(real)
        if not step.resume and slot.real_session[0]:
            for other in self._slots:
                other.unordered = True
            _end_session(self._address, slot.real_session, self.server, slot.embedded_session)
        sessions = (slot.real_session, slot.embedded_session) if step.resume else (_NOBODY, _NOBODY)
        behind, asked = self._frames_of(slot, step.behind or ())
        for line, (number, password) in zip(lines, sessions, strict=True):
            content = ConnectRequest(
                timeout_ms=step.timeout_ms,
                session_id=number,
                password=b"wrong" if step.wrong_password else password,
                read_only=step.read_only,
                last_zxid_seen=self._ears[0].last_zxid + 1_000_000 if step.zxid_ahead else 0,
            ).encode()
            line.send(len(content).to_bytes(4, "big") + content + behind)
        while not real.ended and not real.inbox:
            real.read()
        if embedded.ended:
            real.read_all()
        answers = [ConnectResponse.decode(line.inbox.pop(0)) if line.inbox else None for line in lines]
        shown = [None if answer is None else (answer.timeout_ms, answer.read_only) for answer in answers]
        if shown[0] != shown[1] or real.ended != embedded.ended:
            raise DifferenceError(f"real {shown[0]}, ended {real.ended}; embedded {shown[1]}, ended {embedded.ended}")
        if step.resume and not step.zxid_ahead and slot.real is not None and slot.embedded is not None:
            slot.embedded.pull()
            if slot.embedded.ended:
                slot.real.read_all()
        if not shown[0] or shown[0][0] <= 0:
            real.close()
            return
        assert answers[0] is not None and answers[1] is not None
        slot.real_session = (answers[0].session_id, answers[0].password)
        slot.embedded_session = (answers[1].session_id, answers[1].password)
        for ear, (number, _password) in zip(self._ears, (slot.real_session, slot.embedded_session), strict=True):
            ear.meet(number)
        slot.real, slot.embedded = real, embedded
        if asked:
            real.read_until([-2 if isinstance(request, PingRequest) else xid for xid, request in asked.items()])
            self._compare(slot, asked)

    def _flush(self, slot: _Slot) -> None:
        """Compare the events that other connections' steps have sent to this one."""
        real, embedded = slot.real, slot.embedded
        if real is None or embedded is None:
            return
        embedded.pull()
        if embedded.ended:
            real.read_all()
        else:
            ping = frame(-2, b"\0\0\0\x0b")
            real.send(ping)
            embedded.send(ping)
            real.read_until([-2])
        self._compare(slot, {})

    def _word(self, word: str) -> None:
        """A lost connection stays for a while at a real server, and is counted there: so it is asked again."""
        line = self.server.connect()
        line.send(word.encode())
        expected = plain_word(word, line.take().decode(), self._ears[1].sessions)
        for _ in range(_ROUNDS):
            said = plain_word(word, self._member.send_command(word), self._ears[0].sessions)
            if word == "mntr":
                keys = {line.partition(" ")[0] for line in expected}
                said = [line for line in said if line.partition(" ")[0] in keys]
            if said == expected:
                return
        raise DifferenceError(f"\n      real: {said}\n  embedded: {expected}")

    # What was said

    def _compare(self, slot: _Slot, asked: Mapping[int, Request[Any]]) -> None:
        real, embedded = slot.real, slot.embedded
        assert real is not None and embedded is not None
        said = [ear.told(line.take(), asked) for ear, line in zip(self._ears, (real, embedded), strict=True)]
        if slot.unordered:
            said = [sorted(what, key=repr) for what in said]
            slot.unordered = False
        elif len(asked) > 1:
            said = [_overtaken(what, asked) for what in said]
        if said[0] != said[1] or real.ended != embedded.ended:
            raise DifferenceError(
                "\n      real: "
                + "\n            ".join(map(repr, [*said[0], f"ended {real.ended}"]))
                + "\n  embedded: "
                + "\n            ".join(map(repr, [*said[1], f"ended {embedded.ended}"]))
            )


# Helpers


def _overtaken(told: list[tuple[Any, ...]], asked: Mapping[int, Request[Any]]) -> list[tuple[Any, ...]]:
    """The same with the answers that may overtake others at the end."""
    return sorted(
        told, key=lambda what: what[0] == "reply" and isinstance(asked.get(what[1][0]), AuthPacket | SaslRequest)
    )


def _delete(raw: RawClient, path: str) -> None:
    try:
        for name in raw.request(GetChildrenRequest(path, False)).children:
            _delete(raw, f"{path}/{name}")
        raw.request(DeleteRequest(path, -1))
    except NoNodeError:
        pass


def _end_session(
    address: str,
    real: tuple[int, bytes],
    server: MemoryServer | None = None,
    embedded: tuple[int, bytes] = (0, b""),
) -> None:
    """End a session whose connection is gone, on both sides."""
    try:
        with RawClient(address, session=real, session_timeout=60):
            pass
    except Exception:
        return
    if server is not None and server.core.sessions.get(embedded[0]) is not None:
        server.expire_session(embedded[0])
