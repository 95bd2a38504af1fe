"""What a worker does under chaos: bodies over a port, so the same program runs in every world.

Rule: everything a worker does is written down in the history before it is begun, and again when it has ended. Chance
comes from the seed, so that a worker's plan (not its timing) is the same every time.
"""

from __future__ import annotations

import asyncio
import inspect
import random
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from chaos_history import APPLIED, LONGEST, UNKNOWN, History, Hold, Op

from zk_client import EventType, NodeExistsError, NoNodeError, ZooKeeperError
from zk_client.blocking_port import TaskCancelled
from zk_recipes import AsyncLock, LockLostError
from zk_wire import OPEN_ACL_UNSAFE, CheckVersionRequest, CreateRequest, SetDataRequest

KEYS = 6  # registers of the round
SHARED = 2  # registers that everybody increments
IMPATIENT = 0.08  # how many calls have a deadline of their own, far too short at times
CANCELLED = 0.03  # how many are cancelled


class Round:
    """What the workers of a round share: the top node, the history, and when to end."""

    def __init__(self, number: int, seed: int) -> None:
        self.root = f"/chaos-{number}"
        self.seed = seed
        self.history = History()
        self.over = False
        self.mirrors: list[tuple[str, dict[str, int]]] = []  # whose, and the versions a watch has led to

    @property
    def directories(self) -> list[str]:
        """The nodes below which workers work."""
        return [self.root + name for name in ("", "/made", "/keys", "/shared", "/pairs", "/own", "/lock")]

    @property
    def registers(self) -> list[str]:
        """The nodes whose data count."""
        return [f"{self.root}/keys/{key}" for key in range(KEYS)] + [
            f"{self.root}/shared/{key}" for key in range(SHARED)
        ]

    @property
    def guarded(self) -> str:
        """What the lock protects."""
        return f"{self.root}/guarded"


class Worker:
    """One worker: a client, a name, and chance of its own."""

    def __init__(self, client: Any, client_name: str, name: str, shared: Round) -> None:
        self.client = client
        self.client_name = client_name
        self.name = name
        self.round = shared
        self.history = shared.history
        self.random = random.Random(f"{shared.seed} {name}")
        self.port = client.port
        self.count = 0

    @property
    def going(self) -> bool:
        return not self.round.over

    async def pause(self, longest: float = 0.02) -> None:
        await self.port.sleep(self.random.random() * longest)

    def next(self) -> str:
        """A name nobody has used."""
        self.count += 1
        return f"{self.name}-{self.count}"

    async def do(self, kind: str, path: str, call: Callable[[Any], Awaitable[Any]], value: bytes = b"") -> Op:
        """Make a call, in patience, with a deadline, or cancelling it, and write down what came of it.

        What it returned is in `op.stat`, `op.value` or `op.detail`, as its kind has it.
        """
        port = self.port
        dice = self.random.random()
        op = Op(self.name, self.client_name, kind, path, value, port.session_id)
        self.history.ops.append(op)
        try:
            if dice < IMPATIENT:
                result = await call(port.until(port.now() + 0.2 * self.random.random() ** 4))
            elif dice < IMPATIENT + CANCELLED:
                task = port.spawn(as_body(call(port)), f"chaos {op.kind}")
                await port.sleep(0.01 * self.random.random() ** 3)
                task.cancel()
                result = await task.join(LONGEST)
            else:
                result = await call(port)
        except ZooKeeperError as error:
            op.outcome = getattr(error, "outcome", UNKNOWN)
            op.detail = op.detail or f"{type(error).__name__}: {error}"
        except (TaskCancelled, asyncio.CancelledError):
            op.outcome = UNKNOWN
        except TimeoutError:
            # The task would not end: the call stays open in the history, which is a violation.
            return op
        else:
            op.outcome = APPLIED
            if kind == "get":
                op.value, op.stat = result
            elif kind in ("set", "cas"):
                op.stat = result
            elif kind in ("multi", "guarded"):
                op.stat = result[-1].stat
            elif kind == "sequential":
                op.detail, op.stat = result
        op.end = time.monotonic()
        if port.session_id != op.session:
            op.session = None
        return op


# What there is to do


