"""What may never halt the hub: a greenlet beats while a client does its worst. Run by itself, in a patched process.

    python hubbeats.py SCENE        patches everything, then plays one scene, and prints the longest gap in seconds

Rule: a scene returns when its own waits, of about a second in all, were long enough to be noticed.
"""

from __future__ import annotations

import sys

if __name__ == "__main__":
    from gevent import monkey

    monkey.patch_all()

import _socket
import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import gevent
from gevent.monkey import get_original
from greenlets import greenlets
from live import BlackHole

from zk_client import CallTimeoutError, Client, StartTimeoutError
from zk_testing import EmbeddedServer
from zk_testing.faults import FaultProxy
from zk_testing.stopwatch import Stopwatch

MakeClient = Callable[..., Client]
original_sleep = get_original("time", "sleep")


class Heart:
    """A greenlet that beats every 5 ms and remembers its longest pause, less what the machine took of it."""

    def __init__(self) -> None:
        self.longest = 0.0
        self.beats = 0
        self._greenlet = gevent.spawn(self._beat)

    def _beat(self) -> None:
        while True:
            pause = Stopwatch()
            gevent.sleep(0.005)
            self.longest = max(self.longest, pause.counted())
            self.beats += 1

    def __enter__(self) -> Heart:
        gevent.sleep(0.02)
        return self

    def __exit__(self, *exc: object) -> None:
        self._greenlet.kill()


def connecting_to_a_black_hole(make: MakeClient) -> None:
    """The host answers nothing, not even that it refuses."""
    with BlackHole() as hole:
        try:
            make(hole.address).start(1.0)
        except StartTimeoutError:
            return
    raise AssertionError("a black hole has granted a session")


def resolving(make: MakeClient) -> None:
    """The system's resolver takes its time, and blocks whoever asks it."""
    original = _socket.getaddrinfo

    def slow(host: Any, port: Any, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0) -> Any:  # noqa: A002
        if host in ("slow.test", b"slow.test") and not flags & _socket.AI_NUMERICHOST:
            original_sleep(1.0)
            host = "127.0.0.1"
        return original(host, port, family, type, proto, flags)

    with EmbeddedServer() as server:
        _socket.getaddrinfo = slow
        try:
            with make(f"slow.test:{server.port}") as zk:
                assert zk.exists("/") is not None
        finally:
            _socket.getaddrinfo = original


def waiting_for_replies(make: MakeClient) -> None:
    """The connection stands still while one caller leads and others follow."""
    with EmbeddedServer() as server, FaultProxy(server.hosts) as proxy, make(proxy.hosts) as zk:
        proxy.freeze()
        waiting = [gevent.spawn(zk.exists, "/") for _ in range(5)]
        try:
            zk.handler.call(zk.operations.exists("/"), 1.0)
        except CallTimeoutError:
            pass
        proxy.heal()
        gevent.joinall(waiting, timeout=20, raise_error=True)
        assert all(done.dead for done in waiting)


def storms_of_calls(make: MakeClient) -> None:
    """One greenlet submits without waiting, and sixteen ask."""
    with EmbeddedServer() as server, make(server.hosts) as zk:

        def submit() -> None:
            for call in [zk.exists_async("/") for _ in range(10_000)]:
                call.result()

        def ask() -> None:
            for _ in range(50):
                zk.exists("/")

        gevent.joinall([gevent.spawn(submit), *(gevent.spawn(ask) for _ in range(16))], raise_error=True)


def callbacks_and_stopping(make: MakeClient) -> None:
    """Callbacks that wait, and a server that never confirms the end."""
    with EmbeddedServer() as server, FaultProxy(server.hosts) as proxy:
        zk = make(proxy.hosts)
        zk.start()
        zk.exists_async("/").add_done_callback(lambda call: gevent.sleep(0.3))
        proxy.freeze()
        zk.stop(1.0)


SCENES = [
    connecting_to_a_black_hole,
    resolving,
    waiting_for_replies,
    storms_of_calls,
    callbacks_and_stopping,
]


@contextmanager
def heartbeat() -> Iterator[Heart]:
    """Measure with the collector's pauses left out: they halt threads as well."""
    gc.collect()
    gc.disable()
    try:
        with Heart() as heart:
            yield heart
    finally:
        gc.enable()


def main(scene: str) -> None:
    with heartbeat() as heart:
        globals()[scene](Client)
    assert greenlets() == [], greenlets()
    print(heart.longest, heart.beats)


if __name__ == "__main__":
    main(sys.argv[1])
