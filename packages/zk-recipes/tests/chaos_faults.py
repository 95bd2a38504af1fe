"""What goes wrong during chaos: a schedule drawn from a seed, done to an ensemble and to the proxies in front of it.

Rule: one fault after the other, each noted when it begins and when it ends; `heal` takes everything back. The schedule
(which fault, which member, how long) depends on the seed alone; who leads at that moment does not.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from chaos_history import History

from zk_testing import EmbeddedEnsemble
from zk_testing.errors import TestingError
from zk_testing.faults import FaultProxy

if TYPE_CHECKING:
    from zk_testing.cluster import Cluster

RATES = {"lose_reply": 0.01, "lose_request": 0.01, "cut_after": 0.005, "delay": 0.02, "pause": 0.002, "chop": 0.02}


class Monkey:
    """Breaks an ensemble of servers and the ways to it.

    ways: the proxies, one for each server, that clients of a kind go through.
    longest: seconds of the longest fault; beyond the timeout of some sessions, so that those expire.
    """

    def __init__(self, servers: Cluster | EmbeddedEnsemble, ways: list[list[FaultProxy]], longest: float) -> None:
        self._servers: Any = servers
        self._ways = ways
        self._proxies = [proxy for way in ways for proxy in way]
        self._longest = longest
        self._embedded = isinstance(servers, EmbeddedEnsemble)
        self.ended: Callable[[], list[int]] = list  # sessions that may be ended by a word
        self._random = random.Random(0)
        self._history = History()
        self._faults: list[Callable[[], None]] = [
            self.kill,
            self.kill,
            self.freeze_server,
            self.freeze_server,
            self.cut,
            self.freeze_network,
            self.freeze_network,
            self.half_open,
            self.refuse,
            self.chance,
            self.chance,
            self.isolate_clients,
            self.isolate_clients,
            self.expire,
            self.roll,
        ]
        if self._embedded:
            self._faults += [self.elect, self.elect, self.isolate, self.isolate, self.lag, self.drop]

    def break_things(self, seconds: float, seed: int, history: History) -> None:
        """Do what the seed says for so long, or until a worker has trouble; not everything is healed afterwards."""
        self._random = random.Random(seed)
        self._history = history
        end = threading.Timer(seconds, lambda: None)
        end.start()
        try:
            while end.is_alive() and not history.trouble.is_set():
                fault = self._random.choice(self._faults)
                # A server may be away, or no leader be there, when it is its turn.
                with suppress(TestingError):
                    fault()
                self._wait(self._random.random() * min(1.0, self._longest))
        finally:
            end.cancel()
            end.join()

    def heal(self, history: History) -> None:
        """Everybody runs, serves and agrees again, and every way is open."""
        for proxy in self._proxies:
            proxy.heal()
        self._servers.heal(timeout=60.0)
        history.note("everything healed")

    # Servers

    def kill(self) -> None:
        """kill -9, and a start some time later."""
        member = self._member()
        self._note(f"kill server {member.number}, {member.role}")
        member.kill()
        self._wait(self._duration())
        member.start(wait=False)
        self._note(f"start server {member.number}")

    def freeze_server(self) -> None:
        """SIGSTOP, and SIGCONT some time later."""
        member = self._member()
        self._note(f"freeze server {member.number}, {member.role}")
        member.pause()
        self._wait(self._duration())
        member.resume()
        self._note(f"server {member.number} runs on")

    def roll(self) -> None:
        """A rolling restart."""
        for member in self._servers:
            self._note(f"restart server {member.number}")
            member.restart(timeout=20.0)
        self._note("all were restarted")

    def elect(self) -> None:
        self._note("elect")
        self._servers.elect(timeout=5.0)

    def isolate(self) -> None:
        member = self._member()
        self._note(f"isolate server {member.number}, {member.role}")
        self._servers.isolate(member)
        self._wait(self._duration())
        self._servers.reconnect()
        self._note(f"server {member.number} is back")

    def lag(self) -> None:
        member = self._member()
        self._note(f"server {member.number} lags")
        member.lag(self._random.random())
        self._wait(self._duration())
        member.lag(0)
        self._note(f"server {member.number} does not lag")

    def drop(self) -> None:
        self._note("drop all connections")
        self._servers.drop_connections()

    # Ways

    def cut(self) -> None:
        for proxy in self._some():
            self._note(f"cut {proxy.address}")
            proxy.cut("reset" if self._random.random() < 0.5 else "fin")

    def freeze_network(self) -> None:
        """Packets get lost, on the way to the server, from it, or both."""
        proxies = self._some()
        way = self._random.choice(["both", "to_server", "to_client"])
        for proxy in proxies:
            self._note(f"freeze {proxy.address} {way}")
            proxy.freeze(way)
        self._wait(self._duration())
        self._heal(proxies)

    def half_open(self) -> None:
        proxies = self._some()
        for proxy in proxies:
            self._note(f"half open {proxy.address}")
            proxy.half_open(keep="client" if self._random.random() < 0.5 else "server")
        self._wait(self._duration())
        self._heal(proxies)

    def refuse(self) -> None:
        proxies = self._some()
        for proxy in proxies:
            self._note(f"refuse {proxy.address}")
            proxy.refuse("close" if self._random.random() < 0.5 else "not_listening")
            proxy.cut()
        self._wait(self._duration())
        self._heal(proxies)

    def chance(self) -> None:
        """Requests and replies get lost and connections break, wherever chance has it."""
        for proxy in self._proxies:
            proxy.random(self._random.randrange(1 << 30), rates=RATES, longest=0.3)
        self._note("chance begins")
        self._wait(self._duration())
        self._heal(self._proxies)

    def isolate_clients(self) -> None:
        """Some clients reach nobody until their sessions have expired, while the others go on."""
        way = self._random.choice(self._ways)
        self._note(f"freeze {', '.join(proxy.address for proxy in way)}")
        for proxy in way:
            proxy.freeze()
        self._wait(1.3 + self._random.random())
        self._heal(way)

    def expire(self) -> None:
        """A server ends a session by a word.

        That takes a holder's lock away before its lease has ended, which no client can know of; so it is done only to
        sessions that hold none.
        """
        sessions = self.ended()
        for proxy in self._proxies:
            here = [session for session in sessions if session in proxy.sessions]
            if here:
                session = self._random.choice(here)
                self._note(f"expire session 0x{session:x}")
                proxy.expire_session(session)
                return

    # Helpers

    def _member(self) -> Any:
        return self._random.choice(list(self._servers))

    def _some(self) -> list[FaultProxy]:
        return self._random.sample(self._proxies, self._random.choice([1, 1, 2, 3]))

    def _duration(self) -> float:
        return self._longest * self._random.random() ** 2

    def _heal(self, proxies: list[FaultProxy]) -> None:
        for proxy in proxies:
            proxy.heal()
        self._note("healed")

    def _note(self, text: str) -> None:
        self._history.note(text)

    def _wait(self, seconds: float) -> None:
        self._history.trouble.wait(seconds)
