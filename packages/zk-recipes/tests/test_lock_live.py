"""Lock on threads on a running server, with a proxy that loses, cuts and freezes."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import FrameType

import pytest
from telling import server_watches, wait_until

from zk_client import Client, NoNodeError, SessionClosedError, TransactionFailedError
from zk_recipes import Lock, LockCancelledError, LockInUseError, LockLostError, LockTimeout
from zk_testing.faults import FaultProxy
from zk_testing.member import ZooKeeperServer
from zk_testing.stopwatch import Stopwatch

MakeClient = Callable[..., Client]
PATH = "/locks/one"
PATIENCE = 20.0  # seconds after which something that must happen counts as not happening


class Thread(threading.Thread):
    """A thread whose function's result, or error, comes out of `finish`."""

    def __init__(self, function: Callable[[], object]) -> None:
        super().__init__(daemon=True)
        self._function = function
        self._result: object = None
        self._error: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            self._result = self._function()
        except BaseException as error:
            self._error = error

    def finish(self, timeout: float = PATIENCE) -> object:
        self.join(timeout)
        assert not self.is_alive(), f"still running after {timeout} s"
        if self._error is not None:
            raise self._error
        return self._result


def wait_for_queue(client: Client, count: int) -> list[str]:
    """Wait until that many nodes are in the queue, told by watches."""
    deadline = time.monotonic() + PATIENCE
    while True:
        watch = client.watcher()
        try:
            children = client.get_children(PATH, watch=watch)
        except NoNodeError:
            client.ensure_path(PATH)
            continue
        if len(children) == count:
            watch.close()
            return children
        event = watch.wait(deadline - time.monotonic())
        assert event is not None, f"{len(children)} nodes in the queue after {PATIENCE} s, not {count}"


# Exclusion


def test_threads_exclude_each_other_and_tokens_grow(make_client: MakeClient) -> None:
    clients = [make_client() for _ in range(3)]
    inside: list[int] = []
    tokens: list[int] = []

    def work(number: int) -> None:
        lock = Lock(clients[number % 3], PATH, f"worker-{number}")
        for _ in range(10):
            with lock as held:
                inside.append(number)
                assert inside == [number], "somebody else is inside"
                assert held.is_acquired and held.token is not None
                tokens.append(held.token)
                inside.remove(number)

    threads = [Thread(lambda number=number: work(number)) for number in range(6)]  # type: ignore[misc]
    for thread in threads:
        thread.finish(60)
    assert len(tokens) == 60
    assert tokens == sorted(set(tokens))
    assert wait_for_queue(clients[0], 0) == []


def test_one_object_shared_by_threads_is_refused_instead_of_shared(make_client: MakeClient) -> None:
    lock = Lock(make_client(), PATH)
    with lock, pytest.raises(LockInUseError):
        Thread(lock.acquire).finish()
    assert lock.acquire(timeout=5)
    assert lock.release()


def test_a_kazoo_named_node_is_waited_for(make_client: MakeClient) -> None:
    client, other = make_client(), make_client()
    theirs = other.create(f"{PATH}/{'ab' * 16}__lock__", b"kazoo", ephemeral=True, sequence=True, makepath=True)
    lock = Lock(client, PATH, "ours")
    assert lock.acquire(blocking=False) is False
    waiting = Thread(lambda: lock.acquire(timeout=PATIENCE))
    wait_for_queue(other, 2)
    assert lock.contenders() == ["kazoo", "ours"]
    other.delete(theirs)
    assert waiting.finish() is True
    (node,) = client.get_children(PATH)
    assert node.endswith("__lock__0000000002") and len(node) == 32 + 8 + 10
    assert client.get(f"{PATH}/{node}")[0] == b"ours"
    lock.release()


# A holder knows


@pytest.mark.parametrize("how", ["freeze", "cut"])
def test_a_holder_that_is_cut_off_is_told_before_the_next_one_holds(
    how: str, make_client: MakeClient, zk_faults: FaultProxy
) -> None:
    told: list[float] = []
    known = threading.Event()

    def lost() -> None:
        told.append(time.monotonic())
        known.set()

    first = Lock(make_client(zk_faults.hosts, 2.0), PATH, "first", on_lost=lost)
    second = Lock(make_client(), PATH, "second")
    assert first.acquire(timeout=PATIENCE)
    token = first.token
    if how == "freeze":
        zk_faults.freeze()
    else:
        zk_faults.refuse()
        zk_faults.cut()
    assert second.acquire(timeout=PATIENCE)
    got = time.monotonic()
    assert known.is_set() and told[0] < got
    assert not first.is_acquired
    assert token is not None and second.token is not None and second.token > token
    with pytest.raises(LockLostError):
        first.guard()
    zk_faults.heal()
    assert first.release() is False
    assert second.is_acquired
    assert second.release() is True
    assert len(told) == 1
    # The object whose lock was lost can compete again, in its client's new session.
    assert first.acquire(timeout=PATIENCE)
    assert first.release() is True


