"""A server that freezes, is slow, resets or stops in the middle of a frame; and how long a lease is safe."""

from __future__ import annotations

import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import pairwise
from statistics import median

import pytest
from conftest import MakeClient
from live import PATIENCE, Background, Events, States, comes_true, in_thread
from worlds import here

from zk_client import Client, ConnectionLostError, EventType, Outcome, SessionState
from zk_testing.faults import FaultProxy
from zk_testing.member import ZooKeeperServer
from zk_testing.rawclient import RawClient
from zk_testing.stopwatch import Stopwatch
from zk_wire import ExistsRequest

pytestmark = pytest.mark.cluster

SUSPENDED, CONNECTED, EXPIRED = SessionState.SUSPENDED, SessionState.CONNECTED, SessionState.EXPIRED


class Every50ms:
    """Sends a read every 50 ms, as an application does that does not know that its server is gone."""

    def __init__(self, client: Client) -> None:
        self.calls = [client.get_async("/")]
        self._client = client
        self._stop = here().threading.Event()
        self._thread = here().threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(0.05):
            self.calls.append(self._client.get_async("/"))

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()


@pytest.mark.parametrize("how", ["paused server", "frozen network", "frozen replies"])
def test_a_frozen_server_is_noticed_although_the_application_keeps_sending(
    make_client: MakeClient, zk_server: ZooKeeperServer, zk_faults: FaultProxy, how: str
) -> None:
    timeout = 1.5
    zk = make_client(zk_faults.hosts, timeout)
    states = States(zk)
    zk.get("/")
    if how == "paused server":
        zk_server.pause()
    else:
        zk_faults.freeze("to_client" if how == "frozen replies" else "both")
    frozen = Stopwatch()
    application = Every50ms(zk)

    noticed = states.wait(SUSPENDED)

    assert 0.6 * timeout < noticed - frozen.begun
    assert frozen.within(timeout * 2 / 3 + 0.5, until=noticed), frozen
    if how == "paused server":
        zk_server.resume()
    else:
        zk_faults.heal()
    states.wait(CONNECTED)
    assert comes_true(lambda: len(application.calls) > 10)
    application.stop()
    # Reads are asked again, or end with the session: none is left hanging.
    assert all(call.wait(PATIENCE) for call in application.calls)
    assert zk.get("/")[1].num_children > 0


def test_an_idle_client_notices_a_frozen_server_too(make_client: MakeClient, zk_faults: FaultProxy) -> None:
    zk = make_client(zk_faults.hosts, 1.0)
    states = States(zk)
    zk_faults.freeze()
    begun = Stopwatch()
    assert begun.within(1.0, until=states.wait(SUSPENDED)), begun


def test_a_quiet_connection_is_kept_by_pings(make_client: MakeClient, zk_faults: FaultProxy) -> None:
    zk = make_client(zk_faults.hosts, 1.8)
    states = States(zk)
    pings = zk_faults.wait_for("ping", count=6)
    gaps = [later.time - earlier.time for earlier, later in pairwise(pings)]
    assert median(gaps) < 1.8 * 2 / 3  # a busy machine may well delay one of them
    assert states.seen == []
    assert zk.lease_remaining > 0


def test_a_busy_connection_needs_no_pings(make_client: MakeClient, zk_faults: FaultProxy) -> None:
    zk = make_client(zk_faults.hosts, 0.9)
    done = time.monotonic() + 1.0
    while time.monotonic() < done:
        zk.get("/")
    sent = [passed for passed in zk_faults.record if passed.direction == "to_server"]
    # Unless the machine was too busy for this test itself.
    needless = [ping for before, ping in pairwise(sent) if ping.kind == "ping" and ping.time - before.time < 0.2]
    assert needless == []


@pytest.mark.worlds("threads", "gevent")
def test_a_socket_that_others_have_read_meanwhile_does_not_stop_the_clock(
    make_client: MakeClient, zk_faults: FaultProxy
) -> None:
    # The background worker was told that the socket is readable; by the time it reads, a caller has read it.
    zk = make_client(zk_faults.hosts, 1.5)
    states = States(zk)
    zk.get("/")
    zk_faults.freeze("both")
    poller = zk.handler.poller
    wait, lies = poller.wait, [True]

    def lying(sock: socket.socket | None, write: bool, timeout: float | None) -> tuple[bool, bool]:
        if sock is not None and lies:
            lies.pop()
            return True, False
        return wait(sock, write, timeout)

    poller.wait = lying  # type: ignore[method-assign]
    poller.wake()

    states.wait(SUSPENDED)

    assert not lies


