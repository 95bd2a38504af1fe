"""Ctrl-C between any two lines: the session goes on, and no call is lost from sight."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import FrameType
from typing import Any

import pytest
from corepair import DATA, SESSION, CorePair, Sink
from either import PATIENCE

from zk_client import Client, SessionClosedError, SessionState
from zk_client._session.core import SessionCore
from zk_client._session.machine import CONNECTING, READY
from zk_testing import EmbeddedServer
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


@pytest.fixture
def zk() -> Iterator[Client]:
    with EmbeddedServer() as server, Client(server.hosts) as zk:
        yield zk


def test_a_call_that_nobody_waits_for_is_told_to_its_callback_although_its_reply_was_lost(
    zk: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    core_class = type(zk.handler.core)
    received = core_class.received
    lost: list[object] = []

    def interrupted(core: SessionCore, data: bytes, now: float) -> None:
        if lost or threading.current_thread() is not threading.main_thread():
            received(core, data, now)
            return
        assert core.connection is not None
        lost.extend(core.connection.receive(data))
        raise KeyboardInterrupt

    monkeypatch.setattr(core_class, "received", interrupted)
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


def test_a_start_that_stop_has_ended_says_so(zk: Client) -> None:
    other = Client("127.0.0.1:1", connection_retry=None)
    errors: list[BaseException] = []
    connecting = threading.Event()
    other.add_listener(lambda state: connecting.set())

    def start() -> None:
        try:
            other.start(60)
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=start)
    thread.start()
    assert connecting.wait(PATIENCE)
    other.stop()
    thread.join(PATIENCE)
    assert [type(error) for error in errors] == [SessionClosedError]
    assert "ended by stop()" in str(errors[0])
