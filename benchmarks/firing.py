"""Fires every watch at once, from another process: one multi that sets all the watched nodes.

    python firing.py HOST PORT COUNT         prints "ready"; fires when a line arrives; prints "fired" when answered

Rule: the request is packed before it is wanted, so that the time of firing is the server's and the watcher's.
"""

from __future__ import annotations

import struct
import subprocess
import sys
from types import TracebackType

import wire

MULTI, SET_DATA = 14, 5


def multi(count: int) -> bytes:
    """The record of a multi that sets the first `count` watched nodes."""
    parts = []
    for number in range(count):
        parts.append(struct.pack(">i?i", SET_DATA, False, -1))
        parts.append(wire.ustring(wire.watched(number)) + wire.INT.pack(1) + b"y" + wire.INT.pack(-1))
    return b"".join(parts) + struct.pack(">i?i", -1, True, -1)


class Firer:
    """The other process; a context manager that ends it."""

    def __init__(self, host: str, port: int, count: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, host, str(port), str(count)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdin is not None and self._process.stdout is not None
        self._orders, self._reports = self._process.stdin, self._process.stdout
        self._expect("ready")

    def fire(self) -> None:
        """Have it fire, and return at once."""
        self._orders.write("fire\n")
        self._orders.flush()

    def fired(self) -> None:
        """Wait until the server has answered the multi."""
        self._expect("fired")

    def _expect(self, word: str) -> None:
        said = self._reports.readline().strip()
        if said != word:
            raise SystemExit(f"the firing process said {said!r}, not {word!r}")

    def __enter__(self) -> Firer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._orders.close()
        self._process.wait(10)
        self._reports.close()


def main() -> None:
    host, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    connection = wire.Wire(host, port)
    request = wire.frame(1, MULTI, multi(count))
    print("ready", flush=True)
    if sys.stdin.readline():
        connection.socket.sendall(request)
        reply = connection.read_frame()
        error = wire.REPLY.unpack_from(reply)[3]
        print("fired" if error == 0 else f"error {error}", flush=True)
    connection.close()


if __name__ == "__main__":
    main()