def test_a_holder_whose_node_is_deleted_by_a_stranger_is_told(make_client: MakeClient) -> None:
    known = threading.Event()
    lock = Lock(make_client(), PATH, on_lost=known.set)
    other = make_client()
    lock.acquire(timeout=PATIENCE)
    (node,) = wait_for_queue(other, 1)
    other.delete(f"{PATH}/{node}")
    assert known.wait(PATIENCE)
    assert not lock.is_acquired and lock.token is None
    assert lock.release() is False


def test_a_guarded_transaction_succeeds_while_held_and_is_refused_after_loss(make_client: MakeClient) -> None:
    client, other = make_client(), make_client()
    client.create("/data", b"old")
    lock = Lock(client, PATH)
    lock.acquire(timeout=PATIENCE)
    guard = lock.guard()
    transaction = client.transaction()
    transaction.add(guard)
    transaction.set_data("/data", b"first")
    transaction.commit()
    lock.check()
    (node,) = wait_for_queue(other, 1)
    other.delete(f"{PATH}/{node}")
    transaction = client.transaction()
    transaction.add(guard)
    transaction.set_data("/data", b"second")
    with pytest.raises(TransactionFailedError) as refused:
        transaction.commit()
    assert refused.value.index == 0
    assert client.get("/data")[0] == b"first"
    with pytest.raises(LockLostError):
        lock.check()
    assert not lock.is_acquired


# Bounds


def test_a_timeout_is_a_total_while_predecessors_change(make_client: MakeClient) -> None:
    client, other = make_client(), make_client()
    ahead = [Lock(other, PATH, f"ahead-{number}") for number in range(6)]
    assert ahead[0].acquire(timeout=PATIENCE)
    waiting = []
    for number, lock in enumerate(ahead[1:], 2):
        waiting.append(Thread(lambda lock=lock: lock.acquire(timeout=60)))  # type: ignore[misc]
        wait_for_queue(other, number)
    mine = Lock(client, PATH, "mine")
    outcome: list[tuple[float, float]] = []

    def acquire() -> None:
        before = Stopwatch()
        with suppress(LockTimeout):
            mine.acquire(timeout=1.5)
        outcome.append((before.seconds, before.counted()))

    thread = Thread(acquire)
    # Each predecessor goes as soon as its successor watches it, so that what we wait for changes again and again.
    wait_for_queue(other, 7)
    for lock in reversed(ahead[1:]):
        lock.cancel()
    for waiter in waiting:
        with pytest.raises(LockCancelledError):
            waiter.finish()
    thread.finish()
    ((passed, counted),) = outcome
    assert passed >= 1.5 and counted < 1.5 + 0.4
    wait_for_queue(other, 1)
    assert ahead[0].release()


def test_a_timeout_is_a_total_over_a_frozen_connection(make_client: MakeClient, zk_faults: FaultProxy) -> None:
    client = make_client(zk_faults.hosts)
    lock = Lock(client, PATH)
    zk_faults.freeze()
    before = Stopwatch()
    with pytest.raises(LockTimeout):
        lock.acquire(timeout=1.0)
    assert before.seconds >= 1.0 and before.within(1.0 + 0.4), before
    assert client.connected, "ended because the connection was lost, and not because the time was over"
    zk_faults.heal()
    assert lock.acquire(timeout=PATIENCE)
    assert lock.release()
    wait_for_queue(make_client(), 0)


def test_cancel_ends_a_waiting_acquire_and_nothing_else(make_client: MakeClient) -> None:
    client = make_client()
    first, second = Lock(client, PATH), Lock(client, PATH)
    second.cancel()
    first.acquire(timeout=PATIENCE)
    waiting = Thread(second.acquire)
    wait_for_queue(client, 2)
    second.cancel()
    with pytest.raises(LockCancelledError):
        waiting.finish()
    wait_for_queue(client, 1)
    first.release()
    assert second.acquire(timeout=PATIENCE)
    assert second.release()


def test_stopping_the_client_ends_a_waiting_acquire(make_client: MakeClient) -> None:
    holder, client = make_client(), make_client()
    with Lock(holder, PATH):
        waiting = Thread(Lock(client, PATH).acquire)
        wait_for_queue(holder, 2)
        client.stop()
        with pytest.raises(SessionClosedError):
            waiting.finish()
        wait_for_queue(holder, 1)


