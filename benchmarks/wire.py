"""The wire by hand: a blocking socket and requests packed before the clock starts.

Rule: nothing of ours is imported. This is the floor the clients are compared with (peer `raw`), and what builds the
tree the workloads read, so that a fault in the client under test can't hide in the benchmark's own set-up.
"""

from __future__ import annotations

import socket
import struct

INT = struct.Struct(">i")
REPLY = struct.Struct(">iiqi")  # length, xid, zxid, error
CREATE, DELETE, GET, SET, CHILDREN, CLOSE = 1, 2, 4, 5, 8, -11
NODE_EXISTS = -110
WORLD_ANYONE_ALL = struct.pack(">iii5si6s", 1, 31, 5, b"world", 6, b"anyone")

ROOT = "/bench"
SMALL_NODE, BIG_NODE, KIDS_NODE, SCRATCH = ROOT + "/small", ROOT + "/big", ROOT + "/kids", ROOT + "/scratch"
WATCHED = ROOT + "/watched"
SMALL, BIG, KIDS = b"x" * 100, b"x" * 900_000, 10_000


def frame(xid: int, opcode: int, record: bytes = b"") -> bytes:
    return struct.pack(">iii", 8 + len(record), xid, opcode) + record


def ustring(text: str) -> bytes:
    encoded = text.encode()
    return INT.pack(len(encoded)) + encoded


def watch_record(path: str, watch: bool = False) -> bytes:
    """The record of get and get_children."""
    return ustring(path) + (b"\1" if watch else b"\0")


def create_record(path: str, data: bytes) -> bytes:
    return ustring(path) + INT.pack(len(data)) + data + WORLD_ANYONE_ALL + INT.pack(0)


def delete_record(path: str) -> bytes:
    return ustring(path) + INT.pack(-1)


def set_record(path: str, data: bytes) -> bytes:
    return ustring(path) + INT.pack(len(data)) + data + INT.pack(-1)


def kid(number: int) -> str:
    return f"child-{number:010d}"


def watched(number: int) -> str:
    """The path of one of the nodes that W6 watches."""
    return f"{WATCHED}/n{number:08d}"


def connect_frame(timeout_ms: int) -> bytes:
    """A request for a new session."""
    record = struct.pack(">iqiqi16s?", 0, 0, timeout_ms, 0, 16, bytes(16), False)
    return INT.pack(len(record)) + record


class Wire:
    """One session on one blocking socket."""

    def __init__(self, host: str, port: int, timeout_ms: int = 30_000) -> None:
        self.host, self.port = host, port
        self.socket = socket.create_connection((host, port), timeout=60)
        self.socket.settimeout(None)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.sendall(connect_frame(timeout_ms))
        self.read_frame()

    def read_exactly(self, size: int) -> bytes:
        buffer = bytearray(size)
        view = memoryview(buffer)
        while view:
            got = self.socket.recv_into(view)
            if not got:
                raise EOFError("the server closed the connection")
            view = view[got:]
        return bytes(buffer)

    def read_frame(self) -> bytes:
        head = self.read_exactly(4)
        return head + self.read_exactly(INT.unpack(head)[0])

    def call(self, opcode: int, record: bytes = b"") -> tuple[int, bytes]:
        """One request and its reply; returns (error code, record)."""
        self.socket.sendall(frame(1, opcode, record))
        reply = self.read_frame()
        return REPLY.unpack_from(reply)[3], reply[20:]

    def pump(self, frames: bytes, frame_size: int, reply_size: int, window: int, buffer: bytearray) -> None:
        """Send equal-sized frames with at most `window` unanswered; replies are only counted by their bytes."""
        count = len(frames) // frame_size
        view = memoryview(frames)
        receive, send = self.socket.recv_into, self.socket.sendall
        sent = min(window, count)
        send(view[: sent * frame_size])
        got, total = 0, count * reply_size
        while got < total:
            size = receive(buffer)
            if not size:
                raise EOFError("the server closed the connection")
            got += size
            allowed = min(got // reply_size + window, count)
            if allowed > sent:
                send(view[sent * frame_size : allowed * frame_size])
                sent = allowed

    def close(self) -> None:
        try:
            self.call(CLOSE)
        except (EOFError, OSError):
            pass
        self.socket.close()


def prepare(host: str, port: int, watches: int) -> None:
    """Build the tree the workloads read. A null server answers success and keeps nothing."""
    wire = Wire(host, port)
    nodes = [(ROOT, b""), (KIDS_NODE, b""), (SCRATCH, b""), (WATCHED, b""), (SMALL_NODE, SMALL), (BIG_NODE, BIG)]
    nodes += [(f"{KIDS_NODE}/{kid(i)}", b"") for i in range(KIDS)]
    nodes += [(watched(i), b"x") for i in range(watches)]
    for path, data in nodes:
        error, _ = wire.call(CREATE, create_record(path, data))
        if error not in (0, NODE_EXISTS):
            raise OSError(f"the server answered create {path!r} with error {error}")
    wire.close()
