"""A server that speaks ZooKeeper's frames without keeping anything, for proxies to stand in front of.

It answers "done" to deletes and pings, and -110 (the node exists) to everything else. A reply to exists is held back
until auth was answered, which thereby overtakes.
"""

from __future__ import annotations

import socket
import threading
from types import TracebackType

from zk_wire import (
    AdminCommand,
    ConnectReceived,
    ConnectResponse,
    MalformedRequest,
    OpCode,
    RequestReceived,
    ServerConnection,
)


class ToyServer:
    """Accepts any number of connections; `received` holds (opcode, xid) of every request, in order of arrival."""

    def __init__(self) -> None:
        self.received: list[tuple[int, int]] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._connections: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    @property
    def address(self) -> str:
        """Where to connect."""
        return f"127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> ToyServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._threads[0].join()
        self._listener.close()
        for connection in self._connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        for thread in self._threads:
            thread.join()
        for connection in self._connections:
            connection.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._connections.append(connection)
            thread = threading.Thread(target=self._serve, args=(connection,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        protocol = ServerConnection()
        zxid = 0
        held = b""
        try:
            while data := connection.recv(65536):
                for event in protocol.receive(data):
                    match event:
                        case ConnectReceived():
                            reply = protocol.accept(ConnectResponse(4000, 7, bytes(16), False))
                        case AdminCommand(word):
                            connection.sendall(f"{word}!".encode())
                            return
                        case RequestReceived(xid, opcode, _) | MalformedRequest(xid, opcode, _):
                            zxid += 1
                            self.received.append((opcode, xid))
                            done = opcode in (OpCode.DELETE, OpCode.PING, OpCode.CLOSE_SESSION)
                            reply = protocol.reply(-2 if opcode == OpCode.PING else xid, zxid, err=0 if done else -110)
                            if opcode == OpCode.EXISTS:
                                held += reply
                                continue
                            if opcode == OpCode.AUTH:
                                reply += held
                        case _:
                            return
                    connection.sendall(reply)
        except OSError:
            pass
        finally:
            try:
                connection.shutdown(socket.SHUT_WR)
            except OSError:
                pass