async def write(worker: Worker) -> None:
    """Create nodes of one's own and delete some, set registers, and read what others set."""
    root, chance = worker.round.root, worker.random
    keys = [path for path in worker.round.registers if "/keys/" in path]
    while worker.going:
        name = worker.next()
        path, value = f"{root}/made/{name}", name.encode()
        created = await worker.do("create", path, lambda port, path=path: port.create(path))
        if created.applied and chance.random() < 0.4:
            await worker.do("delete", path, lambda port, path=path: port.delete(path))
        key = chance.choice(keys)
        await worker.do("set", key, lambda port, key=key, value=value: port.set(key, value), value)
        for _ in range(3):
            key = chance.choice(worker.round.registers)
            await worker.do("get", key, lambda port, key=key: port.get(key))
        await worker.pause()


async def compete(worker: Worker) -> None:
    """Win versions of shared registers against everybody else."""
    shared = [path for path in worker.round.registers if "/shared/" in path]
    while worker.going:
        path, value = worker.random.choice(shared), worker.next().encode()
        read = await worker.do("get", path, lambda port, path=path: port.get(path))
        if read.applied and read.stat is not None:
            version = read.stat.version
            await worker.do("cas", path, lambda port, p=path, v=value, n=version: port.set(p, v, n), value)
        await worker.pause()


async def transact(worker: Worker) -> None:
    """Create two nodes and set a register in one transaction; make sequential nodes, and delete some of them."""
    root = worker.round.root
    while worker.going:
        name = worker.next()
        first, second = f"{root}/pairs/a-{name}", f"{root}/pairs/b-{name}"
        register, value = f"{root}/keys/{worker.random.randrange(KEYS)}", name.encode()
        steps = [
            CreateRequest(first, b"", OPEN_ACL_UNSAFE, 0),
            CreateRequest(second, b"", OPEN_ACL_UNSAFE, 0),
            SetDataRequest(register, value, -1),
        ]
        op = await worker.do("multi", register, lambda port, steps=steps: port.commit(steps), value)
        op.detail = f"{first} {second} {op.detail}"
        guid, session = worker.port.guid(), worker.port.session_id
        prefix = f"{root}/own/{guid}-"
        made = await worker.do(
            "sequential",
            prefix,
            lambda port, p=prefix: port.create_with_stat(p, ephemeral=True, sequence=True, unique=True),
        )
        if made.detail.startswith("ConnectionLostError") and made.outcome is UNKNOWN and session is not None:
            # Whoever is told so is to look after the node; this is how. What a deadline leaves behind is the client's.
            worker.port.background_delete(f"{root}/own", guid, session)
        if made.applied and worker.random.random() < 0.5:
            await worker.do("delete", made.detail, lambda port, path=made.detail: port.delete(path))
        await worker.pause()


async def watch(worker: Worker) -> None:
    """Watch registers once, again and again: who reads a newer version must have been told of the change before."""
    port = worker.port
    while worker.going:
        path = worker.random.choice(worker.round.registers)
        watcher = port.watcher()
        try:
            armed = await worker.do("get", path, lambda port, p=path, w=watcher: port.get(p, w))
            if armed.applied and armed.stat is not None:
                event = await watcher.wait(worker.random.random() * 1.0)
                if event is None:
                    await worker.do("sync", path, lambda port, p=path: port.sync(p))
                again = await worker.do("get", path, lambda port, p=path: port.get(p))
                same = again.applied and armed.session is not None and again.session == armed.session
                if same and again.stat.mzxid > armed.stat.mzxid and watcher.event is None:
                    text = f"{worker.name} read version {again.stat.version}, its watch of {armed.stat.version} silent"
                    worker.history.violation(path, text)
        finally:
            await watcher.close()
        await worker.pause()


async def mirror(worker: Worker) -> None:
    """Keep a copy of the registers by a recursive watch: in the end it is what the ensemble has."""
    copy: dict[str, int] = {}
    worker.round.mirrors.append((worker.name, copy))
    registers = worker.round.registers
    stale = set(registers)
    watching = None
    quiet = False
    while worker.going or stale or not quiet:
        if watching is None or watching.closed:
            try:
                # As long as it takes: a body waits for the session to come back.
                watching = await soon(worker.client.watch(worker.round.root, recursive=True))
            except ZooKeeperError:
                await worker.pause()
                continue
            stale = set(registers)
        for path in sorted(stale):
            op = Op(worker.name, worker.client_name, "get", path, b"", worker.port.session_id)
            worker.history.ops.append(op)
            try:
                op.value, op.stat = await worker.port.get(path)
            except ZooKeeperError as error:
                op.outcome, op.detail = UNKNOWN, str(error)
            else:
                op.outcome = APPLIED
                copy[path] = op.stat.version
                stale.discard(path)
            op.end = time.monotonic()
            if worker.port.session_id != op.session:
                op.session = None
        # When nobody writes any more: what was written before is told before this is answered.
        if not worker.going and not (await worker.do("agree", worker.round.root, agree)).applied:
            await worker.pause()
            continue
        event = await soon(watching.get(0.3))
        quiet = event is None and not watching.closed
        # All there are at once: one by one, a mirror would fall behind for ever.
        while event is not None:
            if event.type is EventType.NONE:
                stale = set(registers)
            elif event.path in registers:
                stale.add(event.path)
            event = await soon(watching.get(0.0))
    if watching is not None:
        await soon(watching.close())


