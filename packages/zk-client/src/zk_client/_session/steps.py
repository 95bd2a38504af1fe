"""Requests the session makes for itself, and what follows from their replies.

Rule: a step never reaches a user; its reply is handed to `then`, on the core, in wire order.
"""

from __future__ import annotations

from zk_wire import Exchange

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from zk_wire import Request


class Step(Exchange[object]):
    """One internal request; `then(step, now)` is called with its reply, or never when the connection ends first."""

    __slots__ = ("then",)

    def __init__(self, request: Request[Any], then: Callable[[Step, float], None]) -> None:
        super().__init__(request.payload(), request.decode_response)
        self.then = then


def ignore(step: Step, now: float) -> None:
    """For replies that change nothing, such as the one to removing a watch."""
