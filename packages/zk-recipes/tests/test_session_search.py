"""The search for faults of a session: its calls, watches and lease, whatever goes wrong.

The recipes stand on what a session says: that a write was applied, was not, or that nobody knows; that a watch tells of
the next change; that nobody else has been given what is ours while its lease lasts. Here this is looked at by itself,
with connections that end in the handshake too, and with the options that change what becomes of lost requests.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any
from unittest import mock

from handshakes import TIMEOUT, strike_handshakes
from schedules import on_every_schedule
from sim_world import Client, World
from simulated import Faults, TaskCancelled, faults_of

from zk_client import SessionClosedError, SessionState, TransactionFailedError
from zk_client._session import watches as watches_module
from zk_wire import (
    CREATOR_ALL_ACL,
    CreateMode,
    CreateRequest,
    EventType,
    NoAuthError,
    NodeExistsError,
    Outcome,
    ServerError,
    SetDataRequest,
    ZooKeeperError,
)

FAULTS = faults_of(rate=0.06, limit=6)
# What changes the way of lost requests, in turn.
OPTIONS: tuple[dict[str, Any], ...] = (
    {},
    {"when_disconnected": "fail"},
    {"resolve_timeout": 1.0},
    {"max_in_flight": 2},
    {},
)


class Truth:
    """What the servers have seen: when each value was written, and when each node was changed."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._seen = 0
        self._nodes: dict[str, tuple[int, int]] = {}
        self.written: dict[bytes, set[int]] = {}  # by a value, which is of one write: the zxids
        self.changed: dict[str, list[int]] = {}  # by a path: the zxids of its creation, changes, and deletion
        self.gone: set[str] = set()  # deleted, and not by the stranger

    def look(self) -> None:
        """Note what is new."""
        server = self._world.server
        if not server.has_leader or server.zxid == self._seen:
            return
        self._seen = server.zxid
        nodes = self._world.sim.world.servers.tree().nodes
        now = {path: (node.czxid, node.mzxid) for path, node in nodes.items() if path.startswith("/app/")}
        for path, state in now.items():
            if self._nodes.get(path) != state:
                self.changed.setdefault(path, []).append(state[1])
                self.written.setdefault(nodes[path].data or b"", set()).add(state[1])
        for path in self._nodes.keys() - now.keys():
            self.changed.setdefault(path, []).append(self._seen)
            self.gone.add(path)
        self._nodes = now


