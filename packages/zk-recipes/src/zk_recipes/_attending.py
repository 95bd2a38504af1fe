"""One worker per client and purpose for everything that has to be looked at again, however much there is.

Rule: whoever is told of a change only raises a flag; reading and calling happens on the worker, one after the other. So
a hundred watches cost one thread, a reconnect starts none, and nothing of ours or of the user's runs on the reader.
The worker exists while anybody is enrolled. What calls functions of the user's and what must not wait for them have
workers of their own, by their purpose.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from zk_client import Event, HasPort, Port

_attendants: WeakKeyDictionary[HasPort, dict[str, Attendant]] = WeakKeyDictionary()


class Member(ABC):
    """Somebody the worker looks after."""

    @abstractmethod
    def due(self) -> float | None:
        """When it has to be attended to: a time of the port's clock, perhaps past; None when only `wake` will tell."""

    @abstractmethod
    async def attend(self) -> None:
        """Do what is due. Raises nothing but what ends the worker."""


class Attendant:
    """The worker of one client for one purpose. wake: set when anybody may be due."""

    def __init__(self, port: Port, purpose: str) -> None:
        self._purpose = purpose
        self.wake: Event = port.event()
        self._port = port
        self._members: dict[Member, None] = {}
        # Whoever runs the worker has taken the one element. A list's pop is atomic, also between threads.
        self._right_to_run = [None]

    @classmethod
    def of(cls, client: HasPort, purpose: str) -> Attendant:
        """The worker of a client. (Two threads that ask for the first time at once may get two, which is no harm.)"""
        workers = _attendants.setdefault(client, {})
        attendant = workers.get(purpose)
        if attendant is None:
            attendant = workers[purpose] = cls(client.port, purpose)
        return attendant

    def enroll(self, member: Member) -> None:
        """Look after somebody from now on."""
        self._members[member] = None
        self._run()
        self.wake.set()

    def dismiss(self, member: Member) -> None:
        """Look after somebody no longer; the worker ends with the last one."""
        self._members.pop(member, None)
        self.wake.set()

    def _run(self) -> None:
        try:
            self._right_to_run.pop()
        except IndexError:
            return
        worker = self._attend()
        try:
            self._port.spawn(worker, self._purpose)
        except BaseException:
            worker.close()
            self._right_to_run.append(None)
            raise

    async def _attend(self) -> None:
        try:
            while self._members:
                await self._wait(await self._round())
        finally:
            self._right_to_run.append(None)
        if self._members:
            # Somebody came between the last look and the line above, and found the worker running.
            self._run()

    async def _round(self) -> float | None:
        """Attend to everybody who is due; return when the next one is."""
        first: float | None = None
        for member in list(self._members):
            due = member.due()
            if due is not None and due <= self._port.now():
                await member.attend()
                due = member.due()
            if due is not None:
                first = due if first is None else min(first, due)
        return first

    async def _wait(self, until: float | None) -> None:
        if until is not None and until <= self._port.now():
            return
        await self.wake.wait(None if until is None else until - self._port.now())
        # Whatever a setter wants seen was there before it set the flag.
        self.wake.clear()
