"""The three worlds a client can live in, as a test sees them: threads, greenlets, a loop of asyncio.

Rule: a test is written once, as a program for threads: its calls block, and what else it has run beside itself it makes
of `here().threading`. So do the helpers in `live`. The fixture `world` says where that is.

threads   a `Client`, and the real `threading`.
gevent    a `Client` with `runtime="gevent"` where nothing is patched; all of a test is greenlets of one thread.
asyncio   an `AsyncClient` in a loop of its own, behind calls that block (see `awaited`).
patched   a `Client` in a process that gevent has patched, where it is the only world, and `threading` means greenlets.
          It takes the tests that gevent takes.
"""

from __future__ import annotations

import importlib.util
import sys
import threading
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakSet

import pytest

from zk_client import Call, Client, GeventRuntime, run_blocking


class Threads:
    """Native threads, or whatever `threading` stands for in this process."""

    name = "threads"
    threading: Any = threading

    def client(self, hosts: str, timeout: float = 6.0, **options: Any) -> Any:
        """Make a client; `with` starts and ends it."""
        return Client(hosts, timeout, **options)

    def end(self, zk: Any) -> None:
        """Stop a client, and free what was made for it."""
        zk.stop()

    def workers(self) -> set[Any]:
        """What runs of clients: threads or greenlets, with their names."""
        return {thread for thread in threading.enumerate() if thread.name.startswith("zk-client")}

    def calling(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """A callback that calls the client."""
        return function

    def submit_all(self, zk: Any, calls: Iterable[Call[Any]]) -> None:
        """Send requests whose replies nobody waits for yet."""
        for call in calls:
            zk.handler.submit(call)

    def run_body(self, zk: Any, body: Callable[[Any], Coroutine[Any, Any, Any]]) -> Any:
        """Run a body on a client's port."""
        return run_blocking(body(zk.port))

    def outside(self, function: Callable[[], object]) -> None:
        """Do something that takes long and is not of this world; clients go on meanwhile."""
        function()

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Be in this world."""
        yield


class Gevent(Threads):
    """Greenlets of the main thread, which nothing may halt but what ends by itself."""

    name = "gevent"

    def __init__(self) -> None:
        from gevent import get_hub

        self._spawned: WeakSet[Any] = WeakSet()
        self._choose()
        self._hub = get_hub()
        self._hub.threadpool.apply(int)  # has all the descriptors it will ever have

    def _choose(self) -> None:
        import greenthreads

        self.threading = greenthreads
        self._runtime = {"runtime": "gevent"}

    def client(self, hosts: str, timeout: float = 6.0, **options: Any) -> Any:
        return Client(hosts, timeout, **self._runtime, **options)

    def outside(self, function: Callable[[], object]) -> None:
        self._hub.threadpool.apply(function)

    def workers(self) -> set[Any]:
        return {greenlet for greenlet in tuple(self._spawned) if not greenlet.dead}

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Workers are remembered as they begin: asking the collector for them takes long."""
        spawn = GeventRuntime.spawn

        def remembered(runtime: GeventRuntime, name: str, function: Callable[[], None]) -> Any:
            worker: Any = spawn(runtime, name, function)
            self._spawned.add(worker.greenlet)
            return worker

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(GeventRuntime, "spawn", remembered)
            self._leave_the_hub(patch)
            yield

    def _leave_the_hub(self, patch: pytest.MonkeyPatch) -> None:
        """What waits for a fault proxy, whose threads are real, leaves the hub running."""
        from greenthreads import off_the_hub

        from zk_testing.faults import FaultProxy
        from zk_testing.faults.fault import Fault

        for owner, name in ((Fault, "wait"), (FaultProxy, "wait_for"), (FaultProxy, "wait_for_connections")):
            patch.setattr(owner, name, off_the_hub(getattr(owner, name)))


class Patched(Gevent):
    """Greenlets that are called threads."""

    name = "patched"

    def _choose(self) -> None:
        self._runtime = {}

    def outside(self, function: Callable[[], object]) -> None:
        function()

    def _leave_the_hub(self, patch: pytest.MonkeyPatch) -> None:
        """The proxy's threads are greenlets as well."""


class Asyncio(Threads):
    """A loop on a thread of its own for each client; the test is on other threads."""

    name = "asyncio"

    def client(self, hosts: str, timeout: float = 6.0, **options: Any) -> Any:
        from awaited import AwaitedClient

        return AwaitedClient(hosts, timeout, **options)

    def end(self, zk: Any) -> None:
        zk.end()

    def workers(self) -> set[Any]:
        return super().workers() | {thread for thread in threading.enumerate() if thread.name == "loop of a test"}

    def calling(self, function: Callable[..., Any]) -> Callable[..., Any]:
        from awaited import calling

        return calling(function)

    def submit_all(self, zk: Any, calls: Iterable[Call[Any]]) -> None:
        zk.submit_all(calls)

    def run_body(self, zk: Any, body: Callable[[Any], Coroutine[Any, Any, Any]]) -> Any:
        return zk.run_body(body)


WORLDS: dict[str, type[Threads]] = {"threads": Threads, "gevent": Gevent, "asyncio": Asyncio}
PATCHED = "patched"
_current: list[Threads] = [Threads()]


def here() -> Threads:
    """The world of the test that runs."""
    return _current[-1]


@contextmanager
def being_in(name: str) -> Iterator[Threads]:
    """Make a world the one of the tests that run meanwhile."""
    world = Patched() if name == PATCHED else WORLDS[name]()
    with world.entered():
        _current.append(world)
        try:
            yield world
        finally:
            _current.remove(world)


def parameters(names: Iterable[str]) -> list[Any]:
    """The worlds of this process among those named; one that cannot be is skipped with the reason."""
    monkey = sys.modules.get("gevent.monkey")
    if monkey is not None and monkey.is_module_patched("threading"):
        marks = [] if "gevent" in names else [pytest.mark.skip(reason="not for greenlets")]
        return [pytest.param(PATCHED, id=PATCHED, marks=marks)]
    missing = [] if importlib.util.find_spec("gevent") else [pytest.mark.skip(reason="gevent is not installed")]
    return [pytest.param(name, id=name, marks=missing if name == "gevent" else []) for name in WORLDS if name in names]
