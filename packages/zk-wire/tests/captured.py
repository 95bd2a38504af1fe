"""The captured frames, and what each of them says as a typed value.

Rule: `FRAMES` is what was on the wire (data/captured_frames.txt); `CONVERSATION` says the same in
records, block by block, written by hand from the protocol and never from our own output.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from zk_wire import (
    OPEN_ACL_UNSAFE,
    AddWatchRequest,
    AuthPacket,
    CheckResult,
    CheckVersionRequest,
    ClientInfo,
    CloseSessionRequest,
    Create2Request,
    Create2Response,
    CreateRequest,
    CreateResponse,
    CreateResult,
    DeleteRequest,
    EmptyResponse,
    ErrorResponse,
    ErrorResult,
    ExistsRequest,
    GetACLRequest,
    GetACLResponse,
    GetChildren2Request,
    GetChildren2Response,
    GetChildrenRequest,
    GetDataRequest,
    GetDataResponse,
    GetDataResult,
    MultiReadRequest,
    MultiReadResponse,
    MultiRequest,
    MultiResponse,
    PingRequest,
    Request,
    Response,
    SetDataRequest,
    SetDataResponse,
    SetDataResult,
    SetWatches2,
    Stat,
    SyncRequest,
    SyncResponse,
    WatcherEvent,
    WhoAmIRequest,
    WhoAmIResponse,
)

Z = 0x35BA0  # the zxids of the capture begin here
T = 0x1A2028CA000  # and its times here, ms


def _read() -> dict[str, list[tuple[str, bytes]]]:
    blocks: dict[str, list[tuple[str, bytes]]] = {}
    title = ""
    for line in (Path(__file__).parent / "data" / "captured_frames.txt").read_text().splitlines():
        if line.startswith("# "):
            title = line[2:]
        else:
            blocks.setdefault(title, []).append((line[0], bytes.fromhex(line[2:])))
    return blocks


FRAMES = _read()


@dataclass
class Step:
    """One block of the capture: a request, the events before its reply, and the reply."""

    title: str
    xid: int
    request: Request[Any]
    zxid: int
    response: Response = field(default_factory=EmptyResponse)
    err: int = 0
    events: list[WatcherEvent] = field(default_factory=list)

    @property
    def sent(self) -> bytes:
        [frame] = [frame for side, frame in FRAMES[self.title] if side == ">"]
        return frame

    @property
    def received(self) -> list[bytes]:
        return [frame for side, frame in FRAMES[self.title] if side == "<"]


def stat(mzxid: int, mtime: int, version: int, cversion: int, length: int, children: int, pzxid: int) -> Stat:
    """The Stat of /cap, as far as it changes."""
    return Stat(Z + 6, Z + mzxid, T + 0x4FF, T + mtime, version, cversion, 0, 0, length, children, Z + pzxid)


NOW = stat(9, 0x51C, 2, 2, 1, 2, 9)

CONVERSATION = [
    Step(
        'create /cap (data "hi", world:anyone ALL, flags 0), xid 1',
        1,
        CreateRequest("/cap", b"hi", OPEN_ACL_UNSAFE, 0),
        Z + 6,
        CreateResponse("/cap"),
    ),
    Step(
        "getData /cap watch=true, xid 2",
        2,
        GetDataRequest("/cap", True),
        Z + 6,
        GetDataResponse(b"hi", stat(6, 0x4FF, 0, 0, 2, 0, 6)),
    ),
    Step(
        'setData /cap "x" version -1, xid 3 (event first, then the reply)',
        3,
        SetDataRequest("/cap", b"x", -1),
        Z + 7,
        SetDataResponse(stat(7, 0x507, 1, 0, 1, 0, 6)),
        events=[WatcherEvent(3, 3, "/cap")],
    ),
    Step(
        "getChildren2 /cap, xid 4",
        4,
        GetChildren2Request("/cap", False),
        Z + 7,
        GetChildren2Response([], stat(7, 0x507, 1, 0, 1, 0, 6)),
    ),
    Step(
        "create2 /cap/q- flags 2, null data, xid 5",
        5,
        Create2Request("/cap/q-", None, OPEN_ACL_UNSAFE, 2),
        Z + 8,
        Create2Response("/cap/q-0000000000", Stat(Z + 8, Z + 8, T + 0x50C, T + 0x50C, 0, 0, 0, 0, 0, 0, Z + 8)),
    ),
    Step(
        'multi [check /cap 1, create /cap/b, setData /cap "y"], xid 6',
        6,
        MultiRequest(
            [
                CheckVersionRequest("/cap", 1),
                CreateRequest("/cap/b", b"", OPEN_ACL_UNSAFE, 0),
                SetDataRequest("/cap", b"y", -1),
            ]
        ),
        Z + 9,
        MultiResponse([CheckResult(), CreateResult("/cap/b", None), SetDataResult(NOW)]),
    ),
    Step(
        "multi failing at op 2 [create /cap/z, check /cap 9, delete /cap/b], xid 7",
        7,
        MultiRequest(
            [
                CreateRequest("/cap/z", b"", OPEN_ACL_UNSAFE, 0),
                CheckVersionRequest("/cap", 9),
                DeleteRequest("/cap/b", -1),
            ]
        ),
        Z + 10,
        MultiResponse([ErrorResult(0), ErrorResult(-103), ErrorResult(-2)]),
    ),
    Step(
        "multiRead [getData /cap, getChildren /nope], xid 8",
        8,
        MultiReadRequest([GetDataRequest("/cap", False), GetChildrenRequest("/nope", False)]),
        Z + 10,
        MultiReadResponse([GetDataResult(b"y", NOW), ErrorResult(-101)]),
    ),
    Step("exists /nope, xid 9", 9, ExistsRequest("/nope", False), Z + 10, err=-101),
    Step("auth digest u:p", -4, AuthPacket("digest", b"u:p"), 0),
    Step(
        "whoAmI, xid 10",
        10,
        WhoAmIRequest(),
        Z + 10,
        WhoAmIResponse([ClientInfo("ip", "127.0.0.1"), ClientInfo("digest", "u")]),
    ),
    Step("addWatch /cap persistent, xid 11", 11, AddWatchRequest("/cap", 0), Z + 10, ErrorResponse(0)),
    Step(
        "setWatches2 rel 0, data [/gone], xid -8 (event, reply)",
        -8,
        SetWatches2(0, ["/gone"], [], [], [], []),
        Z + 10,
        events=[WatcherEvent(2, 3, "/gone")],
    ),
    Step("getACL /cap, xid 12", 12, GetACLRequest("/cap"), Z + 10, GetACLResponse(list(OPEN_ACL_UNSAFE), NOW)),
    Step("sync /cap, xid 13", 13, SyncRequest("/cap"), Z + 10, SyncResponse("/cap")),
    Step("ping", -2, PingRequest(), Z + 10),
    Step("closeSession, xid 14", 14, CloseSessionRequest(), Z + 0x10),
]
