"""What the simulated tests share: clients that speak the real client's types, and one chaotic run of contenders."""

from __future__ import annotations

from collections.abc import Callable, Coroutine

from simulated import NO_FAULTS, Faults, SimulatedServer, Simulation, TaskCancelled, faults_of
from simulated import SimulatedClient as Client

from zk_recipes import AsyncLock, LockCancelledError, LockInUseError, LockTimeout

PATH = "/locks/one"
FAULTS = faults_of(rate=0.08, limit=6)  # of a search


class World:
    """A simulation with a server and some clients."""

    def __init__(self, seed: int = 0, clients: int = 2, *, timeout: float = 10.0, faults: Faults = NO_FAULTS) -> None:
        self.sim = Simulation(seed, faults=faults)
        self.server = SimulatedServer(self.sim)
        self.clients: list[Client] = [Client(self.sim, f"client-{index}", timeout=timeout) for index in range(clients)]

    def queue(self, path: str = PATH) -> list[str]:
        """Paths of the nodes in the queue, oldest first."""
        found = [(stat.czxid, node) for node in self.server.paths() if (stat := self.server.stat(node)) is not None]
        return [node for _, node in sorted(found) if node.startswith(path + "/")]

    def run(self, *bodies: Coroutine[object, None, None], clean: bool = True) -> None:
        """Run the bodies to their end; *clean*: nothing may be left then."""
        for number, body in enumerate(bodies):
            self.sim.spawn(body, f"body {number}")
        self.sim.run()
        if clean:
            assert self.leaks() == []

    def leaks(self) -> list[str]:
        """Everything recipes have left behind: nodes, watches, listeners."""
        return (
            [f"node {path}" for path in self.queue()]
            + [f"watch on {path}" for path in self.server.watches()]
            + [leak for client in self.clients for leak in client.leaks()]
        )


def lock(world: World, client: int = 0, **options: object) -> AsyncLock:
    """The lock of one client."""
    return AsyncLock(world.clients[client], PATH, f"client-{client}", **options)  # type: ignore[arg-type]


def chaos(
    seed: int,
    lock_type: type[AsyncLock] = AsyncLock,
    *,
    faults: Faults = NO_FAULTS,
    counter: int = 0,
    contenders: int | None = None,
    rounds: int = 3,
    on_lost: bool = True,
    observe: Callable[[World], None] | None = None,
) -> World:
    """Let three to five contenders fight for one lock until each had its rounds, and check everything on the way.

    Fails when two hold at once by the lease clock, when a token is not greater than all before, when somebody waits
    for ever, and when anything is left at the end.
    """
    world = World(seed, 0, faults=faults)
    sim, server = world.sim, world.server
    server.set_counter(PATH, counter)
    count = contenders if contenders is not None else 3 + int(sim.random() * 3)
    locks: list[AsyncLock] = []
    tokens: list[int] = []
    finished: list[int] = []
    tellers: set[int] = set()
    believing: set[int] = set()  # who was told that it holds, has not released, and was not told that it lost

    def alone() -> None:
        holders = [lock for lock in locks if lock.is_acquired]
        assert len(holders) <= 1, f"{len(holders)} holders at once: {[lock.identifier for lock in holders]}"

    sim.always(alone)

    def no_watch(client: Client, number: int) -> None:
        """Whoever has stopped waiting watches nothing (but its own node, to be told of a loss)."""
        assert number in tellers or not client.watchers, f"{client.name} still watches {client.watchers[0].path}"

    async def contend(client: Client, lock: AsyncLock, number: int) -> None:
        try:
            for _ in range(rounds):
                await sim.sleep(sim.between(0.0, 0.1))
                try:
                    await lock.acquire(timeout=sim.between(0.5, 60.0) if sim.random() < 0.3 else None)
                except (LockTimeout, LockCancelledError) as error:
                    sim.note(client.name, f"gives up: {error}")
                    no_watch(client, number)
                    continue
                except LockInUseError:
                    # Its session has turned out to be alive, and so it holds what it had lost.
                    await lock.release()
                    continue
                try:
                    believing.add(number)
                    no_watch(client, number)
                    assert lock.is_acquired, "acquire said that it holds, and it does not"
                    token = lock.token
                    if lock.is_acquired and token is not None:
                        sim.note(client.name, f"acquires with token {token:x}")
                        assert not tokens or token > max(tokens), f"token {token:x} after {max(tokens):x}"
                        tokens.append(token)
                    await sim.sleep(sim.between(0.0, 0.05 if sim.random() < 0.8 else 20.0))
                finally:
                    believing.discard(number)
                    # Who has lost it may acquire again at once: the object gives up what is left.
                    if lock.is_acquired or number % 3 != 2:
                        await lock.release()
        finally:
            finished.append(number)
            await lock.release()  # which may be cancelled, too

    async def trouble() -> None:
        """Cancel tasks and locks, and delete waiting nodes, as the seed wants."""
        for _ in range(12):
            await sim.sleep(sim.between(0.0, 0.4 if sim.random() < 0.7 else 20.0))
            victim = int(sim.random() * count)
            holders = [number for number, lock in enumerate(locks) if lock.is_acquired]
            if holders and sim.random() < 0.5:
                victim = holders[0]
            match int(sim.random() * 8):
                case 0:
                    sim.note("trouble", f"cancels the task of client-{victim}")
                    tasks[victim].cancel()
                    if sim.random() < 0.5:
                        await sim.pause()
                        tasks[victim].cancel()
                case 1:
                    sim.note("trouble", f"cancels the lock of client-{victim}")
                    locks[victim].cancel()
                case 2:
                    # The youngest, if others are before it: what happens to a holder is a test of its own.
                    if len(queue := world.queue()) > 1:
                        server.intrude(queue[-1])
                case 3 if "cut" in faults.kinds:
                    world.clients[victim].cut(sim.between(1.0, 25.0))
                case 4 if "freeze" in faults.kinds:
                    world.clients[victim].freeze(sim.between(1.0, 25.0))
                case _:
                    pass

    for number in range(count):
        client = Client(sim, f"client-{number}")
        world.clients.append(client)
        told: Callable[[], None] | None = None
        if on_lost and number % 2:
            tellers.add(number)

            def told(name: str = client.name, number: int = number) -> None:
                sim.note(name, "is told that it lost")
                if number not in believing:
                    sim.fail(f"{name} is told of a loss that it knows of, or that is none")
                believing.discard(number)

        locks.append(lock_type(client, PATH, client.name, on_lost=told))
    tasks = [
        sim.spawn(contend(client, lock, number), client.name, home=client)
        for number, (client, lock) in enumerate(zip(world.clients, locks, strict=True))
    ]
    if faults.limit:
        sim.spawn(trouble(), "trouble")
    if observe is not None:
        observe(world)
    sim.run()
    if leaks := world.leaks():
        sim.refute(f"left behind: {', '.join(leaks)}")
    assert sorted(finished) == list(range(count))
    return world


__all__ = ["FAULTS", "PATH", "Client", "TaskCancelled", "World", "chaos", "lock"]