def test_an_exception_from_a_signal_leaves_no_contender(make_client: MakeClient) -> None:
    client, other = make_client(), make_client()

    class InterruptError(Exception):
        pass

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise InterruptError

    def alarm() -> None:
        wait_for_queue(other, 2)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, interrupt)
    try:
        with Lock(other, PATH):
            thread = Thread(alarm)
            with pytest.raises(InterruptError):
                Lock(client, PATH).acquire()
            thread.finish()
            wait_for_queue(other, 1)
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_release_returns_at_once_while_the_connection_is_away_and_is_finished_later(
    make_client: MakeClient, zk_faults: FaultProxy
) -> None:
    client, other = make_client(zk_faults.hosts, 10.0), make_client()
    lock = Lock(client, PATH)
    lock.acquire(timeout=PATIENCE)
    away = threading.Event()
    client.add_listener(lambda state: None if state.is_connected else away.set())
    zk_faults.refuse()
    zk_faults.cut()
    assert away.wait(PATIENCE)
    before = Stopwatch()
    assert lock.release() is True
    assert before.within(1.0), before
    assert len(other.get_children(PATH)) == 1
    zk_faults.heal()
    wait_for_queue(other, 0)


# Lost replies


@pytest.mark.parametrize("kind", ["create", "get_children", "delete"])
@pytest.mark.parametrize("lose", ["lose_reply", "lose_request"])
def test_a_lost_message_of_an_uncontended_lock_changes_nothing(
    kind: str, lose: str, make_client: MakeClient, zk_faults: FaultProxy
) -> None:
    client, other = make_client(zk_faults.hosts), make_client()
    other.ensure_path(PATH)
    lock = Lock(client, PATH)
    fault = getattr(zk_faults, lose)(kind)
    assert lock.acquire(timeout=PATIENCE)
    wait_for_queue(other, 1)
    assert lock.is_acquired
    assert lock.release() is True
    fault.wait()
    wait_for_queue(other, 0)


@pytest.mark.parametrize("lose", ["lose_reply", "lose_request"])
def test_a_lost_message_while_waiting_changes_nothing(
    lose: str, make_client: MakeClient, zk_faults: FaultProxy
) -> None:
    client, other = make_client(zk_faults.hosts), make_client()
    first, second = Lock(other, PATH, "first"), Lock(client, PATH, "second")
    first.acquire(timeout=PATIENCE)
    fault = getattr(zk_faults, lose)("get_data")
    waiting = Thread(lambda: second.acquire(timeout=PATIENCE))
    fault.wait()
    wait_for_queue(other, 2)
    assert first.contenders() == ["first", "second"]
    first.release()
    assert waiting.finish() is True
    assert second.release() is True
    wait_for_queue(other, 0)


def test_a_waiter_whose_notification_was_lost_is_woken_after_the_reconnect(
    make_client: MakeClient, zk_faults: FaultProxy
) -> None:
    client, other = make_client(zk_faults.hosts), make_client()
    first, second = Lock(other, PATH), Lock(client, PATH)
    first.acquire(timeout=PATIENCE)
    waiting = Thread(lambda: second.acquire(timeout=PATIENCE))
    zk_faults.wait_for("get_data")
    wait_for_queue(other, 2)
    fault = zk_faults.lose_reply("notification")
    first.release()
    fault.wait()
    assert waiting.finish() is True
    second.release()


# Nothing left


def test_twenty_timed_out_acquires_leave_no_node_no_watch_no_listener_and_no_thread(
    make_client: MakeClient, zk_server: ZooKeeperServer
) -> None:
    client, other = make_client(), make_client()
    with Lock(other, PATH):
        threads, watches = threading.active_count(), server_watches(zk_server)
        locks = [Lock(client, PATH) for _ in range(20)]
        for lock in locks:
            with pytest.raises(LockTimeout):
                lock.acquire(timeout=0.1)
        wait_for_queue(other, 1)
        assert client.handler.listeners == []
        wait_until(lambda: server_watches(zk_server) == watches)
    for _ in range(3):
        lock = Lock(client, PATH, on_lost=lambda: None)
        lock.acquire(timeout=PATIENCE)
        lock.release()
    deadline = time.monotonic() + PATIENCE
    while threading.active_count() > threads + 1 and time.monotonic() < deadline:
        # Keepers and clean-ups end by themselves: join what is left.
        for thread in threading.enumerate():
            if thread.name.startswith(("zk-client lock", "zk-client clean-up")):
                thread.join(0.1)
    assert threading.active_count() <= threads + 1  # the dispatcher
    wait_until(lambda: server_watches(zk_server) == watches)


def test_uncontended_costs_three_round_trips_on_the_wire(make_client: MakeClient, zk_faults: FaultProxy) -> None:
    client = make_client(zk_faults.hosts)
    client.ensure_path(PATH)
    lock = Lock(client, PATH)
    mark = zk_faults.mark()
    lock.acquire(timeout=PATIENCE)
    lock.release()
    sent = [passed.kind for passed in zk_faults.record[mark:] if passed.direction == "to_server"]
    assert [kind for kind in sent if kind != "ping"] == ["create", "get_children", "delete"]
