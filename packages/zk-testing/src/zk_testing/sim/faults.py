"""What goes wrong in a simulated world, decided by the seed.

Rule: each fault has a name that says where it strikes ("client-1#7" is at the seventh message this process sends, not
counting pings, "trouble#3" is the third thing that happens to the world), and what it is depends on the seed and that
name alone. So a run can be repeated with some of its faults only, which is how a failure is made small.

Faults of messages: the message is lost, or its reply is, and the connection ends; the connection is cut in between; it
hangs, open and silent; the whole process stands still. After most of them the process reaches nobody for a while,
perhaps for longer than its session lives. Troubles of the world: a process crashes and is started again, its wall
clock jumps, a session is ended, servers are restarted, paused, cut off, made to elect, made to lag.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from .network import Connection
    from .process import Process
    from .world import Simulation

__all__ = ["FAULTS", "MESSAGE_FAULTS", "NO_FAULTS", "TROUBLES", "Faults"]

MESSAGE_FAULTS = ("lose request", "lose reply", "cut", "hang", "freeze")
TROUBLES = ("crash", "clock", "expire", "restart", "pause", "isolate", "elect", "lag")
_ANYWHERE = ("crash", "clock", "expire")

# Pings would take the faults away from what matters: a client that waits sends nothing else.
_PING = b"\x00\x00\x00\x08\xff\xff\xff\xfe\x00\x00\x00\x0b"
_READ_DEADLINE = 2 / 3  # of the session's timeout: for how long a client bears silence


class Faults(NamedTuple):
    """What may go wrong.

    rate: the chance at each message of a client.   limit: so many strike the messages of one process, then no more.
    kinds: any of "lose request", "lose reply", "cut", "hang", "freeze", and of the troubles below.
    troubles: how many of these happen, out of "crash", "clock", "expire" (a session), "restart" and "pause" (a server)
    and, to ensembles, "isolate", "elect" and "lag".
    timeout: the session timeout the length of faults is measured by, in seconds.
    """

    rate: float = 0.08
    limit: int = 6
    kinds: tuple[str, ...] = MESSAGE_FAULTS + TROUBLES
    troubles: int = 6
    timeout: float = 10.0


FAULTS = Faults()
NO_FAULTS = Faults(rate=0.0, limit=0, troubles=0)


def _check(faults: Faults, of_servers: tuple[str, ...]) -> None:
    known = MESSAGE_FAULTS + TROUBLES
    unknown = [kind for kind in faults.kinds if kind not in known]
    if isinstance(faults.kinds, str) or unknown:
        raise ValueError(f"kinds is a tuple of {', '.join(known)}, not {faults.kinds!r}")
    if faults.kinds and not set(faults.kinds) & {*MESSAGE_FAULTS, *_ANYWHERE, *of_servers}:
        raise ValueError(f"kinds={faults.kinds!r} can only happen to an ensemble: servers=3")
    if not 0 <= faults.rate <= 1:
        raise ValueError(f"rate is a chance, from 0 to 1, not {faults.rate}")
    if faults.limit < 0 or faults.troubles < 0 or not faults.timeout > 0:
        raise ValueError(f"limit and troubles are at least 0 and timeout is more than 0, not so in {faults}")


class Mischief:
    """Does what goes wrong in one run.   only: the names of the faults that may strike; None is all.

    Raises ValueError for faults that nobody knows, or that cannot happen: a test of them would find nothing for ever.
    """

    def __init__(self, world: Simulation, faults: Faults, only: frozenset[str] | None) -> None:
        _check(faults, world.servers.kinds)
        self.done: list[tuple[str, str]] = []  # the faults that struck: name and text
        self._world = world
        self._faults = faults
        self._only = only
        self._message_kinds = tuple(kind for kind in faults.kinds if kind in MESSAGE_FAULTS)
        self._kinds = tuple(kind for kind in faults.kinds if kind in TROUBLES)
        self._sent: dict[str, int] = {}
        self._left: dict[str, int] = {}
        self._chances: dict[str, random.Random] = {}
        self.paused = False

    @property
    def strikes_messages(self) -> bool:
        """Whether messages need to be looked at."""
        return bool(self._faults.limit and self._message_kinds and self._faults.rate)

    def at_message(self, connection: Connection, data: bytes) -> bool:
        """Strike a message of a client, or not; False when it is not to be sent."""
        process = connection.client.process
        if process is None or connection.writes == 1 or self.paused or data == _PING:
            return True
        name = process.name
        number = self._sent[name] = self._sent.get(name, 0) + 1
        place = f"{name}#{number}"
        if self._only is not None:
            strikes = place in self._only
        else:
            chance = self._chances.get(name)
            if chance is None:
                chance = self._chances[name] = random.Random(f"{self._world.seed}/{name}")
            strikes = chance.random() < self._faults.rate and self._left.get(name, self._faults.limit) > 0
            if strikes:
                self._left[name] = self._left.get(name, self._faults.limit) - 1
        return self._strike(place, process, connection) if strikes else True

    def _strike(self, place: str, process: Process, connection: Connection) -> bool:
        chance = random.Random(f"{self._world.seed}/{place}")
        kind = self._message_kinds[int(chance.random() * len(self._message_kinds))]
        absence = self._absence(chance)
        refuse = chance.random() < 0.2
        soon = chance.random() * 0.01
        self._report(place, f"{kind}, and {absence:.3f} s {'frozen' if kind == 'freeze' else 'without a server'}")
        network = self._world.network
        match kind:
            case "lose request":
                network.block(process, None, absence, refuse=refuse)
                connection.cut()
                return False
            case "lose reply":
                connection.deaf = True
                network.block(process, None, absence, refuse=refuse)
            case "cut":
                network.block(process, None, absence + soon, refuse=refuse)
                self._world.loop.call_later(soon, connection.cut)
            case "hang":
                connection.hangs = True
                network.block(process, None, _READ_DEADLINE * self._faults.timeout + absence, refuse=refuse)
            case _:
                self._world.loop.call_later(soon, process.freeze, absence)
        return True

    def _absence(self, chance: random.Random) -> float:
        timeout = self._faults.timeout
        if chance.random() < 0.5:
            return timeout * (0.01 + 0.59 * chance.random())
        return timeout * (0.8 + 1.7 * chance.random())

    # The world

    def begin(self) -> None:
        """Have the troubles of the world come, one after the other."""
        if self._faults.troubles and self._kinds:
            self._plan(1, self._world.loop.time())

    def _plan(self, number: int, after: float) -> None:
        if number > self._faults.troubles:
            return
        chance = random.Random(f"{self._world.seed}/trouble#{number}")
        when = after + chance.random() * (0.4 if chance.random() < 0.7 else 2 * self._faults.timeout)

        def happen() -> None:
            self._plan(number + 1, when)
            place = f"trouble#{number}"
            if not self.paused and (self._only is None or place in self._only):
                self._happen(place, chance)

        self._world.loop.call_at(when, happen)

    def _happen(self, place: str, chance: random.Random) -> None:
        world = self._world
        kind = self._kinds[int(chance.random() * len(self._kinds))]
        length = self._absence(chance)
        which = chance.random()
        match kind:
            case "crash" | "clock":
                programs = [program for program in world.programs if not program.done]
                if not programs:
                    return
                program = programs[int(which * len(programs))]
                if kind == "crash":
                    self._report(place, f"{program.name} crashes, and is started again after {length:.3f} s")
                    program.crash(length)
                else:
                    step = (chance.random() - 0.5) * 7200
                    self._report(place, f"the wall clock of {program.name} jumps by {step:.3f} s")
                    program.process.clock_offset += step
            case "expire":
                sessions = world.sessions()
                if sessions:
                    session_id = sessions[int(which * len(sessions))]
                    self._report(place, f"session 0x{session_id:x} is ended")
                    world.expire_session(session_id)
            case _:
                if world.servers.can(kind):
                    self._report(place, world.servers.suffer(kind, which, length))

    def _report(self, place: str, text: str) -> None:
        self.done.append((place, text))
        self._world.note("faults", f"{place}: {text}")