def test_a_waiting_call_keeps_the_session_alive(
    make_client: MakeClient, zk_server: ZooKeeperServer, zk_faults: FaultProxy
) -> None:
    # The reply takes longer than the session lasts; pings go on, and their answers come.
    zk = make_client(zk_faults.hosts, 1.5)
    states = States(zk)
    watcher = zk.watcher()
    zk.exists("/never", watch=watcher)
    assert watcher.wait(3.75) is None
    assert states.seen == []
    assert zk.exists("/never") is None


# The lease


@pytest.mark.parametrize("how", ["frozen", "cut off"])
def test_the_lease_ends_before_the_server_gives_an_ephemeral_node_away(
    make_client: MakeClient,
    zk_server: ZooKeeperServer,
    zk_faults: FaultProxy,
    zk_chroot: str,
    how: str,
) -> None:
    zk = make_client(zk_faults.hosts + zk_chroot, 1.0)
    zk.create("/lock", ephemeral=True)
    gone = Events()
    other = make_client(zk_server.connection_string(zk_chroot), 10.0)
    times: list[float] = []
    other.exists("/lock", watch=lambda event: (times.append(time.monotonic()), gone(event)))
    zk.get("/")
    assert 0 < zk.lease_remaining <= zk.session_timeout

    if how == "frozen":
        zk_faults.freeze()
    else:
        zk_faults.refuse()
        zk_faults.cut()
    waiting = here().threading.Event()
    while (remaining := zk.lease_remaining) > 0:
        waiting.wait(remaining)
    lease_over = time.monotonic()

    assert gone.seen == []
    assert gone.wait()[0].type is EventType.DELETED
    margin = times[0] - lease_over
    print(f"lease of {zk.session_timeout} s, {how}: over {margin:.3f} s before the server gave the node away")
    assert margin > 0


def test_the_lease_grows_with_every_answer(make_client: MakeClient, zk_server: ZooKeeperServer) -> None:
    zk = make_client(zk_server.hosts, 4.0)
    for _ in range(3):
        before = time.monotonic()
        zk.get("/")
        end = time.monotonic() + zk.lease_remaining
        assert before + 3.0 < end < time.monotonic() + 4.0


def test_there_is_no_lease_without_a_session(make_client: MakeClient, zk_server: ZooKeeperServer) -> None:
    zk = make_client(zk_server.hosts, start=False)
    assert zk.lease_remaining == 0
    zk.start()
    assert zk.lease_remaining > 0
    zk.stop()
    assert zk.lease_remaining == 0


# Bytes


