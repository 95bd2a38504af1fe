"""Calling a function of the user's: with what it takes, awaited where that is needed, and with no harm when it fails.

Rule: what a function accepts is read from its signature. It is never called to find out.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

log = logging.getLogger(__name__)


def takes(function: Callable[..., object], count: int) -> bool:
    """Whether a function can be called with so many positional arguments; False when that cannot be known."""
    import inspect

    try:
        inspect.signature(function).bind(*[None] * count)
    except (TypeError, ValueError):
        return False
    return True


async def tell(function: Callable[..., object], *arguments: object, what: str, awaits: bool) -> object:
    """Call a function, and await what it returns if that can be; an exception is logged and None returned.

    awaits: False where calls block, and nobody can wait for what is awaited; that is logged as well.
    """
    try:
        answer: Any = function(*arguments)
        if hasattr(answer, "__await__"):
            if not awaits:
                if hasattr(answer, "close"):
                    answer.close()  # otherwise it is complained of a second time, as never awaited
                message = f"{function!r} returned something to be awaited: use the Async class of this recipe"
                raise TypeError(message)
            answer = await answer
    except Exception:
        log.exception("the function of %s raised", what)
        return None
    return answer


def refuse_async(function: Callable[..., object]) -> None:
    """Refuse an asynchronous function where nobody can await it."""
    import inspect

    if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None)):  # noqa: B004
        message = f"{function!r} is asynchronous: use the Async class of this recipe, with an AsyncClient"
        raise TypeError(message)
