"""The simulated network: addresses, who listens there, and the connections between.

Rule: TCP, as far as a program can tell: bytes arrive in order and whole, later than they were sent, or the connection
ends. How much later is drawn from the seed. What is sent on a connection that hangs, or that ends before it arrives,
is lost. Both ends of a connection run in the process they belong to.
"""

from __future__ import annotations

import asyncio
import itertools
import socket
from contextvars import Context, copy_context
from typing import TYPE_CHECKING, Any

from .process import CURRENT

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from .loop import SimulatedLoop
    from .process import Process

__all__ = ["Connection", "End", "Listener", "Network"]

Address = tuple[str, int]

# Seconds between two messages of one connection that would arrive at once.
_GAP = 1e-6
_FIRST_PORT = 2181
_FIRST_CLIENT_PORT = 40_000
EVERYWHERE = "0.0.0.0"


class End(asyncio.Transport):
    """One end of a connection, as the transport of its protocol."""

    def __init__(self, connection: Connection, process: Process | None, context: Context, own: Address) -> None:
        super().__init__()
        self.connection = connection
        self.process = process
        self.context = context
        self.own = own
        self.other: End
        self.protocol: Any = None
        self.is_client = False
        self.closing = False
        self.over = False  # its protocol was told of the end
        self.socket: Any = None
        self._reading = True
        self._unread: list[bytes] = []
        self._end_waits: tuple[Exception | None] | None = None
        self._buffered = False
        self._last_arrival = 0.0

    # asyncio.Transport

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Know the addresses of both ends."""
        if name == "peername":
            return self.other.own
        if name == "sockname":
            return self.own
        return default

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Hand what arrives to another protocol."""
        self.protocol = protocol
        self._buffered = isinstance(protocol, asyncio.BufferedProtocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Who is told what arrives."""
        protocol: asyncio.BaseProtocol = self.protocol
        return protocol

    def is_closing(self) -> bool:
        """Whether its end has begun."""
        return self.closing

    def is_reading(self) -> bool:
        """Whether it hands over what arrives."""
        return self._reading and not self.closing

    def pause_reading(self) -> None:
        """Keep what arrives."""
        self._reading = False

    def resume_reading(self) -> None:
        """Hand over what was kept, and what arrives."""
        if not self._reading:
            self._reading = True
            self.connection.network.loop.call_soon(self._read_on, context=self.context)

    def get_write_buffer_size(self) -> int:
        """Everything that was written has been sent."""
        return 0

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """There is no limit."""
        return 0, 1 << 30

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """There is no buffer."""

    def can_write_eof(self) -> bool:
        """No half of a connection can be closed."""
        return False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send bytes."""
        if not self.closing and data:
            self.connection.send(self, bytes(data))

    def close(self) -> None:
        """End the connection, after what was sent."""
        if not self.closing:
            self.closing = True
            self.connection.left(self, None)
            self.connection.network.loop.call_soon(self._lost, None, context=self.context)

    def abort(self) -> None:
        """End the connection; the other end is told that it was reset."""
        if not self.closing:
            self.closing = True
            self.connection.left(self, ConnectionResetError("Connection reset by peer"))
            self.connection.network.loop.call_soon(self._lost, None, context=self.context)

    # For the connection

    def begin(self, protocol: asyncio.BaseProtocol) -> None:
        """Tell the protocol that there is a connection."""
        self.set_protocol(protocol)
        protocol.connection_made(self)

    def next_arrival(self, latency: float) -> float:
        """When something sent to this end now arrives: never before what was sent earlier."""
        self._last_arrival = max(self.connection.network.loop.time() + latency, self._last_arrival + _GAP)
        return self._last_arrival

    def receive(self, data: bytes) -> None:
        """Bytes have arrived."""
        if self.closing or self.connection.broken:
            return
        if not self._reading:
            self._unread.append(data)
            return
        self.connection.network.arrived(self, data)
        protocol = self.protocol
        if not self._buffered:
            protocol.data_received(data)
            return
        rest = memoryview(data)
        while rest and not self.closing:
            room = protocol.get_buffer(len(rest))
            size = min(len(room), len(rest))
            room[:size] = rest[:size]
            protocol.buffer_updated(size)
            rest = rest[size:]

    def end(self, error: Exception | None) -> None:
        """The other end has closed."""
        if not self._reading:
            self._end_waits = (error,)
        elif not self.closing:
            self.closing = True
            if error is None and self.protocol is not None:
                self.protocol.eof_received()
            self._lost(error)

    def _read_on(self) -> None:
        unread, self._unread = self._unread, []
        for data in unread:
            self.receive(data)
        if self._end_waits is not None:
            (error,), self._end_waits = self._end_waits, None
            self.end(error)

    def _lost(self, error: Exception | None) -> None:
        if not self.over:
            self.over = True
            self.connection.network.gone(self.connection)
            if self.socket is not None:
                self.socket.close()
            if self.protocol is not None:  # it was accepted
                self.protocol.connection_lost(error)


class Connection:
    """Two ends. `hangs`: open, and nothing arrives any more.   `broken`: over for both, told or not."""

    def __init__(self, network: Network, number: int, listener: Listener) -> None:
        self.network = network
        self.number = number
        self.listener = listener
        self.hangs = False
        self.deaf = False  # what the server sends is lost, and the next message is the last
        self.broken = False
        self.writes = 0  # of the client
        self.client: End
        self.server: End

    def send(self, sender: End, data: bytes) -> None:
        """Bring bytes to the other end."""
        network = self.network
        if sender.is_client:
            self.writes += 1
            for tell in network.told:
                tell(self, data)
            if network.fault is not None and not network.fault(self, data):
                return
        if self.hangs or self.broken or (self.deaf and not sender.is_client):
            network.lost(sender, data)
            return
        receiver = sender.other
        arrival = receiver.next_arrival(network.latency())
        network.loop.call_at(arrival, receiver.receive, data, context=receiver.context)
        if self.deaf:
            network.loop.call_at(arrival + _GAP, self.cut)

    def left(self, sender: End, error: Exception | None) -> None:
        """Tell the other end that this one has closed."""
        if not self.hangs and not self.broken:
            receiver = sender.other
            network = self.network
            network.loop.call_at(
                receiver.next_arrival(network.latency()), receiver.end, error, context=receiver.context
            )

    def cut(self) -> None:
        """End it at both ends; what is on its way is lost."""
        if not self.broken:
            self.network.note(self.name, "is cut")
            for end in (self.client, self.server):
                self.network.loop.call_soon(end.end, ConnectionResetError("Connection reset"), context=end.context)
            self.network.loop.call_soon(self._break)

    def _break(self) -> None:
        self.broken = True

    @property
    def name(self) -> str:
        """Who talks to whom."""
        process = self.client.process
        return f"{'?' if process is None else process.name} - {self.listener.name}"


class _Port:
    """What a listener's `sockets` say."""

    def __init__(self, address: Address) -> None:
        self._address = address

    def getsockname(self) -> Address:
        return self._address


class Listener(asyncio.AbstractServer):
    """Something that listens at an address."""

    def __init__(self, network: Network, factory: Callable[[], Any], address: Address) -> None:
        self.network = network
        self.address = address
        self.factory = factory
        self.process = CURRENT.get()
        self.context = copy_context()
        self.sockets: tuple[_Port, ...] = (_Port(address),)

    @property
    def name(self) -> str:
        """How a timeline calls it."""
        return self.network.names.get(self.address, f"{self.address[0]}:{self.address[1]}")

    def close(self) -> None:
        """Listen no more; connections that were made stay."""
        self.network.listeners.pop(self.address, None)

    def is_serving(self) -> bool:
        """Whether it listens."""
        return self.network.listeners.get(self.address) is self

    async def wait_closed(self) -> None:
        """It is closed at once."""

    async def start_serving(self) -> None:
        """It serves from the beginning."""

    async def serve_forever(self) -> None:
        """Wait until cancelled, which closes it."""
        try:
            await self.network.loop.create_future()
        finally:
            self.close()

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """The loop of the simulation."""
        return self.network.loop


class Network:
    """All addresses and connections of a world.

    latency: seconds one message takes.   fault: asked before a client's bytes are sent; False when they are not to be.
    """

    def __init__(self, loop: SimulatedLoop, latency: Callable[[], float]) -> None:
        self.loop = loop
        self.latency = latency
        self.fault: Callable[[Connection, bytes], bool] | None = None
        self.told: list[Callable[[Connection, bytes], object]] = []  # of what clients send, before it is sent
        self.listeners: dict[Address, Listener] = {}
        self.names: dict[Address, str] = {}  # of those who listen, for people
        self.hosts: dict[str, str] = {"localhost": "127.0.0.1"}  # names of machines
        self.connections: dict[Connection, None] = {}
        self._blocked: dict[tuple[Process | None, Address | None], tuple[float, bool]] = {}
        self._ports = itertools.count(_FIRST_PORT)
        self._client_ports = itertools.count(_FIRST_CLIENT_PORT)
        self._numbers = itertools.count(1)
        self._made: dict[Hashable, Listener] = {}
        self.note: Callable[[str, str], None] = lambda who, what: None
        self.arrived: Callable[[End, bytes], None] = lambda end, data: None
        self.lost: Callable[[End, bytes], None] = lambda end, data: None

    # What goes wrong

    def block(self, process: Process | None, address: Address | None, seconds: float, *, refuse: bool = False) -> None:
        """Let a process reach nobody (or not this address) for so long.   refuse: at once, instead of no answer."""
        self._blocked[process, address] = (self.loop.time() + seconds, refuse)

    def connections_of(self, process: Process) -> list[Connection]:
        """Those a process has opened."""
        return [connection for connection in self.connections if connection.client.process is process]

    # For the loop

    async def resolve(self, host: str) -> str:
        """The address of a machine."""
        await asyncio.sleep(self.latency())
        if host in self.hosts:
            return self.hosts[host]
        if host.replace(".", "").isdigit():
            return host
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    def listen(self, factory: Callable[[], Any], host: str, port: int) -> Listener:
        """Listen at an address. Raises OSError when it is taken."""
        host = self.hosts.get(host, host)
        address = (host, port or next(self._ports))
        if address in self.listeners:
            raise OSError(98, f"address already in use: {address}")
        listener = self.listeners[address] = Listener(self, factory, address)
        return listener

    async def connect(self, sock: Hashable, address: Address) -> None:
        """Reach who listens at an address."""
        process = CURRENT.get()
        for key in ((process, None), (process, address), (None, address)):
            until, refuse = self._blocked.get(key, (0.0, False))
            if until > self.loop.time() and not refuse:
                # TCP tries again and again.
                await asyncio.sleep(until - self.loop.time() + 1.0)
            elif until > self.loop.time():
                await asyncio.sleep(self.latency())
                raise ConnectionRefusedError(111, "Connection refused")
        await asyncio.sleep(self.latency() + self.latency())
        listener = self.listeners.get(address) or self.listeners.get((EVERYWHERE, address[1]))
        if listener is None or (listener.process is not None and listener.process.dead):
            raise ConnectionRefusedError(111, "Connection refused")
        self._made[sock] = listener

    def open(self, sock: Hashable, protocol: asyncio.BaseProtocol) -> End:
        """Make the connection that `connect` has found somebody for."""
        listener = self._made.pop(sock)
        connection = Connection(self, next(self._numbers), listener)
        context = copy_context()
        client = End(connection, CURRENT.get(), context, ("127.0.0.1", next(self._client_ports)))
        server = End(connection, listener.process, listener.context, listener.address)
        client.other, server.other = server, client
        client.is_client = True
        client.socket = sock if isinstance(sock, socket.socket) else None
        connection.client, connection.server = client, server
        self.connections[connection] = None
        self.note(connection.name, "connected")
        self.loop.call_at(server.next_arrival(self.latency()), self._accept, connection, context=server.context)
        client.begin(protocol)
        return client

    def _accept(self, connection: Connection) -> None:
        server = connection.server
        if server.closing:
            return
        if connection.listener.is_serving():
            server.begin(connection.listener.factory())
        else:
            server.protocol = asyncio.Protocol()
            server.abort()

    def gone(self, connection: Connection) -> None:
        """An end of a connection was told of its end."""
        if connection.client.over and connection.server.over:
            self.connections.pop(connection, None)

    def close(self) -> None:
        """Free the descriptors that clients have made for connections that never were.

        What is open counts as closed: streams that nobody has closed would complain of it later, in other tests.
        """
        for connection in self.connections:
            connection.client.closing = connection.server.closing = True
            if connection.client.socket is not None:
                connection.client.socket.close()
        for sock in self._made:
            if isinstance(sock, socket.socket):
                sock.close()

    def died(self, process: Process) -> None:
        """A process is dead: the system closes its connections, and its listeners."""
        for connection in tuple(self.connections):
            for end in (connection.client, connection.server):
                if end.process is process and not end.closing:
                    end.closing = end.over = True
                    connection.left(end, ConnectionResetError("Connection reset by peer"))
                    if end.socket is not None:
                        end.socket.close()
        for listener in tuple(self.listeners.values()):
            if listener.process is process:
                listener.close()