class Search:
    """One run: two tasks that write, two that watch, a client that is cut, frozen, stopped and started."""

    def __init__(self, seed: int, faults: Faults) -> None:
        self.seed = seed
        self.faults = faults
        self.world = World(seed, 0, faults=faults)
        self.sim, self.server = self.world.sim, self.world.server
        self.options = OPTIONS[seed % len(OPTIONS)]
        self.chroot = "/app" if seed % 2 else ""
        self.top = "" if self.chroot else "/app"
        self.client = Client(
            self.sim,
            "client-0",
            timeout=TIMEOUT,
            chroot=self.chroot,
            auth_data=[("digest", "somebody:secret")],
            **self.options,
        )
        self.world.clients.append(self.client)
        self.truth = Truth(self.world)
        self.allowed: dict[str, set[int]] = {}  # how often each write may have been applied
        self.writing = 0
        self.calm = False
        self.stopping = False
        self.last_session: int | None = None
        self.heard = 0.0
        self.idle_until = 0.0
        self.wanted: list[str] = []  # what functions wait for
        self.unwanted: list[tuple[str, list[object]]] = []
        self.leaseless: float | None = None

    def run(self) -> None:
        """Run, and judge."""
        sim, server = self.sim, self.server
        for path in ("/app/made", "/app/seen/0/0", "/app/seen/1", "/app/both", "/app/marks"):
            server.ensure_path(path)
        for number in range(2):
            for turn in range(5):
                server.ensure_path(f"/app/set/{number}.{turn}")
                server.ensure_path(f"/app/gone/{number}.{turn}")
        sim.always(self.truth.look)
        sim.always(self._lease)
        strike_handshakes(sim.world, 6 if self.faults.limit else 0, lambda: self._disturb(100))
        sim.spawn(self._life(), "life")
        sim.run()
        self._judge()

    # What it does

    async def _life(self) -> None:
        sim = self.sim
        self.client.zk.add_listener(self._state)
        tasks = [sim.spawn(self._write(number), f"writer {number}", home=self.client) for number in range(2)]
        tasks += [sim.spawn(self._watch(number), f"watcher {number}", home=self.client) for number in range(4)]
        bodies = [self._call_back, self._read, self._in_order]
        # Where there is a persistent watch, another request sets the others again.
        for body in [*bodies, self._follow] if self.seed % 4 > 1 else bodies:
            tasks.append(sim.spawn(body(), body.__name__, home=self.client))
        changing = sim.spawn(self._change(), "stranger")
        if self.faults.limit:
            await sim.spawn(self._trouble(), "trouble").join()
        await changing.join()
        sim.world.calm = True
        await sim.sleep(3.5 * TIMEOUT)  # what was begun goes on for so long
        end = sim.now() + 4 * TIMEOUT
        while not self.client.is_connected:
            assert sim.now() < end, f"no connection although all is well: {self.client.state}"
            await sim.sleep(1.0)
        await sim.sleep(1.5 * TIMEOUT)
        assert self.client.is_connected, f"no connection although all is well: {self.client.state}"
        self.calm = True
        session = self.client.session_id
        for task in tasks:
            await task.join()
        for path in self.wanted:
            self.server.ensure_path(path if self.top else "/app" + path)
        await sim.sleep(3 * TIMEOUT)
        assert self.client.session_id == session, "a session has ended although all was well"
        assert not any(told for _, told in self.unwanted), "a function was told that nobody wanted to be told"
        self.client.zk.remove_listener(self._state)

    async def _turn(self, longest: float) -> None:
        """Wait a little, and for the end of a time in which nobody asks for anything, so that pings are sent."""
        await self.sim.sleep(self.sim.between(0.0, longest))
        await self.sim.sleep(self.idle_until - self.sim.now())

    async def _write(self, number: int) -> None:
        """Write in every way, once each; what is said of it is compared with what the servers have seen."""
        for turn in range(5):
            name = f"{number}.{turn}"
            for kind, write in self._writes(name, 0 if turn % 2 else -1).items():
                await self._turn(0.05 if self.sim.random() < 0.6 else 5.0)
                self.allowed[f"{kind} {name}"] = await self._judged(kind, name, write)

    def _writes(self, name: str, version: int) -> dict[str, Callable[[], Awaitable[object]]]:
        port, top, unique = self.client.port, self.top, self.sim.guid()
        data = name.encode()
        both = [
            CreateRequest(f"{top}/made/both-", b"both " + data, (), CreateMode.PERSISTENT_SEQUENTIAL),
            SetDataRequest(f"{top}/both", b"all of " + data, -1),
        ]
        return {
            "made": lambda: port.create_with_stat(f"{top}/made/{name}", b"made " + data),
            "sequel": lambda: port.create_with_stat(
                f"{top}/made/{unique}-", b"sequel " + data, sequence=True, unique=True
            ),
            "mine": lambda: port.create_with_stat(
                f"{top}/made/e{unique}-", b"mine " + data, ephemeral=True, sequence=True, unique=True
            ),
            "set": lambda: port.set(f"{top}/set/{name}", b"set " + data, version),
            "gone": lambda: port.delete(f"{top}/gone/{name}"),
            "both": lambda: port.commit(both, marker=f"{top}/marks"),
        }

    async def _judged(self, kind: str, name: str, write: Callable[[], Awaitable[object]]) -> set[int]:
        sim = self.sim

        async def do() -> object:
            return await write()

        task = sim.spawn(do(), f"{kind} {name}", home=self.client)
        if sim.random() < 0.1 and self.faults.limit:
            sim.call_at(sim.now() + sim.between(0.0, 0.02), lambda: None if task.done else task.cancel())
        self.writing += 1
        try:
            result: Any = await task.join()
        except TaskCancelled:
            return {0, 1}
        except TransactionFailedError:
            return {0}
        except (ServerError, SessionClosedError) as error:
            sim.note(self.client.name, f"{kind} {name}: {error.outcome}")
            return {Outcome.APPLIED: {1}, Outcome.NOT_APPLIED: {0}}.get(error.outcome, {0, 1})
        finally:
            self.writing -= 1
        self._compare(kind, name, result)
        return {1}

    def _compare(self, kind: str, name: str, result: Any) -> None:
        """What a write returned is what it did."""
        zxids = self.truth.written.get(f"{kind} {name}".encode(), set())
        if kind in ("made", "sequel", "mine"):
            path, stat = result
            assert path.startswith(f"{self.top}/made/"), f"{kind} {name} says that it made {path}"
            assert stat.czxid in zxids, f"{kind} {name} says that it was at {stat.czxid}, and it was at {zxids}"
        elif kind == "set":
            assert result.mzxid in zxids, f"{kind} {name} says that it was at {result.mzxid}, and it was at {zxids}"
        elif kind == "both" and result:
            stat = result[-1].stat
            assert stat.mzxid in zxids, f"{kind} {name} says that it was at {stat.mzxid}, and it was at {zxids}"

    async def _watch(self, number: int) -> None:
        """Read with a watch; it has to tell of the next change, and of nothing but a change."""
        sim, port = self.sim, self.client.port
        while not self.calm:
            await self._turn(0.0)
            path = f"/seen/{int(sim.random() * 2)}"
            kind = sim.choose(["data", "exists", "children", "children"])
            watch = port.watcher()
            before = len(self.truth.changed.get("/app" + path, []))
            reading = sim.spawn(self._found(kind, path, watch), f"watch {number}", home=self.client)
            if sim.random() < 0.2:
                # Nobody wants it any more; perhaps it is just on its way.
                await sim.sleep(sim.between(0.0, 0.02))
                if sim.random() < 0.5:
                    reading.cancel()
                await port.shielded(watch.close())
            try:
                answer = await reading.join()
            except TaskCancelled:
                answer = None
            if answer is None:
                await port.shielded(watch.close())
                await sim.sleep(sim.between(0.0, 0.5))
                continue
            found, session = answer
            event = await watch.wait(sim.between(0.0, 0.02 if sim.random() < 0.3 else 5.0))
            if sim.random() < 0.6:
                while event is None and not self.calm and not watch.closed:
                    event = await watch.wait(2.0)
            if event is None:
                if self.calm and not watch.closed:
                    self._missed_nothing(kind, path, found, session)
                await port.shielded(watch.close())
            elif event.type is not EventType.NONE and kind != "children":
                zxids = self.truth.changed.get("/app" + path, [])
                news = zxids[before:] if found is None else [zxid for zxid in zxids if zxid > found]
                assert news, f"{event} of {path}, where nothing has changed since {found}"

    async def _found(self, kind: str, path: str, watch: Any) -> tuple[Any, int | None] | None:
        """What a read with a watch has found, and in which session; None when it failed."""
        port, path = self.client.port, self.top + path
        found: Any = None
        try:
            match kind:
                case "data":
                    found = (await port.get(path, watch))[1].mzxid
                case "exists":
                    stat = await port.exists(path, watch)
                    found = None if stat is None else stat.mzxid
                case _:
                    found = sorted(await port.get_children(path, watch))
        except ZooKeeperError:
            return None
        return found, port.session_id

    def _missed_nothing(self, kind: str, path: str, found: object, session: int | None) -> None:
        """A watch that was silent has missed nothing."""
        stat = self.server.stat("/app" + path)
        now: object = None if stat is None else stat.mzxid
        if kind == "children":
            now = None if stat is None else sorted(self.server.children("/app" + path))
        assert now == found, f"nobody told that {kind} of {path} is not {found} any more, but {now}"
        assert session == self.client.session_id, f"nobody told that the watch on {path} has ended with its session"

    async def _follow(self) -> None:
        """Keep a persistent watch beside the others, and read after everything that it tells."""
        sim, port = self.sim, self.client.port
        path = "/seen/0"
        while not self.calm:
            try:
                watch = await port.watch(self.top + path, recursive=self.seed % 4 == 3)
            except ZooKeeperError:
                await sim.sleep(0.5)
                continue
            end = None if sim.random() < 0.7 else sim.now() + sim.between(0.0, 0.05)
            found: Any = None
            current = False
            while (end is None or sim.now() < end) and not watch.closed and not self.calm:
                if not current:
                    answer = await self._found("exists", path, None)
                    if answer is None:
                        await sim.sleep(0.5)
                        continue
                    found, current = answer[0], True
                while await watch.next(sim.between(0.0, 2.0)) is not None:
                    current = False
            if self.calm and current and not watch.closed:
                self._missed_nothing("persistent", path, found, self.client.session_id)
            await port.shielded(watch.close())

    async def _call_back(self) -> None:
        """Have a function told, which is not wanted any more when its read is cancelled."""
        sim, zk = self.sim, self.client.zk
        number = 0
        while not self.calm:
            number += 1
            await self._turn(4.0)
            told: list[object] = []
            path = f"{self.top}/seen/f{number}"

            async def read(path: str = path, told: list[object] = told) -> bool:
                try:
                    await zk.exists(path, watch=told.append)
                except ZooKeeperError:
                    return False
                return True

            task = sim.spawn(read(), f"function {number}", home=self.client)
            await sim.sleep(sim.between(0.0, 0.025))
            task.cancel()
            try:
                if await task.join():
                    self.wanted.append(path)
            except TaskCancelled:
                told.clear()
                self.unwanted.append((path, told))

    async def _read(self) -> None:
        """Read what grows, and what only we may read."""
        sim, port, zk = self.sim, self.client.port, self.client.zk
        newest, session = 0, None
        watch, watched = port.watcher(), 0
        made = False
        while not self.calm:
            await self._turn(2.0)
            try:
                if not made:
                    try:
                        await zk.create(f"{self.top}/secret", b"", acl=CREATOR_ALL_ACL)
                    except NodeExistsError:
                        pass
                    made = True
                await port.get(f"{self.top}/secret")
                _, stat = await port.get(f"{self.top}/both")
                if watched and stat.mzxid > watched and port.session_id == session:
                    assert watch.event is not None, "a reply was seen before the event of what it shows"
                if port.session_id == session:
                    assert stat.mzxid >= newest, f"read {stat.mzxid} after {newest}"
                newest, session = stat.mzxid, port.session_id
                if watch.event is not None or not watched:
                    await port.shielded(watch.close())
                    watch, watched = port.watcher(), 0
                    watched = (await port.get(f"{self.top}/both", watch))[1].mzxid
            except ZooKeeperError as error:
                if isinstance(error, NoAuthError):
                    sim.fail(f"who has an identity is refused: {error!r}")
                watched = 0
        await port.shielded(watch.close())

    async def _in_order(self) -> None:
        """Write when a read that is under way has lost its connection, or waits: that has to be answered first."""
        sim, port, limit = self.sim, self.client.port, self.options.get("max_in_flight")
        number = 0
        while not self.calm:
            number += 1
            await self._turn(1.0)
            reading = sim.spawn(self._found("data", "/both", None), "read first", home=self.client)
            if limit:
                # The write is not sent before the first of these have been answered.
                for _ in range(limit + 1):
                    sim.spawn(self._found("data", "/both", None), "read then", home=self.client)
                await sim.pause()
            else:
                await sim.sleep(0.02)
                while not reading.done and self.client.is_connected:
                    await sim.sleep(0.02)
                if reading.done or self.client.state is not SessionState.SUSPENDED:
                    await reading.join()
                    continue
            try:
                written = (await port.set(f"{self.top}/both", b"later %d" % number)).mzxid
            except ZooKeeperError:
                written = None
            answer = await reading.join()
            if answer is not None and written is not None:
                assert answer[0] < written, "a read sees what was asked for after it"

    # What goes wrong

    async def _change(self) -> None:
        """A stranger changes what is watched, and makes what others want to make."""
        for number in range(16):
            await self.sim.sleep(self.sim.between(0.0, 0.1 if self.sim.random() < 0.5 else 8.0))
            self._disturb(number)

    def _disturb(self, number: int) -> None:
        sim, server = self.sim, self.server
        if not server.has_leader:
            return
        path = f"/app/seen/{int(sim.random() * 2)}"
        session = server.open_session()
        match int(sim.random() * 6):
            case 0:
                server.ensure_path(path)
            case 1 if server.stat(path):
                server.set(session, path, b"changed %d" % number)
            case 2:
                for name in server.children(path) if server.stat(path) else []:
                    server.intrude(f"{path}/{name}")
                server.intrude(path)
            case 3:
                server.ensure_path(f"{path}/{number}")
            case 4:
                server.ensure_path(f"/app/made/{int(sim.random() * 2)}.{int(sim.random() * 5)}")
            case _:
                server.ensure_path(path)

    async def _trouble(self) -> None:
        sim, client = self.sim, self.client
        for _ in range(8):
            await sim.sleep(sim.between(0.0, 0.2 if sim.random() < 0.5 else 15.0))
            match int(sim.random() * 8):
                case 0 | 5:
                    client.cut(sim.between(0.01, 1.0))
                case 1:
                    client.cut(sim.between(1.0, 25.0))
                case 2:
                    client.freeze(sim.between(1.0, 25.0))
                case 3:
                    client.hang()
                case 4 | 7 if self.seed % 3 == 0:
                    await self._restart()
                case 6:
                    self.idle_until = sim.now() + sim.between(5.0, 20.0)
                    await sim.sleep(5.0)
                case _:
                    pass

    async def _restart(self) -> None:
        """Stop the client, whatever is under way, and start it again."""

        close = self.sim.random() < 0.5
        for _ in range(1000):
            if self.writing:
                break
            await self.sim.sleep(0.005)
        if self.sim.random() < 0.5:
            # The servers are heard no more, and hear one message yet.
            network = self.sim.world.network
            for connection in network.connections_of(self.client.process):
                connection.deaf = True
            await self.sim.sleep(self.sim.between(0.0, 0.1))

        async def body() -> None:
            await self.client.zk.stop(close_session=close)
            self.stopping = False
            self.sim.note(self.client.name, "was stopped")
            while not self.client.state.is_connected:
                try:
                    await self.client.zk.start()
                except ZooKeeperError:
                    pass
                await self.sim.sleep(0.05)

        self.last_session, self.stopping = None, True
        await self.sim.spawn(body(), "restart", home=self.client).join()

    # What must hold

    def _lease(self) -> None:
        """While the lease lasts the session does; who has a connection has a lease."""
        client, sim = self.client, self.sim
        session, lease, state = client.session_id, client.lease_remaining, client.state
        if session and state is not SessionState.CLOSED:
            self.last_session, self.heard = session, client.zk.handler.core.timers.received
        if session and lease > 0:
            assert not self.server.is_over(session), f"a lease of {lease:.3f} s, and the session is over"
        if lease == 0 and state is SessionState.CONNECTED and client.frozen_until < sim.now() and not self.stopping:
            self.leaseless = sim.now() if self.leaseless is None else self.leaseless
            # What lay unread while it stood still is a sign of life of the server, and old as an answer.
            assert sim.now() - self.leaseless < 0.7 * TIMEOUT, "connected, and no server has answered for long"
        else:
            self.leaseless = None

    def _state(self, state: SessionState) -> None:
        if self.calm:
            self.sim.fail(f"the state is {state} although all is well")
        # It may live where a server has heard us, and we have not heard the server.
        early = self.sim.now() < self.heard + 1.3 * TIMEOUT
        if state is SessionState.EXPIRED and early and self.last_session and not self.server.is_over(self.last_session):
            self.sim.fail("a session is given up that lives")

    def _judge(self) -> None:
        wrong = []
        for write, allowed in self.allowed.items():
            kind, _, name = write.partition(" ")
            times = len(self.truth.written.get(write.encode(), ()))
            if kind == "gone":
                times = int(f"/app/gone/{name}" in self.truth.gone)
            if times not in allowed:
                wrong.append(f"{write} was applied {times} times, not one of {allowed}")
        if wrong:
            self.sim.refute("; ".join(wrong))
        leaks = [f"watch on {path}" for path in self.server.watches()] + self.client.leaks()
        if leaks:
            self.sim.refute(f"left behind: {', '.join(leaks)}")


def search(seed: int, faults: Faults = FAULTS) -> None:
    """One run. Of every third seed each watch is set again in a request of its own."""
    part = watches_module.FRAME_BYTES + 1 if seed % 3 == 1 else watches_module.PART_BYTES
    with mock.patch.object(watches_module, "PART_BYTES", part):
        Search(seed, faults).run()


@on_every_schedule
def test_what_a_session_says_is_so_whatever_goes_wrong(seeds: range) -> None:
    for seed in seeds[::2]:  # each costs as much as several of a recipe
        search(seed)
