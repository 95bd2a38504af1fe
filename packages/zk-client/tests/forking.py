"""Programs that fork with started clients, run by `test_fork` as processes of their own: `forking.py NAME HOSTS`.

Rule: a program fails with a traceback and a status that is not 0. A child that hangs is ended by its alarm.
"""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from typing import NoReturn

import pytest

from zk_client import AsyncClient, Client, Outcome, SessionClosedError, SessionState

CHILD_SECONDS = 20


def fork(body: Callable[[], object]) -> Callable[[], None]:
    """Run a function in a forked child; calling what is returned waits for its end, which must be a good one."""
    pid = os.fork()
    if pid == 0:
        signal.alarm(CHILD_SECONDS)
        try:
            body()
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
            os._exit(1)
        os._exit(0)

    def finish() -> None:
        status = os.waitpid(pid, 0)[1]
        assert status == 0, f"child {pid} ended with status {status}"

    return finish


def refused(function: Callable[[], object]) -> None:
    """Whatever asks the inherited client is told what happened and what to do."""
    with pytest.raises(SessionClosedError, match=rf"process {os.getppid()} before the fork; start\(\) gives"):
        function()


def error(hosts: str) -> None:
    """The child is told at once, by every way in; the parent's session, connection and ephemeral node go on."""
    with Client(hosts) as zk:
        zk.create("/parents", b"", ephemeral=True)
        session, peer = zk.session_id, zk.server_address

        def child() -> None:
            refused(lambda: zk.get("/"))
            refused(lambda: zk.get_async("/").result())
            refused(lambda: zk.create("/childs"))
            assert zk.state is SessionState.CLOSED
            assert zk.session_id is None and zk.client_id is None and zk.lease_remaining == 0
            assert not zk.wait_connected(0.0)
            zk.stop()

        for _ in range(3):
            fork(child)()
        assert (zk.session_id, zk.server_address) == (session, peer)
        assert zk.exists("/parents") is not None
        assert zk.exists("/childs") is None


def new_session(hosts: str) -> None:
    """The child begins a session of its own, with the parent's identities, and ends it alone."""
    with Client(hosts) as zk:
        zk.add_auth("digest", "user:secret")
        zk.create("/parents", b"", ephemeral=True)
        session = zk.session_id

        def child() -> None:
            zk.start()
            assert zk.session_id not in (None, session)
            assert any("user" in str(known) for known in zk.whoami())
            zk.create("/childs", b"", ephemeral=True)
            zk.stop()

        fork(child)()
        assert zk.session_id == session
        assert zk.exists("/parents") is not None
        assert zk.exists("/childs") is None


def normal_exit(hosts: str) -> None:
    """A child that leaves the parent's `with` block, and ends as programs end, ends nothing of the parent's."""
    try:
        with Client(hosts) as zk:
            session = zk.session_id
            zk.create("/parents", b"", ephemeral=True)
            pid = os.fork()
            if pid == 0:
                signal.alarm(CHILD_SECONDS)
                gc.collect()
                sys.exit(0)
            assert os.waitpid(pid, 0)[1] == 0
            assert zk.session_id == session
            assert zk.exists("/parents") is not None
    finally:
        sys.stderr.flush()


def storm(hosts: str) -> None:
    """However busy the parent's threads are when it forks, the child finds no lock taken."""
    with Client(hosts) as zk:
        zk.create("/busy", b"x" * 100)
        session = zk.session_id
        over = threading.Event()

        def work() -> None:
            while not over.is_set():
                futures = [zk.get_async("/busy") for _ in range(20)]
                zk.set("/busy", b"y" * 100)
                for future in futures:
                    future.result()

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()

        def child() -> None:
            refused(lambda: zk.get("/busy"))
            zk.start()
            assert len(zk.get("/busy")[0] or b"") == 100
            zk.stop()

        try:
            for _ in range(12):
                fork(child)()
        finally:
            over.set()
            for thread in threads:
                thread.join()
        assert zk.session_id == session


def under_way(hosts: str) -> None:
    """A call that was under way ends in the child with what can be known there, and goes on in the parent."""
    with Client(hosts) as zk:
        zk.create("/node")
        calls = [zk.get_async("/node") for _ in range(2000)]
        write = zk.set_async("/node", b"new")

        def child() -> None:
            for call in [*calls, write]:
                assert call.wait(5.0), call
            assert any(call.exception() is not None for call in calls), "the calls were over before the fork"
            failure = write.exception()
            assert isinstance(failure, SessionClosedError) and failure.outcome is Outcome.UNKNOWN, failure

        # As a signal handler that forks in the middle of a call; and nobody receives a reply before the fork.
        with zk.handler.mutex:
            finish = fork(child)
        finish()
        assert write.result().version == 1
        assert all(call.result() for call in calls)


def watches(hosts: str) -> None:
    """Nobody waits in the child for a watch of the parent's; in the parent it is told as ever."""
    with Client(hosts) as zk:
        zk.create("/node")
        told = threading.Event()
        watcher, watch = zk.watcher(), zk.watch("/node")
        zk.exists("/node", watch=watcher)
        zk.get("/node", watch=lambda event: told.set())

        def child() -> None:
            assert watcher.wait() is None
            assert watch.get() is None
            watch.close()
            watcher.close()

        fork(child)()
        zk.set("/node", b"new")
        assert watcher.wait(10.0) is not None
        assert watch.get(10.0) is not None
        assert told.wait(10.0)


