"""The asyncio handler of a client with observers.

Rule: the handler's own methods do everything; this only looks on, see `observing`.
"""

from __future__ import annotations

from .asyncio import AsyncHandler
from .observing import Observing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .._session.core import SessionCore
    from ..calls import Call
    from ..observing import Observer


class ObservedAsyncHandler(Observing, AsyncHandler):
    """An asyncio handler with observers."""

    def __init__(self, core: SessionCore, now: Callable[[], float], observers: tuple[Observer, ...]) -> None:
        AsyncHandler.__init__(self, core)
        self.look_on(observers, now)

    def submit(self, call: Call[Any]) -> None:
        """As the plain handler does, observed."""
        following = self.follow(call)
        try:
            super().submit(call)
        except BaseException as error:
            following.end(call, error)  # from another loop: it never was a request
            raise
