"""Three worlds to run bodies in, each on a thread of its own: threads, greenlets of an unpatched process, asyncio.

Rule: a world opens clients, runs bodies beside each other with them, and closes them, as the main thread orders. What
it leaves behind (threads, greenlets, tasks, descriptors) is looked at by whoever made it.
"""

from __future__ import annotations

import asyncio
import gc
import queue
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any

from zk_client import AsyncClient, Client, run_blocking

Make = Callable[[Any], "list[Coroutine[Any, Any, Any]]"]
PATIENCE = 90.0


class World:
    """A thread that takes orders: a function of the open clients that returns the bodies to be run."""

    name = "?"

    def __init__(self, options: list[dict[str, Any]]) -> None:
        self.options = options  # one client each
        self.clients: list[Any] = []
        self.left: list[str] = []  # found when it ended
        self._orders: queue.SimpleQueue[tuple[Make, Future[list[Any]]] | None] = queue.SimpleQueue()
        self._opened: Future[None] = Future()
        self._thread = threading.Thread(target=self._main, name=f"chaos {self.name}", daemon=True)
        self._thread.start()
        self._opened.result(PATIENCE)

    def begin(self, make: Make) -> Future[list[Any]]:
        """Run bodies beside each other; the future has what they returned, in order."""
        ordered: Future[list[Any]] = Future()
        self._orders.put((make, ordered))
        return ordered

    def run(self, make: Callable[[Any], Coroutine[Any, Any, Any]]) -> Any:
        """Run one body with the first client to its end."""
        return self.begin(lambda clients: [make(clients[0])]).result(PATIENCE)[0]

    def close(self) -> None:
        """Stop the clients and end the thread."""
        self._orders.put(None)
        self._thread.join(30.0)
        if self._thread.is_alive():
            self.left.append(f"the world of {self.name} did not end")

    def _main(self) -> None:
        raise NotImplementedError


class Threads(World):
    """Native threads: one for each body."""

    name = "threads"

    def _open(self) -> None:
        try:
            for options in self.options:
                self.clients.append(self._client(options))
            for client in self.clients:
                client.start(30.0)
        except BaseException as error:
            for client in self.clients:
                client.stop()
            self._opened.set_exception(error)
            raise
        self._opened.set_result(None)

    def _client(self, options: dict[str, Any]) -> Client:
        return Client(runtime="threads", **options)

    def _main(self) -> None:
        self._open()
        while (order := self._orders.get()) is not None:
            make, ordered = order
            bodies = make(self.clients)
            results: list[Future[Any]] = [Future() for _ in bodies]
            threads = [
                threading.Thread(target=run_into, args=pair, daemon=True) for pair in zip(bodies, results, strict=True)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            finish(ordered, results)
        for client in self.clients:
            client.stop()


class Greenlets(Threads):
    """Greenlets of one thread, with nothing patched."""

    name = "gevent"

    def _client(self, options: dict[str, Any]) -> Client:
        return Client(runtime="gevent", **options)

    def _main(self) -> None:
        import gevent

        hub = gevent.get_hub()
        try:
            self._open()
            # Orders are waited for beside the hub: the clients live on meanwhile.
            while (order := hub.threadpool.apply(self._orders.get)) is not None:
                make, ordered = order
                bodies = make(self.clients)
                results: list[Future[Any]] = [Future() for _ in bodies]
                gevent.joinall([gevent.spawn(run_into, *pair) for pair in zip(bodies, results, strict=True)])
                finish(ordered, results)
            for client in self.clients:
                client.stop()
            gevent.sleep(0)
            gc.collect()
            for thing in gc.get_objects():
                if isinstance(thing, gevent.Greenlet) and not thing.dead and thing.name.startswith("zk-client"):
                    self.left.append(f"greenlet {thing.name}")
        finally:
            hub.destroy(destroy_loop=True)


class Asyncio(World):
    """Tasks of one loop."""

    name = "asyncio"

    def _main(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        try:
            for options in self.options:
                self.clients.append(AsyncClient(**options))
            for client in self.clients:
                await client.start(30.0)
        except BaseException as error:
            for client in self.clients:
                await client.stop()
            self._opened.set_exception(error)
            raise
        self._opened.set_result(None)
        while (order := await asyncio.to_thread(self._orders.get)) is not None:
            make, ordered = order
            results = await asyncio.gather(*make(self.clients), return_exceptions=True)
            failed = next((result for result in results if isinstance(result, BaseException)), None)
            if failed is None:
                ordered.set_result(results)
            else:
                ordered.set_exception(failed)
        for client in self.clients:
            await client.stop()
        await asyncio.sleep(0)
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        self.left += [f"task {task!r}" for task in tasks]


def run_into(body: Coroutine[Any, Any, Any], result: Future[Any]) -> None:
    """Run a body that blocks, and keep what it returns or raises."""
    try:
        result.set_result(run_blocking(body))
    except BaseException as error:
        result.set_exception(error)


def finish(ordered: Future[list[Any]], results: list[Future[Any]]) -> None:
    """Hand on what the bodies returned, or the first error."""
    failed = next((error for result in results if (error := result.exception()) is not None), None)
    if failed is None:
        ordered.set_result([result.result() for result in results])
    else:
        ordered.set_exception(failed)


WORLDS: dict[str, type[World]] = {world.name: world for world in (Threads, Greenlets, Asyncio)}
