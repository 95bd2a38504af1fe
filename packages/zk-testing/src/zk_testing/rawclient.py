"""A blocking conversation with one server, for tests and tools: no session logic, no retry, no thread.

    with RawClient(server.address) as raw:
        raw.request(CreateRequest("/a", b"1", OPEN_ACL_UNSAFE, 0))
        raw.request(GetDataRequest("/a", True)).data

Rule: what the server says is what you get. A lost connection is ConversationError and the end; an error code is raised
as zk_wire's error of that code. Not for applications: nobody pings, so a silent session expires.
"""

from __future__ import annotations

import socket
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import TypeVar

from zk_wire import (
    AuthPacket,
    ClientConnection,
    CloseSessionRequest,
    Connected,
    ConnectRequest,
    Event,
    Exchange,
    Notification,
    PingAnswered,
    Request,
    SessionGone,
    error_for_code,
)

from .errors import ConversationError, SessionRefusedError

__all__ = ["RawClient"]

R = TypeVar("R")


class RawClient:
    """One connection with one session, connected when constructed; not for several threads at once.

    address: "host:port".   session_timeout: seconds to ask for.   session: (id, password) to resume, None for a new
    one.   read_only: accept a server in read-only mode.   reply_timeout: seconds to wait for each answer.
    Raises SessionRefusedError when the server has no such session, ConversationError when it closes or does not answer,
    OSError when it cannot be reached.
    """

    def __init__(
        self,
        address: str,
        *,
        session_timeout: float = 10.0,
        session: tuple[int, bytes] | None = None,
        read_only: bool = False,
        reply_timeout: float = 10.0,
    ) -> None:
        host, _, port = address.rpartition(":")
        self._address = address
        self._reply_timeout = reply_timeout
        self._connection = ClientConnection()
        self._answered: set[int] = set()
        self._pings_answered = 0
        self._at_end = False
        self._session: Connected | None = None
        self.notifications: deque[Notification] = deque()
        session_id, password = session if session is not None else (0, bytes(16))
        self._socket = socket.create_connection((host.strip("[]"), int(port)), reply_timeout)
        try:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._write(
                self._connection.connect(
                    ConnectRequest(
                        timeout_ms=round(session_timeout * 1000),
                        session_id=session_id,
                        password=password,
                        read_only=read_only,
                    )
                )
            )
            self._read_until(lambda: self._session is not None, "its answer to the connect request")
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> RawClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            self.close_session()
        else:
            self.close()

    def __repr__(self) -> str:
        return f"<RawClient of {self._address}, session 0x{self.session_id & (1 << 64) - 1:x}>"

    @property
    def session_id(self) -> int:
        """The session id; signed."""
        return self._session.session_id if self._session is not None else 0

    @property
    def session(self) -> tuple[int, bytes]:
        """(id, password), as the constructor takes it to resume the session. The password is a secret."""
        return self.session_id, self._session.password if self._session is not None else bytes(16)

    @property
    def negotiated_timeout(self) -> float:
        """The session timeout the server granted, in seconds."""
        return self._session.timeout_ms / 1000 if self._session is not None else 0.0

    # One at a time

    def request(self, request: Request[R]) -> R:
        """Send a request, wait for its reply and return it.

        Raises the server's error as zk_wire's class for it; ConversationError when the connection ends or is silent.
        """
        return self.wait(self.send(request))

    def auth(self, scheme: str, credential: bytes) -> None:
        """Authenticate this connection, for example as ("digest", b"user:password"). Raises AuthFailedError."""
        exchange = Exchange.of(AuthPacket(scheme, credential))
        self._write(self._connection.send_auth(exchange))
        self.wait(exchange)

    def ping(self) -> None:
        """Send a ping and wait for its answer."""
        expected = self._pings_answered + 1
        self._write(self._connection.ping())
        self._read_until(lambda: self._pings_answered >= expected, "its answer to a ping")

    # Several at a time

    def send(self, request: Request[R]) -> Exchange[R]:
        """Send a request without waiting."""
        exchange = Exchange.of(request)
        self._write(self._connection.send(exchange))
        return exchange

    def wait(self, exchange: Exchange[R]) -> R:
        """Wait for the reply to what `send` has sent; raises as `request`."""
        self._read_until(lambda: id(exchange) in self._answered, f"its reply to {exchange!r}")
        self._answered.discard(id(exchange))
        if exchange.error:
            raise error_for_code(exchange.error)
        if exchange.reply is None:
            raise ConversationError(f"{self._address} answered {exchange!r} with nothing")
        return exchange.reply

    def wait_notification(self) -> Notification:
        """Wait for the next watch event and return it."""
        self._read_until(lambda: bool(self.notifications), "a watch event")
        return self.notifications.popleft()

    def wait_closed(self) -> None:
        """Wait until the server ends the connection."""
        try:
            self._read_until(lambda: False, "the end of the connection")
        except ConversationError:
            if not self._at_end:
                raise

    # The end

    def close_session(self) -> None:
        """End the session on the server, and then the connection; a dead connection is only closed."""
        with suppress(ConversationError):
            self.request(CloseSessionRequest())
        self.close()

    def close(self) -> None:
        """End the connection only: the session lives on at the server until it expires."""
        self._socket.close()

    # Bytes

    def _write(self, data: bytes) -> None:
        try:
            self._socket.sendall(data)
        except OSError as error:
            self._at_end = True
            raise ConversationError(f"the connection to {self._address} is lost: {error}") from error

    def _read_until(self, condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + self._reply_timeout
        while not condition():
            remaining = deadline - time.monotonic()
            try:
                if remaining <= 0:
                    raise TimeoutError
                self._socket.settimeout(remaining)
                data = self._socket.recv(1 << 18)
            except TimeoutError:
                raise ConversationError(f"{self._address} did not send {what} within {self._reply_timeout} s") from None
            except OSError as error:
                self._at_end = True
                raise ConversationError(f"the connection to {self._address} is lost: {error}") from error
            if not data:
                self._at_end = True
                raise ConversationError(f"{self._address} ended the connection instead of sending {what}")
            for event in self._connection.receive(data):
                self._take(event)
            if self._connection.pending_error is not None:
                raise self._connection.pending_error

    def _take(self, event: Event) -> None:
        if isinstance(event, Exchange):
            self._answered.add(id(event))
        elif isinstance(event, Notification):
            self.notifications.append(event)
        elif isinstance(event, PingAnswered):
            self._pings_answered += 1
        elif isinstance(event, Connected):
            self._session = event
        elif isinstance(event, SessionGone):
            raise SessionRefusedError(f"{self._address} refused the session: {event!r}")
        else:  # ConnectRejected
            raise ConversationError(f"{self._address} refused the session: {event!r}")
