"""Small recipes that are wrong on purpose, each as a well-known client is; the history checker has to find them.

Rule: written over the port, as short as the fault allows. What our client does right by itself (watches that survive,
writes that are looked up) they give up again.
"""

from __future__ import annotations

from zk_client import HasPort, Port, SessionState, TransactionFailedError, Watcher
from zk_wire import BadVersionError, ConnectionLostError, DeleteRequest, NodeExistsError, NoNodeError, ZooKeeperError


async def or_for_ever(port: Port, watch: Watcher) -> None:
    """Wait for a watch that a reconnect drops: then nothing comes any more."""
    dropped = port.event()

    def told(state: SessionState) -> None:
        if state is SessionState.SUSPENDED:
            dropped.set()

    port.add_listener(told)
    try:
        while not dropped.is_set():
            if await watch.wait(0.2) is not None:
                return
        await port.event().wait()
    finally:
        port.remove_listener(told)
        await watch.close()


async def until_gone(port: Port, path: str) -> None:
    """Wait until a node is gone, with such a watch."""
    while True:
        watch = port.watcher()
        if not await port.exists(path, watch):
            await watch.close()
            return
        await or_for_ever(port, watch)


class Counter:
    """Reads, and sets at the version read; a lost reply is taken for a write that did not happen."""

    def __init__(self, client: HasPort, path: str) -> None:
        self.port = client.port
        self.path = path

    async def add(self, amount: int) -> int:
        while True:
            try:
                data, stat = await self.port.get(self.path)
                total = int(data or b"0") + amount
                await self._set(str(total).encode(), stat.version)
            except (BadVersionError, ConnectionLostError):
                await self.port.sleep(0.1)
            else:
                return total

    async def _set(self, data: bytes, version: int) -> None:
        await self.port.set(self.path, data, version)


class RetryingCounter(Counter):
    """Retries the very set, whose version is then wrong through itself, and begins anew."""

    async def _set(self, data: bytes, version: int) -> None:
        try:
            await self.port.set(self.path, data, version)
        except ConnectionLostError:
            await self.port.sleep(0.1)
            await self.port.set(self.path, data, version)


class Queue:
    """Takes by a delete, and takes an entry that is gone for somebody else's."""

    def __init__(self, client: HasPort, path: str) -> None:
        self.port = client.port
        self.path = path

    async def put(self, value: bytes) -> None:
        await self.port.create(f"{self.path}/entry-", value, sequence=True, makepath=True)

    async def get(self) -> bytes | None:
        while True:
            try:
                names = sorted(await self.port.get_children(self.path))
                if not names:
                    return None
                data, _ = await self.port.get(f"{self.path}/{names[0]}")
                await self._take(f"{self.path}/{names[0]}")
            except (ConnectionLostError, NoNodeError):
                await self.port.sleep(0.1)
            else:
                return data

    async def _take(self, path: str) -> None:
        await self.port.delete(path)


class RetryingQueue(Queue):
    """Retries the very delete, which then finds nothing."""

    async def _take(self, path: str) -> None:
        while True:
            try:
                await self.port.delete(path)
            except ConnectionLostError:
                await self.port.sleep(0.1)
            else:
                return


class LockingQueue(Queue):
    """Marks an entry as taken by an ephemeral node, and consumes both in one transaction that it does not look at."""

    name = ""

    async def put_all(self, values: list[bytes]) -> None:
        """Swallows every error."""
        try:
            for value in values:
                await self.port.create(f"{self.path}/entries/entry-", value, sequence=True)
        except ZooKeeperError:
            pass

    async def get(self, timeout: float | None = None) -> bytes | None:
        """Take the first entry that nobody has marked; None when there is none."""
        taken = await self.port.get_children(f"{self.path}/taken")
        for name in sorted(await self.port.get_children(f"{self.path}/entries")):
            if name not in taken:
                try:
                    await self._mark(f"{self.path}/taken/{name}")
                    data, _ = await self.port.get(f"{self.path}/entries/{name}")
                except (NodeExistsError, NoNodeError):
                    continue
                self.name = name
                return data
        return None

    async def _mark(self, path: str) -> None:
        # Given up before the client can look whether it is there.
        await self.port.until(self.port.now() + 0.5).create(path, ephemeral=True)

    async def consume(self) -> bool:
        """Says yes, whatever became of the transaction."""
        try:
            await self.port.commit(
                [
                    DeleteRequest(f"{self.path}/entries/{self.name}", -1),
                    DeleteRequest(f"{self.path}/taken/{self.name}", -1),
                ]
            )
        except TransactionFailedError:
            pass
        return True


