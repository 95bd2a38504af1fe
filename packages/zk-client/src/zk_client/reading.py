"""Many reads in few round trips: what a port's `read_many` sends, and what becomes of the replies.

Rule: nothing is waited for here. The port submits the calls, so many at a time, and hands the replies back.

Reads without a watch go in multi-read requests, of as many nodes as fit into the longest reply a client accepts even
if every one of them is as large as the server's default limit allows. A server that does not know that request gets
them one by one.
"""

from __future__ import annotations

from zk_wire import NoAuthError, NoNodeError, ServerError

from .transactions import ReadDraft

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from .calls import Call
    from .operations import Operations
    from .port import Read
    from .transactions import ReadResult

# Nodes in one request: 60 nodes of 1 MiB stay below 64 MiB, the longest frame a client accepts by default.
PACK = 60
# Requests on their way at once.
WINDOW = 200
# Errors of a node rather than of the connection or the moment.
OF_A_NODE = (NoNodeError, NoAuthError)


def single(operations: Operations, read: Read) -> Call[Any]:
    """One read as a request of its own."""
    if read.children:
        return operations.get_children(read.path, read.watch)  # type: ignore[arg-type]
    return operations.get(read.path, read.watch)  # type: ignore[arg-type]


def packs(reads: Sequence[Read]) -> list[list[int]]:
    """The places of the reads without a watch, as many together as one request takes."""
    plain = [place for place, read in enumerate(reads) if read.watch is None]
    return [plain[at : at + PACK] for at in range(0, len(plain), PACK)]


def packed(operations: Operations, reads: Sequence[Read]) -> Call[list[ReadResult]]:
    """Some reads without a watch as one request."""
    draft = ReadDraft(operations)
    for read in reads:
        if read.children:
            draft.get_children(read.path)
        else:
            draft.get(read.path)
    return draft.call()


def value_of(error: ServerError) -> ServerError:
    """An error that is a value; any other is raised."""
    if isinstance(error, OF_A_NODE):
        return error
    raise error


def values(results: Sequence[ReadResult]) -> list[ReadResult]:
    """The results of a batch; raises an error that is not a node's."""
    return [value_of(result) if isinstance(result, ServerError) else result for result in results]
