"""Writes whose outcome is found out before anybody is told.

Rule: a write goes out in a transaction with a marker, so that the port can tell what became of it for as long as the
session lives. A refusal is an error of its own; "not applied" may be tried again at once; what nobody can tell (the
session, or the time, ended while the reply was lost) becomes an `UndecidedError`, unless the caller finds proof. There
is none in what is read while the session lives: the write may still be under way, and a server may show the past.

The markers lie beside the recipe's own nodes, because other implementations take every child for one of theirs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from zk_client import TransactionFailedError
from zk_wire import ConnectionLostError, NoNodeError, Outcome

from ._waiting import PASSING, Patience
from .errors import RecipeTimeoutError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from zk_client import Operation, OperationResult, Port
    from zk_wire import ServerError

# After the recipe's own path: where the markers of its transactions live for a moment.
MARKERS = "-__writes__"

# How often the markers' parent is created anew that somebody deletes at the same time.
_PARENT_TRIES = 3
# Seconds: the first and the longest pause of one who lost a race for a node.
_FIRST_BACKOFF = 0.002
_LONGEST_BACKOFF = 0.1


def patience_for(port: Port, path: str, what: str, timeout: float | None) -> Patience:
    """How long an operation on *path* goes on trying, with errors that say so."""

    def ended() -> Exception:
        return RecipeTimeoutError(path, what, timeout or 0.0)

    return Patience(port, timeout, timed_out=ended, cancelled=ended)


async def commit(port: Port, operations: Sequence[Operation], markers: str) -> list[OperationResult] | None:
    """Apply all operations or none; None when they are applied and only the results got lost.

    Raises TransactionFailedError; and errors of the connection, after which nothing was applied unless their outcome
    is UNKNOWN.
    """
    tries = 0
    while True:
        try:
            return await port.commit(operations, marker=markers)
        except TransactionFailedError as refused:
            tries += 1
            if refused.index < len(operations) or not isinstance(refused.error, NoNodeError) or tries == _PARENT_TRIES:
                raise
        except PASSING as error:
            if error.outcome is not Outcome.APPLIED:
                raise
            return None
        await ensure(port, markers)


async def ensure(port: Port, path: str) -> None:
    """Create a node and its parents where they are missing. A lost connection says nothing of anybody's write."""
    try:
        await port.ensure_path(path)
    except PASSING as error:
        raise ConnectionLostError(path, message=str(error), outcome=Outcome.NOT_APPLIED) from error


def is_undecided(error: ServerError) -> bool:
    """Whether an error leaves open what became of a write."""
    return error.outcome is Outcome.UNKNOWN


def may_be_proved(port: Port, session_id: int | None) -> bool:
    """Whether what is read now, after `catch_up`, tells of an undecided write of that session.

    The session has ended, and so nothing of it is applied any more. What was may not have reached the server that the
    next session is on: one that is local to a server is not agreed on by all of them.
    """
    return port.session_id != session_id


async def back_off(port: Port, lost: int) -> None:
    """Let others go first who want the same node; *lost*: how many races were lost so far."""
    await port.sleep(port.chance() * min(_FIRST_BACKOFF * 2.0 ** min(lost, 10), _LONGEST_BACKOFF))