class HangingQueue(Queue):
    """Says of a create with a lost reply, after the whole session timeout, that it did not come to pass."""

    async def put(self, value: bytes) -> None:
        try:
            await super().put(value)
        except ConnectionLostError:
            await self.port.sleep(20.0)
            raise TimeoutError from None


class Barrier:
    """Waits with a watch that a reconnect drops."""

    def __init__(self, client: HasPort, path: str) -> None:
        self.port = client.port
        self.path = path

    async def wait(self) -> bool:
        await until_gone(self.port, self.path)
        return True


class DoubleBarrier:
    """Counts its members' nodes, and takes what it sees for what is."""

    def __init__(self, client: HasPort, path: str, needed: int, name: str) -> None:
        self.port = client.port
        self.path = path
        self.needed = needed
        self.name = name

    async def enter(self) -> None:
        await self.port.create(f"{self.path}/{self.name}", ephemeral=True)
        await self._until_all_are_there()

    async def _until_all_are_there(self) -> None:
        while True:
            watch = self.port.watcher()
            if len(await self.port.get_children(self.path, watch)) >= self.needed:
                await watch.close()
                return
            await watch.wait()

    async def leave(self) -> bool:
        """The lowest waits for all others; the others wait for the lowest alone."""
        names = sorted(await self.port.get_children(self.path))
        if self.name == names[0]:
            for name in names[1:]:
                await self._until_gone(name)
            await self.port.delete(f"{self.path}/{self.name}")
        else:
            await self.port.delete(f"{self.path}/{self.name}")
            await self._until_gone(names[0])
        return True

    async def _until_gone(self, name: str) -> None:
        while True:
            watch = self.port.watcher()
            if not await self.port.exists(f"{self.path}/{name}", watch):
                await watch.close()
                return
            await watch.wait()


class ForgetfulDoubleBarrier(DoubleBarrier):
    """Waits with a watch that a reconnect drops."""

    async def _until_all_are_there(self) -> None:
        while len(await self.port.get_children(self.path)) < self.needed:
            watch = self.port.watcher()
            await self.port.get_children(self.path, watch)
            await or_for_ever(self.port, watch)


class CarelessDoubleBarrier(DoubleBarrier):
    """Takes every error for an answer."""

    async def enter(self) -> None:
        try:
            await super().enter()
        except ZooKeeperError:
            pass


class Lock:
    """A queue of ephemeral nodes. `is_acquired` is true from the turn to the release, whatever the session does."""

    def __init__(self, client: HasPort, path: str, name: str) -> None:
        self.port = client.port
        self.path = path
        self.name = name
        self.node = ""
        self.token: int | None = None
        self.is_acquired = False

    async def acquire(self, timeout: float | None = None) -> bool:
        """Queue; the timeout is that of each wait, one after the other."""
        self.node, stat = await self.port.create_with_stat(
            f"{self.path}/{self.name}-{self.port.guid()}-", ephemeral=True, sequence=True, unique=True
        )
        while True:
            names = sorted(await self.port.get_children(self.path), key=lambda name: name[-10:])
            place = names.index(self.node.rpartition("/")[2])
            if not place:
                self.token = stat.czxid
                self.is_acquired = True
                return True
            if not await self._until_gone(f"{self.path}/{names[place - 1]}", timeout):
                await self.port.delete(self.node)
                return False

    async def _until_gone(self, path: str, timeout: float | None) -> bool:
        watch = self.port.watcher()
        if not await self.port.exists(path, watch):
            await watch.close()
            return True
        told = await watch.wait(timeout)
        await watch.close()
        return told is not None

    async def release(self) -> bool:
        """Delete the node, and say yes."""
        self.is_acquired = False
        try:
            await self.port.delete(self.node)
        except NoNodeError:
            pass
        return True


class ForgetfulLock(Lock):
    """Waits with a watch that a reconnect drops."""

    async def _until_gone(self, path: str, timeout: float | None) -> bool:
        await until_gone(self.port, path)
        return True
