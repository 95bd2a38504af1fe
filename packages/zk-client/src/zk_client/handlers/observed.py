"""The blocking handler of a client with observers.

Rule: the handler's own methods do everything; this only looks on, see `observing`.
"""

from __future__ import annotations

from .blocking import BlockingHandler
from .observing import Observing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .._session.core import SessionCore
    from ..calls import Call
    from ..observing import Observer
    from .base import Runtime


class ObservedBlockingHandler(Observing, BlockingHandler):
    """A blocking handler with observers."""

    def __init__(self, core: SessionCore, runtime: Runtime, observers: tuple[Observer, ...]) -> None:
        BlockingHandler.__init__(self, core, runtime)
        self.look_on(observers, runtime.now)

    def call(self, call: Call[Any], timeout: float | None) -> Any:
        """As the plain handler does, observed."""
        self.follow(call)
        return super().call(call, timeout)

    def submit(self, call: Call[Any]) -> None:
        """As the plain handler does, observed."""
        self.follow(call)
        super().submit(call)
