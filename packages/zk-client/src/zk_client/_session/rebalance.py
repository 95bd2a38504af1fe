"""Whether a client leaves its server when the list of hosts changes, and which servers it then tries.

Rule: pure; chance is an argument. Each client decides for itself, so that all of them together are spread evenly again
with as few moves as possible. With `old` for servers of the new list that were in the old one, `new` for the others,
and `before` and `after` for the sizes of the lists:

    the list grew, my server is in it       move with probability 1 - before/after, to a new server
    the list grew, my server is gone        move, to a new server
    not grown, my server is in it           stay
    not grown, my server is gone            move: an old server with probability
                                            old * (before - after) / (after * (before - old)), otherwise a new one

Source: StaticHostProvider.java, updateServerList; protocol notes 11.4.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import NamedTuple

    from ..hosts import Host
else:
    from .._typing import NamedTuple


class Move(NamedTuple):
    """A move under way: servers to be tried, each once, the new ones with this probability as long as both are left."""

    new: tuple[Host, ...]
    old: tuple[Host, ...]
    chance_of_new: float


def decide(before: Sequence[Host], after: Sequence[Host], mine: Callable[[Host], bool], chance: float) -> Move | None:
    """The move that a connected client makes; None when it stays.

    mine: whether a host of the new list is the server that the client is connected to.   chance: in [0, 1).
    """
    old = tuple(host for host in after if host in before or mine(host))
    new = tuple(host for host in after if host not in old)
    stays = any(mine(host) for host in after)
    if len(after) > len(before):
        if stays and chance >= 1 - len(before) / len(after):
            return None
        return Move(new, old, 1.0)
    if stays:
        return None
    gone = len(before) - len(old)
    chance_of_old = len(old) * (len(before) - len(after)) / (len(after) * gone) if gone else 1.0
    return Move(new, old, 1.0 - chance_of_old)
