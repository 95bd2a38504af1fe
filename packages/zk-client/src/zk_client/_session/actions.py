"""What the session core asks of its handler.

Rule: an action says what to do, never how. The handler performs them in the order given.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NamedTuple

    from ..hosts import Host
    from ..states import SessionState, WatchedEvent
    from .watches import Listener
else:
    from .._typing import NamedTuple


class Connect(NamedTuple):
    """Resolve the host anew, and open a TCP connection to one of its addresses.

    timeout: seconds for the resolver, and for each of the addresses.
    """

    host: Host
    timeout: float


class Disconnect(NamedTuple):
    """Close the connection there is; nothing more is expected from it."""

    reason: str


class ChangeState(NamedTuple):
    """Tell the listeners, once the first `after` of the completed calls have been completed."""

    state: SessionState
    after: int = 0


class Deliver(NamedTuple):
    """Tell one watch's listener, once the first `after` of the completed calls have been completed.

    The order of the server: whoever sees a reply has seen the events of what it reflects.
    """

    listener: Listener
    event: WatchedEvent
    after: int = 0


class Probe(NamedTuple):
    """Ask each host with `isro` whether it is a read-write server, for at most `timeout` seconds each."""

    hosts: tuple[Host, ...]
    timeout: float


class Log(NamedTuple):
    """Write a line; level as in logging (10 debug, 20 info, 30 warning)."""

    level: int
    message: str


Action = Connect | Disconnect | ChangeState | Deliver | Probe | Log
