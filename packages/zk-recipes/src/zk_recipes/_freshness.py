"""How old a copy of the server's data may be, by the client's lease.

Rule: a copy is current while the connection is there and nothing is known to be missing. Its age counts from the
sending of the last request whose answer came while that was so: what had been told before that answer is in the copy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zk_client import Port


class Freshness:
    """The age of one copy. current: nothing is known to be missing.   working: something is being read."""

    def __init__(self, port: Port) -> None:
        self.current = False
        self.working = True
        self._port = port
        self._fresh_at: float | None = None
        self._full_lease = 0.0  # what the lease is right after an answer

    @property
    def age(self) -> float:
        """Seconds for which changes may have gone unnoticed; infinite before the copy was current once."""
        if self.current:
            self._note()
        return float("inf") if self._fresh_at is None else max(0.0, self._port.now() - self._fresh_at)

    def work(self) -> None:
        """Something is to be read: until that is done, time makes the copy older."""
        if self.current:
            self._note()
        self.working = True

    def renew(self) -> None:
        """The copy is current from now on."""
        self._full_lease = self._port.lease_remaining
        self.current = True
        self._note()

    def outdate(self) -> None:
        """The copy is not current any more: something may be missing."""
        if self.current:
            self._note()
            self.current = False

    def _note(self) -> None:
        if self.working:
            return
        lease = self._port.lease_remaining
        self._full_lease = max(self._full_lease, lease)
        fresh_at = self._port.now() - (self._full_lease - lease)
        self._fresh_at = fresh_at if self._fresh_at is None else max(self._fresh_at, fresh_at)
