"""What became of a lost write is never told by a leader that was deposed and has not noticed.

Such a leader answers `sync` and reads from a past in which the write never was. It cannot get anything agreed on, so
the client has it try.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from zk_client import Client, Outcome, ServerError
from zk_testing import EmbeddedEnsemble
from zk_testing.faults import FaultProxy

PATIENCE = 20.0


class Scene:
    """An ensemble that is about to have two leaders, and one client that is connected to neither."""

    def __init__(self, ensemble: EmbeddedEnsemble, stack: ExitStack) -> None:
        self.ensemble = ensemble
        self.ways = {member: stack.enter_context(FaultProxy(member)) for member in ensemble}
        leader = ensemble.leader()
        assert leader is not None
        self.old = leader
        self.mine = next(member for member in ensemble if member is not leader)
        self.reach_only(self.mine)
        hosts = ",".join(way.address for way in self.ways.values())
        self.zk = stack.enter_context(Client(hosts, 30.0, runtime="threads"))
        for path in ("/set", "/delete", "/q", "/marks"):
            self.zk.create(path)

    def reach_only(self, member: Any) -> None:
        """From now on the client finds one member only."""
        for other, way in self.ways.items():
            if other is member:
                way.heal()
            else:
                way.refuse("not_listening")
                way.cut()

    def depose(self, how: str) -> None:
        """Have the others elect a leader, while the old one leads on in its own eyes."""
        if how == "paused":
            self.old.pause()
        else:
            self.ensemble.isolate(self.old)
        until(lambda: (leader := self.ensemble.leader()) is not None and leader is not self.old)
        # Its connection may still be one to the old leader's follower, about to be closed: an answer shows a new one.
        self.zk.sync("/")

    def lose(self, operation: str, begin: Callable[[Client], Any]) -> Any:
        """Begin a write that is applied, and whose reply is lost."""
        fault = self.ways[self.mine].lose_reply(operation, then="freeze")
        call = begin(self.zk)
        fault.wait()
        return call

    def be_misled(self, how: str) -> None:
        """Have the client find nobody but the old leader, until that knows that it leads no more; then everybody."""
        if how == "paused":
            self.old.resume()
        self.reach_only(self.old)
        until(lambda: self.old.role != "leader")
        self.ensemble.reconnect()
        for way in self.ways.values():
            way.heal()


@pytest.fixture
def scene() -> Iterator[Scene]:
    # A leader notices after one of these ticks, in which a client reconnects several times.
    with EmbeddedEnsemble(3, tick_ms=400, sync_limit=5) as ensemble, ExitStack() as stack:
        yield Scene(ensemble, stack)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    never = threading.Event()
    while not condition():
        assert time.monotonic() < deadline
        never.wait(0.002)


WRITES: dict[str, tuple[str, Callable[[Client], Any]]] = {
    "create": ("create", lambda zk: zk.create_async("/e", ephemeral=True)),
    "sequential": ("create", lambda zk: zk.create_async("/q/n-", ephemeral=True, sequence=True)),
    "set": ("set_data", lambda zk: zk.set_async("/set", b"new")),
    "delete": ("delete", lambda zk: zk.delete_async("/delete")),
    "transaction": ("multi", lambda zk: zk.transaction(marker="/marks").set_data("/set", b"new").commit_async()),
}


@pytest.mark.slow
@pytest.mark.parametrize("how", ["paused", "isolated"])
@pytest.mark.parametrize("name", WRITES)
def test_a_write_that_was_applied_is_never_called_not_applied(scene: Scene, name: str, how: str) -> None:
    scene.depose(how)
    call = scene.lose(*WRITES[name])
    scene.be_misled(how)
    error = call.exception(PATIENCE)
    if name in ("create", "sequential", "transaction"):
        assert error is None
    else:
        assert isinstance(error, ServerError)
        assert error.outcome is Outcome.UNKNOWN