def callback(hosts: str) -> None:
    """A callback may fork: its child runs no further callbacks of the parent's."""
    with Client(hosts) as zk:
        zk.create("/node")
        finishes: list[Callable[[], None]] = []
        ran = [0]
        done = threading.Event()

        def first(call: object) -> None:
            def child() -> None:
                refused(lambda: zk.get("/node"))
                zk.start()
                assert zk.get_async("/node").result()
                called = threading.Event()
                zk.get_async("/node").add_done_callback(lambda call: called.set())
                assert called.wait(10.0)
                assert ran == [0]
                zk.stop()

            finishes.append(fork(child))

        def second(call: object) -> None:
            ran[0] += 1
            done.set()

        call = zk.get_async("/node")
        call.add_done_callback(first)
        zk.get_async("/node").add_done_callback(second)
        assert done.wait(CHILD_SECONDS)
        finishes[0]()
        assert ran == [1]


def prefork_server(hosts: str) -> None:
    """As gunicorn with --preload: the master starts a client, its workers use it when they serve, and one is killed."""
    zk = Client(hosts)
    zk.start()
    master = zk.session_id
    zk.create("/master", b"", ephemeral=True)
    workers: list[tuple[int, int, int]] = []

    def serve(requests: int, answers: int) -> NoReturn:
        signal.alarm(CHILD_SECONDS)
        try:
            while command := os.read(requests, 1):
                try:
                    zk.create("/worker-", b"", ephemeral=True, sequence=True)
                except SessionClosedError:
                    zk.start()
                    zk.create("/worker-", b"", ephemeral=True, sequence=True)
                os.write(answers, command)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)

    def start_worker() -> None:
        request_read, request_write = os.pipe()
        answer_read, answer_write = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(request_write)
            for _, inherited, _ in workers:
                os.close(inherited)
            serve(request_read, answer_write)
        os.close(request_read)
        os.close(answer_write)
        workers.append((pid, request_write, answer_read))

    for _ in range(3):
        start_worker()
    for _ in range(2):
        for _, requests, answers in workers:
            os.write(requests, b"r")
            assert os.read(answers, 1) == b"r"
    names = [name for name in zk.get_children("/") if name.startswith("worker-")]
    owners = {zk.exists(f"/{name}").ephemeral_owner for name in names}  # type: ignore[union-attr]
    assert len(names) == 6 and len(owners) == 3 and master not in owners, (names, owners)
    killed, requests, _ = workers.pop(0)
    os.kill(killed, signal.SIGKILL)
    os.waitpid(killed, 0)
    os.close(requests)
    start_worker()
    pid, requests, answers = workers[-1]
    os.write(requests, b"r")
    assert os.read(answers, 1) == b"r"
    for pid, requests, _ in workers:
        os.close(requests)
        assert os.waitpid(pid, 0)[1] == 0
    assert zk.session_id == master
    assert zk.exists("/master") is not None
    zk.stop()


shared: Client | None = None  # as an application's module-level client


def task(number: int) -> tuple[int, int, int]:
    """What a worker of a task queue runs."""
    assert shared is not None
    shared.start()  # no effect on one that is connected
    shared.set("/task", b"%d" % number)
    return os.getpid(), shared.session_id or 0, number


def task_pool(hosts: str) -> None:
    """As celery's prefork pool: the parent's client is inherited by workers that run one task after the other."""
    global shared
    context = multiprocessing.get_context("fork")
    with Client(hosts) as shared:
        shared.create("/task")
        session = shared.session_id
        with context.Pool(2) as pool:
            done = pool.map_async(task, range(20), chunksize=1).get(CHILD_SECONDS)
            pool.close()
            pool.join()
        assert [number for _, _, number in done] == list(range(20))
        sessions = {(pid, own) for pid, own, _ in done}
        assert len(sessions) == len({pid for pid, _ in sessions}), "a worker changed its session"
        assert session not in {own for _, own in sessions}
        assert shared.session_id == session
        assert int(shared.get("/task")[0] or b"-1") in range(20)


def kept_session(hosts: str) -> None:
    """A session that was left open belongs to the process that left it."""
    zk = Client(hosts)
    zk.start()
    session = zk.session_id
    zk.create("/kept", b"", ephemeral=True)
    zk.stop(close_session=False)

    def child() -> None:
        zk.start()
        assert zk.session_id != session
        zk.stop()

    fork(child)()
    zk.start()
    assert zk.session_id == session
    assert zk.exists("/kept") is not None
    zk.stop()


def stopped(hosts: str) -> None:
    """A client that was made, and never started, before the fork is the child's to start."""
    zk = Client(hosts)

    def child() -> None:
        with zk:
            zk.create("/childs")

    fork(child)()
    with zk:
        assert zk.exists("/childs") is not None


def awaited(hosts: str) -> None:
    """An asyncio client's child is told as well, and may use it in a loop of its own; the parent's loop goes on."""

    async def parent() -> None:
        async with AsyncClient(hosts) as zk:
            await zk.create("/parents", b"", ephemeral=True)
            session = zk.session_id
            watch = await zk.watch("/parents")
            pending = zk.operations.get("/parents")
            zk.handler.submit(pending)

            async def inherited() -> None:
                with pytest.raises(SessionClosedError, match="before the fork"):
                    await zk.get("/parents")
                assert isinstance(pending.exception(), SessionClosedError)
                assert await watch.get() is None
                await zk.start()
                assert zk.session_id != session
                await zk.create("/childs", b"", ephemeral=True)
                await zk.stop()
                assert zk.session_id is None

            def child() -> None:
                asyncio.run(inherited())

            # A child that the loop's thread forks inherits "a loop is running"; asyncio itself knows better.
            finish = fork(child)
            await asyncio.to_thread(finish)
            assert (await pending)[0] == b""
            assert zk.session_id == session
            await zk.set("/parents", b"on")
            assert (await watch.get(10.0)) is not None
            assert await zk.exists("/childs") is None

    asyncio.run(parent())


if __name__ == "__main__":
    globals()[sys.argv[1]](sys.argv[2])