async def lock(worker: Worker) -> None:
    """Hold a lock for a while, again and again, and write under its guard."""
    chance, history = worker.random, worker.history
    path, guarded = f"{worker.round.root}/lock", worker.round.guarded
    losses: list[float] = []
    told = (lambda: losses.append(time.monotonic())) if chance.random() < 0.5 else None
    lock = AsyncLock(worker.client, path, worker.name, on_lost=told)
    while worker.going:
        op = Op(worker.name, worker.client_name, "lock", path, b"", worker.port.session_id)
        history.ops.append(op)
        try:
            op.outcome = APPLIED if await lock.acquire(timeout=chance.choice([0.1, 1.0, 5.0])) else UNKNOWN
        except ZooKeeperError as error:
            op.outcome, op.detail = UNKNOWN, type(error).__name__
        op.end = time.monotonic()
        token = lock.token
        if op.applied and token is not None and lock.is_acquired:
            hold = Hold(worker.name, token, time.monotonic())
            history.holds.append(hold)
            believing: list[bool] = []
            sampler = worker.port.spawn(believe(worker, lock, hold, believing), "chaos sampler")
            for turn in range(chance.randrange(1, 5)):
                try:
                    guard = lock.guard()
                except LockLostError:
                    break
                value = b"%d %d" % (token, turn)
                steps = [guard, SetDataRequest(guarded, value, -1)]
                await worker.do("guarded", guarded, lambda port, steps=steps: port.commit(steps), value)
                # At times without a word to the server, for longer than a session lasts.
                await worker.pause(0.05 if chance.random() < 0.8 else 2.0)
            believing.append(False)
            await sampler.join(LONGEST)
        try:
            await lock.release()
        except ZooKeeperError as error:
            history.violation(path, f"{worker.name}: release raised {error!r}")
        await worker.pause(0.05)


async def believe(worker: Worker, lock: AsyncLock, hold: Hold, ended: list[bool]) -> None:
    """Ask all the while whether the lock is held; the last yes is how long the holder may have acted on it."""
    while not ended:
        now = time.monotonic()
        if lock.is_acquired:
            hold.last = now
        await worker.port.sleep(0.005)


PLANS = (write, write, compete, transact, watch, mirror, lock, lock)


async def work(worker: Worker, plan: Callable[[Worker], Awaitable[None]]) -> None:
    """Run a worker to its end; whatever ends it but the round is a violation."""
    try:
        await plan(worker)
    except BaseException as error:
        worker.history.violation(worker.round.root, f"{worker.name} ended by {error!r}")
        raise


# Helpers


async def prepare(client: Any, shared: Round) -> None:
    """Make the nodes of a round."""
    for path in [*shared.directories, *shared.registers, shared.guarded]:
        await ensure(client.port, path)


async def ensure(port: Any, path: str) -> None:
    try:
        await port.create(path)
    except NodeExistsError:
        pass


async def gather(client: Any, shared: Round) -> tuple[dict[str, Any], dict[str, list[str]]]:
    """Everything the ensemble has of a round: nodes with data and Stat, and the names of children."""
    port = client.port
    await agree(port)
    final: dict[str, Any] = {}
    children: dict[str, list[str]] = {}
    waiting = [shared.root]
    while waiting:
        path = waiting.pop()
        try:
            final[path] = await port.get(path)
            if final[path][1].num_children:
                children[path] = await port.get_children(path)
                waiting += [f"{path}/{name}" for name in children[path]]
        except NoNodeError:
            final.pop(path, None)
    return final, children


async def agree(port: Any) -> None:
    """See what is committed by now; `sync` would do, were it not for leaders that were deposed and have not noticed."""
    await port.commit([CheckVersionRequest("/", -1)])


async def as_body(awaitable: Awaitable[Any]) -> Any:
    return await awaitable


async def soon(value: Any) -> Any:
    """What a blocking client returns, or the asyncio client's is awaited for."""
    return await value if inspect.isawaitable(value) else value


Body = Coroutine[Any, Any, None]