class Mangler:
    """Between client and server: passes everything, until told how to end the conversation from the server's side."""

    def __init__(self, port: int) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._upstream = port
        self._threads: list[threading.Thread] = []
        self._wake, self._woken = socket.socketpair()
        self.instead: bytes | None = None  # sent to the client in place of the server's next bytes, then the end
        self.limit: int | None = None  # so many of the server's bytes are passed, then the end
        self.reset = False  # the end is a reset
        self._spawn(self._accept)

    def _spawn(self, function: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=function, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while self._listener in select.select([self._listener, self._woken], [], [])[0]:
            client, _ = self._listener.accept()
            self._spawn(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", self._upstream)) as server, suppress(OSError):
            while True:
                ready = select.select([client, server, self._woken], [], [])[0]
                if self._woken in ready:
                    return
                if client in ready:
                    if not (data := client.recv(65536)):
                        return
                    server.sendall(data)
                if server in ready and not self._pass_down(server.recv(65536), client):
                    return

    def _pass_down(self, data: bytes, client: socket.socket) -> bool:
        """Pass the server's bytes on; False at the end."""
        if not data:
            return False
        last = self.instead is not None
        if self.instead is not None:
            data, self.instead = self.instead, None
        elif self.limit is not None:
            last = len(data) > self.limit
            data = data[: self.limit]
            self.limit = None if last else self.limit - len(data)
        client.sendall(data)
        if last and self.reset:
            self.reset = False
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return not last

    def close(self) -> None:
        self._wake.send(b"x")  # nobody reads it, so everybody sees it
        for thread in self._threads:
            thread.join(5)
        for sock in (self._listener, self._wake, self._woken):
            sock.close()


@pytest.fixture
def mangler(zk_server: ZooKeeperServer) -> Iterator[Mangler]:
    mangler = Mangler(zk_server.port)
    yield mangler
    mangler.close()


@pytest.mark.parametrize("passed", [0, 2, 4, 19, 20, 50])
def test_a_frame_that_ends_in_the_middle_is_read_on_the_next_connection(
    make_client: MakeClient, mangler: Mangler, zk_chroot: str, passed: int
) -> None:
    zk = make_client(mangler.address + zk_chroot)
    zk.create("/n", b"whole")
    session = zk.session_id
    states = States(zk)
    mangler.limit = passed
    assert zk.get("/n")[0] == b"whole"
    states.wait(CONNECTED)
    assert zk.session_id == session


@pytest.mark.parametrize("reset_after", [0, 10])
def test_a_reset_is_a_lost_connection(
    make_client: MakeClient, mangler: Mangler, zk_chroot: str, reset_after: int
) -> None:
    zk = make_client(mangler.address + zk_chroot)
    zk.create("/n", b"whole")
    session = zk.session_id
    mangler.reset = True
    mangler.limit = reset_after
    assert zk.get("/n")[0] == b"whole"
    assert zk.session_id == session


@pytest.mark.parametrize(
    "garbage",
    [
        b"\xff\xff\xff\xff",  # a negative length
        b"\x7f\xff\xff\xff" + bytes(64),  # two gigabytes are announced
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        bytes.fromhex("00000010 00000063 0000000000000001 00000000"),  # a reply nobody waits for
        bytes.fromhex("00000004 00000001"),  # shorter than a header
        bytes(400),
    ],
)
def test_bad_bytes_end_a_connection_and_never_the_client(
    make_client: MakeClient, mangler: Mangler, zk_chroot: str, garbage: bytes
) -> None:
    zk = make_client(mangler.address + zk_chroot)
    zk.create("/n", b"whole")
    session = zk.session_id
    for _ in range(2):
        mangler.instead = garbage
        calls = [zk.get_async("/n") for _ in range(5)]
        results = [call.exception(PATIENCE) or call.result() for call in calls]
        # The oldest request is the one whose reply could not be read; all others are asked again.
        assert [result[0] for result in results[1:]] == [b"whole"] * 4
        assert isinstance(results[0], ConnectionLostError) or results[0][0] == b"whole"
    assert zk.session_id == session


def test_a_reply_longer_than_allowed_is_refused_and_not_asked_for_ever(
    make_client: MakeClient, zk_server: ZooKeeperServer, zk_chroot: str
) -> None:
    zk = make_client(zk_server.connection_string(zk_chroot), max_frame=100_000)
    zk.create("/big", bytes(200_000))
    zk.create("/small", b"1")
    with pytest.raises(ConnectionLostError, match="100000") as refused:
        zk.get("/big")
    assert refused.value.outcome is Outcome.NOT_APPLIED
    assert zk.get("/small")[0] == b"1"


def test_a_slow_server_is_not_a_dead_one(make_client: MakeClient, zk_faults: FaultProxy, zk_chroot: str) -> None:
    zk = make_client(zk_faults.hosts + zk_chroot, 1.2)
    states = States(zk)
    zk_faults.delay(0.3)
    begun = time.monotonic()
    for turn in range(5):
        assert zk.create(f"/n{turn}", ephemeral=True) == f"/n{turn}"
    assert time.monotonic() - begun > 1.5
    assert states.seen == []


def test_pipelined_requests_share_a_slow_line(make_client: MakeClient, zk_faults: FaultProxy, zk_chroot: str) -> None:
    zk = make_client(zk_faults.hosts + zk_chroot, 10.0)
    zk_faults.delay(0.3)
    begun = Stopwatch()
    calls = [zk.create_async(f"/n{turn}") for turn in range(100)]
    assert [call.result(PATIENCE) for call in calls] == [f"/n{turn}" for turn in range(100)]
    assert begun.within(5), begun


# The server


def test_a_restarted_server_is_found_again_with_the_session(
    make_client: MakeClient, zk_server: ZooKeeperServer, zk_chroot: str
) -> None:
    zk = make_client(zk_server.connection_string(zk_chroot), 20.0)
    zk.create("/mine", ephemeral=True)
    watcher = zk.watcher()
    zk.exists("/n", watch=watcher)
    session = zk.session_id
    zk_server.kill()
    waiting = in_thread(lambda: zk.exists("/mine"))
    zk_server.start()
    stat = waiting()
    assert stat is not None
    assert stat.owner_session_id == zk.session_id == session
    zk.create("/n")
    assert watcher.event is not None


def test_a_second_connection_of_the_session_is_noticed(
    make_client: MakeClient, zk_server: ZooKeeperServer, zk_chroot: str
) -> None:
    # Another process with the same id and password takes the session over; this client takes it back.
    zk = make_client(zk_server.connection_string(zk_chroot))
    states = States(zk)
    assert zk.client_id is not None
    thief = RawClient(zk_server.address, session=zk.client_id)
    states.wait(SUSPENDED)
    states.wait(CONNECTED)
    thief.wait_closed()
    thief.close()
    assert zk.exists("/") is not None
    with RawClient(zk_server.address) as raw:
        assert raw.request(ExistsRequest("/", False)).stat.num_children > 0


# Large


NAMES = [f"{number:04}-{'n' * 4195}" for number in range(2_500)]


@pytest.fixture(scope="module")
def crowded(zk_server: ZooKeeperServer) -> Iterator[str]:
    """A node with 10 MB of names below it."""
    top = "/crowded"
    batches = [NAMES[start : start + 200] for start in range(0, len(NAMES), 200)]
    with Client(zk_server.hosts, 30.0) as zk:
        zk.create(top)
        for names in batches:
            with zk.transaction() as batch:
                for name in names:
                    batch.create(f"{top}/{name}")
    yield top
    with Client(zk_server.hosts, 30.0) as zk:
        for names in batches:
            with zk.transaction() as batch:
                for name in names:
                    batch.delete(f"{top}/{name}")
        zk.delete(top)


def test_ten_megabytes_of_names_arrive_in_pieces(
    make_client: MakeClient, zk_server: ZooKeeperServer, crowded: str
) -> None:
    zk = make_client(zk_server.hosts, 10.0)
    before, names, after = zk.get_async("/"), zk.get_children_async(crowded), zk.get_async("/")
    children = names.result(60)
    assert sum(map(len, children)) == 10_500_000
    assert sorted(children) == NAMES
    assert before.result(PATIENCE)[1] == after.result(PATIENCE)[1]


def test_a_large_reply_cut_off_half_way_is_asked_again(make_client: MakeClient, mangler: Mangler, crowded: str) -> None:
    zk = make_client(mangler.address, 10.0)
    mangler.limit = 5_000_000
    assert len(zk.get_children(crowded)) == len(NAMES)


def test_others_are_served_while_one_receives_a_large_reply(
    make_client: MakeClient, zk_server: ZooKeeperServer, crowded: str
) -> None:
    zk = make_client(zk_server.hosts, 10.0)
    large = [in_thread(lambda: len(zk.get_children(crowded))) for _ in range(3)]
    background = Background()
    for _ in range(4):
        background(lambda: [zk.get("/") for _ in range(50)])
    background.join(60)
    assert [wait() for wait in large] == [len(NAMES)] * 3


def test_megabytes_each_way_at_once_do_not_block_each_other(
    make_client: MakeClient, zk_server: ZooKeeperServer, zk_chroot: str
) -> None:
    zk = make_client(zk_server.connection_string(zk_chroot), 10.0)
    data = bytes(1_000_000)
    zk.create("/n", data)
    calls: list[object] = []
    for _ in range(15):
        calls.append(zk.get_async("/n"))
        calls.append(zk.set_async("/n", data))
    assert all(call.wait(60) for call in calls)  # type: ignore[attr-defined]
    assert zk.get("/n")[1].version == 15
