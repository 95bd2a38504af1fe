"""When a session must ping, when its server counts as dead, and how long a lease is safe.

Rule: every time is an argument, monotonic, in seconds. T is the negotiated session timeout.

    ping            nothing sent for T/3, and at least every 10 s (Java: half the read timeout); more often when the
                    server is to count as dead sooner
    read deadline   2T/3 since the last byte received (Java), or `dead_after` where that is sooner. What is sent does
                    not count, so that a frozen peer is noticed even while the application keeps sending
    local expiry    4T/3 without a byte from any server (Java 3.9.3): by then the server has given the session up
    lease           from when the last answered request was *sent*, T less a margin. The server counts from when it
                    received that request, which is later, so it cannot have given a lock away before

Source: ClientCnxn.java, ClientCnxnSocket.java; protocol notes 11.1. The lease is ours.
"""

from __future__ import annotations

LONGEST_PING_INTERVAL = 10.0
# The part of T by which the lease ends early: clocks drift, threads are scheduled late.
LEASE_MARGIN = 0.1


class Timers:
    """The times of one session: see above.

    dead_after: seconds of silence after which a server counts as dead; None for two thirds of the session timeout,
    which is also the most it can be: the session would not outlive a longer one.
    """

    __slots__ = ("dead_after", "lease_base", "ping_sent", "received", "sent", "timeout")

    def __init__(self, timeout: float, dead_after: float | None = None) -> None:
        self.timeout = timeout
        self.dead_after = dead_after
        self.received = 0.0
        self.sent = 0.0
        self.lease_base: float | None = None
        self.ping_sent: float | None = None

    @property
    def ping_interval(self) -> float:
        """Seconds of silence of our own after which a ping is due."""
        return min(self.read_timeout / 2, LONGEST_PING_INTERVAL)

    @property
    def read_timeout(self) -> float:
        """Seconds of silence of the server's after which it counts as dead."""
        longest = self.timeout * 2 / 3
        return longest if self.dead_after is None else min(self.dead_after, longest)

    @property
    def local_expiry(self) -> float:
        """When the session is given up without hearing the server's verdict."""
        return self.received + self.timeout * 4 / 3

    def ping_due(self) -> float:
        """When the next ping must go out, unless something else is sent before."""
        return self.sent + self.ping_interval

    def read_deadline(self) -> float:
        """When the server counts as dead, unless something arrives before."""
        return self.received + self.read_timeout

    def answered(self, sent_at: float) -> None:
        """The server answered a request sent at that time."""
        if self.lease_base is None or sent_at > self.lease_base:
            self.lease_base = sent_at

    def lease_remaining(self, now: float) -> float:
        """Seconds for which no server can have given the session up; 0 when that is not certain."""
        if self.lease_base is None:
            return 0.0
        return max(0.0, self.lease_base + self.timeout * (1 - LEASE_MARGIN) - now)
