"""Conversations with a server, as hypothesis makes and shrinks them: every operation, with arguments good and bad.

Rule: what destroys a real server is never made. A step that shrinks away leaves the others as they are.

A drawn number is expensive beside the step it makes, so one serves for many choices: `_Digits` takes it apart.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from conformance_steps import BASE, SLOTS, WORDS, Ask, Burst, Bytes, Connect, Lose, Step, Word
from hypothesis import strategies as st

from zk_wire import (
    ACL,
    AddWatchRequest,
    AuthPacket,
    CheckVersionRequest,
    CheckWatchesRequest,
    CloseSessionRequest,
    Create2Request,
    CreateContainerRequest,
    CreateRequest,
    CreateTTLRequest,
    DeleteContainerRequest,
    DeleteRequest,
    ExistsRequest,
    GetACLRequest,
    GetAllChildrenNumberRequest,
    GetChildren2Request,
    GetChildrenRequest,
    GetDataRequest,
    GetEphemeralsRequest,
    Id,
    MultiReadRequest,
    MultiRequest,
    PingRequest,
    ReconfigRequest,
    RemoveWatchesRequest,
    SaslRequest,
    SetACLRequest,
    SetDataRequest,
    SetWatches,
    SetWatches2,
    SyncRequest,
    WhoAmIRequest,
    make_digest_acl,
)

__all__ = ["BASE", "OPEN", "scripts"]

QUOTA = f"/zookeeper/quota{BASE}"
GOOD = [BASE, *(f"{BASE}/{name}" for name in ("a", "b", "a/b", "a/b/c", "a/s-0000000000", "s-0000000001", "ab", "é"))]
ODD = [
    "", "/", "nopath", "//", f"{BASE}/", f"{BASE}/a/", f"{BASE}//a", f"{BASE}/./a", f"{BASE}/..", f"{BASE}/a\0",
    f"{BASE}/\x01", f"{BASE}/\x7f", f"{BASE}/\ue000", f"{BASE}/\ufff0", f"{BASE}/\uffef", f"{BASE}/\U0001f600",
    "/zookeeper", "/zookeeper/quota", "/zookeeper/config", "/zookeeper/a",
]  # fmt: skip
DATA = [None, b"", b"x", b"hello", bytes(40)]
VERSIONS = [-1, -1, -1, -1, 0, 0, 1, 2, -2, 7]
OPEN = [ACL(31, Id("world", "anyone"))]
ACLS: list[list[ACL] | None] = [
    [ACL(31, Id("auth", ""))],
    [ACL(1, Id("auth", "")), ACL(4, Id("auth", "x"))],
    [make_digest_acl("u1", "p", all=True)],
    [make_digest_acl("u1", "p", read=True), ACL(16, Id("world", "anyone"))],
    [make_digest_acl("u2", "p:q", all=True), *OPEN],
    *([ACL(31 & ~bit, Id("world", "anyone"))] for bit in (1, 2, 4, 8, 16)),
    *([ACL(bit, Id("world", "anyone"))] for bit in (1, 2, 4, 8, 16, 64, 0)),
    [ACL(31, Id("ip", "127.0.0.1"))],
    [ACL(31, Id("ip", "127.0.0.0/8"))],
    [ACL(31, Id("ip", "10.0.0.0/8"))],
    [ACL(31, Id("ip", "1.2.3.4/33"))],
    [ACL(31, Id("ip", "::1"))],
    [ACL(31, Id("ip", "1.2.3"))],
    [ACL(31, Id("digest", "nohash"))],
    [ACL(31, Id("digest", "u:h:x"))],
    [ACL(31, Id("digest", "u:h:"))],
    [ACL(31, Id("digest", ":h"))],
    [ACL(31, Id("digest", "u:"))],
    [ACL(31, Id("world", "someone"))],
    [ACL(31, Id("super", ""))],
    [ACL(31, Id("x509", "CN=a"))],
    [ACL(31, Id("sasl", "bob"))],
    [ACL(31, Id("", ""))],
    [*OPEN, *OPEN],
    [],
    None,
]
FLAGS = [0, 0, 0, 1, 1, 2, 2, 3, 4, 5, 6, 7, -1, 99]
TTLS = [1_000_000_000, 0xFFFFFFFFFF, 0x10000000000, 2**62]
SEQUENTIAL = [f"{BASE}/s-", f"{BASE}/a/s-", f"{BASE}/", f"{BASE}/a/"]
QUOTAS = [b"count=3,bytes=10", b"count=2,bytes=-1=;byteHardLimit=20;countHardLimit=3", b"count=-1,bytes=30"]
CREDENTIALS = [b"u1:p", b"u2:p:q", b"u1:p", b"u2:p:q", b"super:test", b"nocolon", None, b"\xff:x", b""]
GARBAGE = [b"", b"\0", b"\0\0\0\x09ab", b"\xff" * 9]
MALFORMED = [1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 14, 15, 16, 17, 18, 19, 22, 100, 101, 102, 103, 104, 105, 106]
UNKNOWN = [0, -1, 10, 23, 99, 108, -10, 2**31 - 1]

_RANGE = 1 << 24  # beyond it hypothesis prefers small numbers
_NUMBERS = st.integers(0, _RANGE - 1)
_SPREAD = 0x9E3779B1  # odd, so every number is still met once: hypothesis likes small and round ones all the same
_ENOUGH = 64  # how many values must be left in a number for the next choice to be about even


class _Digits:
    """Small choices taken from drawn numbers; zero, the simplest number, makes the first of all choices."""

    def __init__(self, draw: st.DrawFn) -> None:
        self._draw = draw
        self._number = 0
        self._left = 1

    def begin(self) -> None:
        """Let what comes depend on a number of its own, so that it shrinks by itself."""
        self._number, self._left = self._draw(_NUMBERS) * _SPREAD % _RANGE, _RANGE

    def below(self, limit: int) -> int:
        """A number from 0 to below the limit."""
        if self._left < limit * _ENOUGH:
            self.begin()
        self._number, digit = divmod(self._number, limit)
        self._left //= limit
        return digit


class _Maker:
    """One step, or what is in it."""

    def __init__(self, draw: st.DrawFn) -> None:
        self._digits = _Digits(draw)

    # Arguments

    def _one(self, values: list[Any]) -> Any:
        return values[self._digits.below(len(values))]

    def _chance(self, percent: int) -> bool:
        """Whether something unusual is to be."""
        return self._digits.below(100) >= 100 - percent

    def path(self) -> str:
        return self._one(ODD) if self._chance(8) else self._one(GOOD)  # type: ignore[no-any-return]

    def paths(self) -> list[str]:
        return [self.path() for _ in range(self._one([0, 1, 1, 2, 3]))]

    def acl(self) -> list[ACL] | None:
        return self._one(ACLS) if self._chance(25) else OPEN

    def data(self) -> bytes | None:
        return self._one(DATA)  # type: ignore[no-any-return]

    # Requests

    def create(self) -> Any:
        kind = self._one([CreateRequest] * 4 + [Create2Request] * 3 + [CreateContainerRequest, CreateTTLRequest])
        if kind is CreateRequest and self._chance(40):
            return CreateRequest(self._one(GOOD), self.data(), OPEN, self._one([0, 0, 0, 1]))
        path = self._one(SEQUENTIAL) if self._chance(25) else self.path()
        if kind is CreateTTLRequest:
            return CreateTTLRequest(path, self.data(), self.acl(), self._one([5, 6]), self._one(TTLS))
        return kind(path, self.data(), self.acl(), self._one(FLAGS))

    def delete(self) -> Any:
        return DeleteRequest(self.path(), self._one(VERSIONS))

    def set_data(self) -> Any:
        return SetDataRequest(None if self._chance(2) else self.path(), self.data(), self._one(VERSIONS))

    def check(self) -> Any:
        return CheckVersionRequest(self.path(), self._one(VERSIONS))

    def multi(self) -> Any:
        makers = [self.create, self.create, self.delete, self.set_data, self.check]
        return MultiRequest([self._one(makers)() for _ in range(self._one([0, 1, 1, 2, 2, 3, 4]))])

    def kind_multi(self) -> Any:
        """One that mostly succeeds, for the kinds of results."""
        kind = self._one([CreateRequest, Create2Request, CreateContainerRequest])
        path = self._one(SEQUENTIAL)
        return MultiRequest(
            [kind(path, b"", OPEN, self._one([0, 1, 2, 3, 4, 5, 7])), self.set_data()][: self._one([1, 1, 2])]
        )

    def multi_read(self) -> Any:
        kinds = [GetDataRequest, GetChildrenRequest]
        return MultiReadRequest(
            [self._one(kinds)(self.path(), self._chance(50)) for _ in range(self._one([0, 1, 2, 3]))]
        )

    def read(self) -> Any:
        kind = self._one([ExistsRequest, GetDataRequest, GetChildrenRequest, GetChildren2Request])
        return kind(self.path(), self._chance(60))

    def acls(self) -> Any:
        if self._chance(50):
            return GetACLRequest(self.path())
        path = self._one(GOOD + [path for path in ODD if path.startswith(BASE)])
        return SetACLRequest(path, self.acl(), self._one(VERSIONS))

    def watch(self) -> Any:
        if self._chance(60):
            return AddWatchRequest(self.path(), self._one([0, 0, 0, 1, 1, 1, 2, -1]))
        return self._one([CheckWatchesRequest, RemoveWatchesRequest])(self.path(), self._one([0, 1, 2, 3, 3, 4, 5, 6]))

    def set_watches(self) -> Any:
        since = self._one([0, 1, 2**40])
        lists = [self.paths() for _ in range(5)]
        return SetWatches2(since, *lists) if self._chance(50) else SetWatches(since, *lists[:3])

    def quota(self) -> Any:
        return self._one(
            [
                CreateRequest(QUOTA, None, OPEN, 0),
                CreateRequest(f"{QUOTA}/a", None, OPEN, 0),
                CreateRequest(f"{QUOTA}/zookeeper_limits", self._one(QUOTAS), OPEN, 0),
                CreateRequest(f"{QUOTA}/a/zookeeper_limits", self._one(QUOTAS), OPEN, 0),
                CreateRequest(f"{QUOTA}/zookeeper_stats", self._one(QUOTAS), OPEN, 0),
                CreateRequest(f"{QUOTA}/a/zookeeper_stats", self._one(QUOTAS), OPEN, 0),
                GetDataRequest(f"{QUOTA}/zookeeper_stats", True),
                GetDataRequest(f"{QUOTA}/a/zookeeper_stats", True),
                DeleteRequest(f"{QUOTA}/zookeeper_limits", -1),
                DeleteRequest(f"{QUOTA}/zookeeper_stats", -1),
            ]
        )

    def other(self) -> Any:
        return self._one(
            [
                SyncRequest(None if self._chance(10) else self.path()),
                GetEphemeralsRequest(self._one([None, " / ", " ", "", f"{BASE}/a", f"{BASE}/s", self.path()])),
                GetAllChildrenNumberRequest(self.path()),
                ReconfigRequest(self._one([None, ""]), None, None, -1),
                DeleteContainerRequest(self._one([*GOOD, f"{BASE}/", "/", "/zookeeper"])),
                WhoAmIRequest(),
                PingRequest(),
            ]
        )

    def rare(self) -> Any:
        if self._chance(20):
            return CloseSessionRequest()
        if self._chance(15):
            return SaslRequest(b"")
        if self._chance(25):
            return AuthPacket(self._one(["ip", "world", "super", "sasl", "x509", "nosuch"]), b"x")
        return AuthPacket("digest", self._one(CREDENTIALS))

    # Steps

    def step(self) -> Step | None:
        """One step; None is none."""
        self._digits.begin()
        draw = self._digits.below(100)
        slot = self._digits.below(SLOTS)
        if draw < 1:
            return None
        if draw < 82:
            xid = self._one([0, -4, -8, -9, 2**31 - 1]) if self._chance(3) else None
            return Ask(slot, self._one(_REQUESTS)(self), xid)
        if draw < 87:
            return Burst(slot, self.burst())
        if draw < 90:
            return Connect(slot)
        if draw < 93:
            behind = self.burst() if self._chance(20) else []
            return Connect(slot, resume=True, timeout_ms=self._one([60_000, 59_000]), behind=behind)
        if draw < 94:
            chances = [self._chance(50) for _ in range(3)]
            return Connect(slot, *chances, read_only=self._one([None, False, True]))
        if draw < 95:
            return Lose(slot)
        if draw < 98:
            return Bytes(slot, self._one(MALFORMED), self._one(GARBAGE))
        if draw < 99:
            return Word(self._one(WORDS))
        return Bytes(slot, self._one(UNKNOWN), b"")

    def burst(self) -> list[Any]:
        """Requests for one segment, without those that would race there: quotas, credentials, the end of a session."""
        requests = [self._one(_IN_BURSTS)(self) for _ in range(self._one([2, 3, 4, 6]))]
        # Some releases close the connection for these, at some moment among the others.
        closing = (DeleteContainerRequest, WhoAmIRequest)
        requests = [request for request in requests if not isinstance(request, closing)]
        if self._chance(30):
            requests.insert(self._digits.below(len(requests) + 1), AuthPacket("ip", b""))
        return requests


_WEIGHTS: dict[Callable[[_Maker], Any], int] = {
    _Maker.read: 14,
    _Maker.create: 20,
    _Maker.delete: 10,
    _Maker.set_data: 10,
    _Maker.multi: 6,
    _Maker.kind_multi: 4,
    _Maker.multi_read: 3,
    _Maker.acls: 7,
    _Maker.watch: 10,
    _Maker.set_watches: 4,
    _Maker.quota: 6,
    _Maker.other: 6,
    _Maker.rare: 5,
}
_REQUESTS = [make for make, weight in _WEIGHTS.items() for _ in range(weight)]
_IN_BURSTS = [make for make in _REQUESTS if make not in (_Maker.quota, _Maker.rare)]


@st.composite
def _one_step(draw: st.DrawFn) -> Step | None:
    return _Maker(draw).step()


_STEP = _one_step()


@st.composite
def scripts(draw: st.DrawFn, length: int) -> list[Step]:
    """Scripts of at most so many steps, and mostly of just as many."""
    steps: list[Step] = [
        Ask(0, CreateRequest(BASE, b"", OPEN, 0)),
        Ask(1, CreateRequest(f"{BASE}/a", b"", OPEN, 0)),
    ]
    drawn = [draw(_STEP) for _ in range(length)]
    return steps + [step for step in drawn if step is not None]
