"""Ctrl-C, between any two lines and in any wait: the session goes on, and no call is lost from sight."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Any

import pytest
from corepair import DATA, SESSION, CorePair, Sink
from live import PATIENCE, Background, Events, cut_off, in_thread

from zk_client import Client, Outcome, SessionState
from zk_client._session.core import SessionCore
from zk_client._session.machine import CONNECTING, READY
from zk_testing.faults import FaultProxy
from zk_wire import GetDataRequest

CORE = ("_session/core.py", "_session/machine.py")


class InterruptAt:
    """Raises KeyboardInterrupt before the n-th line of the core that is run inside the block."""

    def __init__(self, line: int) -> None:
        self._left = line
        self.struck = False

    def __enter__(self) -> InterruptAt:
        self._before = sys.gettrace()
        sys.settrace(self._trace)
        return self

    def __exit__(self, *exc: object) -> None:
        sys.settrace(self._before)

    def _trace(self, frame: FrameType, event: str, argument: Any) -> Any:
        if not frame.f_code.co_filename.endswith(CORE):
            return None
        if event == "line" and not self.struck:
            self._left -= 1
            if self._left == 0:
                self.struck = True
                raise KeyboardInterrupt
        return self._trace


def first_session(pair: CorePair) -> None:
    pair.grant()


def another_session(pair: CorePair) -> None:
    pair.grant(SESSION + 1)


def gone_session(pair: CorePair) -> None:
    pair.gone()


def prepare(scene: Callable[[CorePair], None]) -> CorePair:
    """As far as the moment before the scene."""
    pair = CorePair("a:1,b:2")
    if scene is first_session:
        pair.start()
        pair.submit(pair.operations.get("/waiting"))
    else:
        pair.open()
        pair.submit(pair.operations.get("/watched", Sink()))
        pair.reply(pair.next(GetDataRequest), DATA)
        pair.close()
        pair.wait_for(0)
    assert pair.core.phase == CONNECTING
    pair.connect()
    return pair


@pytest.mark.parametrize("scene", [first_session, another_session, gone_session])
def test_an_interrupt_at_any_line_of_a_welcome_costs_a_connection_and_no_more(
    scene: Callable[[CorePair], None],
) -> None:
    line = 0
    while True:
        line += 1
        pair = prepare(scene)
        with InterruptAt(line) as interrupt, suppress(KeyboardInterrupt):
            scene(pair)
        if not interrupt.struck:
            break
        # What the handler does.
        pair.core.closed(pair.now, "a call was interrupted half-way")
        pair.settle()
        if pair.core.phase != READY:
            pair.reopen()
        late = pair.submit(pair.operations.get("/late"))
        while pair.requests:
            request = pair.requests.pop(0)
            pair.reply(request, DATA if isinstance(request.request, GetDataRequest) else None)
        assert late.done, f"interrupted before line {line}"
        assert pair.core.state is SessionState.CONNECTED, f"interrupted before line {line}"
    assert line > 30


# On a server


class Interrupts:
    """Ctrl-C for the main thread, sent by others; it raises only while `armed`, and once."""

    def __enter__(self) -> Interrupts:
        self.armed = False
        self._before = signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(self, *exc: object) -> None:
        self.armed = False
        signal.signal(signal.SIGINT, self._before)

    def _handle(self, number: int, frame: object) -> None:
        if self.armed:
            self.armed = False
            raise KeyboardInterrupt

    def send(self) -> None:
        main = threading.main_thread().ident
        assert main is not None
        signal.pthread_kill(main, signal.SIGINT)


@pytest.mark.worlds("threads")
def test_an_interrupted_call_leaves_the_client_usable(away: Client, zk_faults: FaultProxy) -> None:
    zk_faults.freeze("to_client")
    other = in_thread(lambda: away.get("/")[0])
    zk_faults.wait_for("get_data")
    background = Background()
    with Interrupts() as interrupts:
        background(lambda: (zk_faults.wait_for("create"), interrupts.send()))
        interrupts.armed = True
        with pytest.raises(KeyboardInterrupt):
            away.create("/n", b"sent")
    background.join()

    zk_faults.heal()

    assert other() == b""
    assert away.get("/n")[0] == b"sent"


@pytest.mark.worlds("threads")
def test_a_call_interrupted_before_it_was_sent_is_never_sent(away: Client, zk_faults: FaultProxy) -> None:
    cut_off(away, zk_faults)
    with Interrupts() as interrupts:
        timer = threading.Timer(0.1, interrupts.send)
        timer.start()
        interrupts.armed = True
        with pytest.raises(KeyboardInterrupt):
            away.create("/n")
        timer.join()
    zk_faults.heal()
    assert away.exists("/n") is None


@pytest.fixture
def lost(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """The next replies that this thread receives are read, and then it is interrupted; they end here."""
    received = SessionCore.received
    lost: list[object] = []

    def interrupted(core: SessionCore, data: bytes, now: float) -> None:
        if lost or threading.current_thread() is not threading.main_thread():
            received(core, data, now)
            return
        assert core.connection is not None
        lost.extend(core.connection.receive(data))
        raise KeyboardInterrupt

    monkeypatch.setattr(SessionCore, "received", interrupted)
    return lost


@pytest.mark.worlds("threads")
def test_replies_in_the_hands_of_an_interrupted_thread_are_not_waited_for_in_vain(
    zk: Client, lost: list[object]
) -> None:
    number = 0
    reads, writes = [], []
    while not lost:
        number += 1
        reads = [zk.get_async("/") for _ in range(5)]
        writes = [zk.create_async(f"/n{number}-{turn}") for turn in range(5)]
        with suppress(KeyboardInterrupt):
            reads[0].result(PATIENCE)
    assert [call.result(PATIENCE)[0] for call in reads] == [b""] * 5
    for turn, call in enumerate(writes):
        error = call.exception(PATIENCE)
        there = zk.exists(f"/n{number}-{turn}") is not None
        outcome = Outcome.APPLIED if error is None else error.outcome
        assert outcome in (Outcome.UNKNOWN, Outcome.APPLIED if there else Outcome.NOT_APPLIED)


@pytest.mark.worlds("threads")
def test_a_call_that_nobody_waits_for_is_told_to_its_callback_although_its_reply_was_lost(
    zk: Client, lost: list[object]
) -> None:
    told: list[threading.Event] = []
    while not lost:
        told = [threading.Event() for _ in range(5)]
        with zk.handler.mutex:  # so that they travel together
            calls = [zk.operations.exists("/") for _ in told]
            for call in calls:
                zk.handler.core.submit(call, zk.runtime.now())
        for call, event in zip(calls, told, strict=True):
            call.add_done_callback(lambda _, event=event: event.set())
        with suppress(KeyboardInterrupt):
            zk.exists("/")
    assert all(event.wait(PATIENCE) for event in told)


@pytest.mark.worlds("threads")
def test_interrupts_at_any_moment_leave_the_client_usable(zk: Client) -> None:
    stop = threading.Event()
    counts = Events()

    def others() -> None:
        number = 0
        while not stop.is_set():
            assert zk.get("/")[0] == b""
            number += 1
        counts(number)

    background = Background()
    background(others)
    background(others)
    interrupted = 0
    with Interrupts() as interrupts:
        for turn in range(60):
            sent = threading.Event()
            timer = threading.Timer(0.001 + turn * 0.0001, lambda sent=sent: (interrupts.send(), sent.set()))
            timer.start()
            try:
                interrupts.armed = True
                while not sent.is_set():
                    zk.get("/")
                interrupts.armed = False
            except KeyboardInterrupt:
                interrupted += 1
            timer.join()
            assert zk.get("/")[0] == b""
    stop.set()
    background.join()
    assert interrupted > 30
    assert all(count > 10 for count in counts.wait(2))
