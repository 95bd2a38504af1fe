"""What was agreed on, and transactions whose outcome is known at the end.

Rule: before an answer proves that something is not there, the ensemble has agreed that the server who gives it is not
behind. `sync` does not do: a leader that was deposed and has not noticed answers it by itself, from the past.

A transaction is known by its witness, an ephemeral node of ours under a GUID of its own. Once the session is served by
another connection, what was sent over the old one is settled, and whether the witness is there tells of the whole
transaction. A port resolves what it can by itself; this resolves the rest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from zk_client import TransactionFailedError
from zk_wire import CheckVersionRequest, ConnectionLostError, CreateResult, OperationTimeoutError, Outcome

from ._waiting import DEAD, FIRST_PAUSE, LONGEST_PAUSE, PASSING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from zk_client import Operation, Port
    from zk_wire import Stat


async def catch_up(port: Port) -> None:
    """Have this session's next reads show all that was committed before. Raises as `Port.commit` does for a loss."""
    try:
        await port.commit([CheckVersionRequest("/", -1)])
    except TransactionFailedError:
        pass  # there is no such node below a chroot that is not there, and that was agreed on too


async def commit_witnessed(port: Port, operations: Sequence[Operation], witness: str, session_id: int) -> Stat | None:
    """Apply all operations or none. witness: the path of the node that one of them creates.

    Returns the new node's Stat, or None where the server does not give it (it does for a Create2Request, since 3.5).
    Raises as `Port.commit`. An error whose outcome is still UNKNOWN means that the session has ended, or the port's
    time: who gets it has to leave the rest to `background_delete`.
    """
    try:
        results = await port.commit(operations)
    except PASSING as error:
        if error.outcome is not Outcome.UNKNOWN:
            raise
        unknown = error
    else:
        return next((result.stat for result in results if isinstance(result, CreateResult)), None)
    pause = FIRST_PAUSE
    while port.session_id == session_id and port.state not in DEAD:
        try:
            await catch_up(port)
            stat = await port.exists(witness)
        except OperationTimeoutError:
            break
        except PASSING:
            await port.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)
            continue
        if port.session_id != session_id:
            break
        if stat is not None and stat.ephemeral_owner == session_id:
            return stat
        raise ConnectionLostError(witness, outcome=Outcome.NOT_APPLIED) from unknown
    raise unknown
