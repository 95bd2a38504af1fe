"""The end of an asyncio client's tasks and connections, which `stop` waits for even when it is cancelled.

Rule: everything was told to end before; what is waited for here ends within a few turns of the loop. Only a callback of
the user's may refuse to be cancelled; it is left to its own devices after a while.
"""

from __future__ import annotations

import asyncio

from .log import logger

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from .stream import Stream

# Seconds for a task that was cancelled to end.
LONGEST_END = 1.0


async def see_off(tasks: Iterable[asyncio.Task[Any]], streams: Iterable[Stream]) -> None:
    """Wait until every task has ended, and every connection.

    A cancellation meanwhile is raised afterwards.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + LONGEST_END
    cancelled: asyncio.CancelledError | None = None
    left = [task for task in tasks if not task.done()]
    while left or any(not stream.ended.is_set() for stream in streams):
        try:
            if left:
                await asyncio.wait(left, timeout=max(0.0, deadline - loop.time()))
            else:
                for stream in streams:
                    await stream.ended.wait()
        except asyncio.CancelledError as error:
            cancelled = error
        left = [task for task in left if not task.done()]
        if left and loop.time() >= deadline:
            logger().warning("stopped, but %s goes on although it was cancelled", ", ".join(map(repr, left)))
            left = []
    if cancelled is not None:
        raise cancelled
