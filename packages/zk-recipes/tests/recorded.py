"""Recipes at work in the simulation, with a history written down: what they did is judged afterwards, not meanwhile.

Rule: nothing is asserted while it runs. An operation that does not end within `PATIENCE` has no end in the history.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sim_world import Client, World

from zk_testing.history import History, Pending, Verdict
from zk_wire import ZooKeeperError

T = TypeVar("T")
Make = Callable[[Client], Any]  # a recipe for a client

PATIENCE = 120.0  # virtual seconds, far more than a session and all its faults


@dataclass(frozen=True)
class Returned(Generic[T]):
    """What an operation returned."""

    value: T


class Recorded(World):
    """A world whose clients' operations are written down."""

    def __init__(self, clients: int = 2, seed: int = 0) -> None:
        super().__init__(seed, clients)
        self.history = History(self.sim.now)

    async def do(self, client: Client, kind: str, body: Coroutine[Any, Any, T], what: Pending) -> Returned[T] | None:
        """Run an operation to its end, its error, or the end of our patience; None unless it returned.

        A result is told to the history by the caller, who knows what it means; an error is told here.
        """
        task = self.sim.spawn(body, f"{client.name} {kind}", home=client)
        try:
            return Returned(await task.join(PATIENCE))
        except (ZooKeeperError, TimeoutError) as error:
            if not task.done:
                task.cancel()
                await self.sim.sleep(0.1)
                return None
            what.raised(error)
            return None

    def begin(self, client: Client, kind: str, key: str, argument: object = None, **facts: Any) -> Pending:
        """Begin to write an operation down."""
        return self.history.begin(client.name, kind, key, argument, **facts)

    def lose_reply(self, client: Client, kind: str, *, absence: float = 1.0) -> None:
        """Have the reply to the client's next request of a kind lost, and no server reached for a while."""
        network = self.sim.world.network

        def sent(request: str) -> None:
            if request.partition(" ")[0] == kind:
                client.on_request = None
                self.history.happened("network", "lost reply", client.name)
                network.block(client.process, None, absence)
                for connection in network.connections_of(client.process):
                    connection.deaf = True
                self.sim.call_at(self.sim.now() + 0.05, cut)

        def cut() -> None:
            for connection in network.connections_of(client.process):
                connection.cut()

        client.on_request = sent

    def play(self, *bodies: Coroutine[Any, Any, None]) -> History:
        """Run the bodies to their end, and return what was written down."""
        self.run(*bodies, clean=False)
        return self.history


def refused(verdict: Verdict, sentence: str) -> None:
    """The checker found it, and says this of it."""
    assert verdict.holds is False, verdict
    assert sentence in str(verdict)


def struck(history: History) -> bool:
    """Whether a reply was lost."""
    return any(one.kind == "lost reply" for one in history)
