"""Operations that take several requests, written once for every world (bodies).

Rule: they await only the port. None of them is atomic; each says what is left behind when it fails half-way.
"""

from __future__ import annotations

from zk_wire import (
    NodeExistsError,
    NoNodeError,
    NotEmptyError,
    SessionExpiredError,
    ZooKeeperError,
    join_path,
    split_path,
)

from .errors import SessionClosedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from typing import Protocol, TypeVar

    from zk_wire import ACL, Stat

    from .port import Port

    class Asking(Protocol):
        """The requests of a port that these steps are made of."""

        async def exists(self, path: str) -> Stat | None: ...

        async def create(self, path: str, value: bytes | None, acl: Sequence[ACL] | None) -> str: ...

        async def get_children(self, path: str) -> list[str]: ...

        async def delete(self, path: str) -> None: ...
else:
    from ._typing import TypeVar

R = TypeVar("R")

# A node that others keep filling is not emptied by trying for ever.
MOST_ROUNDS = 100


async def ensure_path(port: Asking, path: str, acl: Sequence[ACL] | None = None) -> str:
    """Create a node and its parents where they are missing; the parents made stay when a later one fails."""
    missing: list[str] = []
    at = path
    while at != "/" and await port.exists(at) is None:
        missing.append(at)
        at = split_path(at)[0]
    while missing:
        at = missing.pop()
        try:
            await port.create(at, b"", acl)
        except NodeExistsError:
            pass
        except NoNodeError:
            # Somebody deleted a parent in between: begin again from there.
            missing.append(at)
            parent = split_path(at)[0]
            if parent == "/":
                raise
            missing.append(parent)
    return path


async def create_with_parents(
    port: Asking, path: str, acl: Sequence[ACL] | None, create: Callable[[], Awaitable[R]]
) -> R:
    """Create a node; when its parent is missing, make the parents first."""
    for _ in range(MOST_ROUNDS):
        try:
            return await create()
        except NoNodeError:
            await ensure_path(port, path.rpartition("/")[0] or "/", acl)
    return await create()


async def delete_recursive(port: Asking, path: str) -> None:
    """Delete a node and everything below it, deepest first; a node that is missing already counts as deleted."""
    for _ in range(MOST_ROUNDS):
        try:
            children = await port.get_children(path)
        except NoNodeError:
            return
        for name in children:
            await delete_recursive(port, join_path(path, name))
        try:
            await port.delete(path)
        except NoNodeError:
            return
        except NotEmptyError:
            continue
        return
    raise NotEmptyError(path)


async def sweep(port: Port, parent: str, prefix: str, session_id: int) -> None:
    """Delete the children of a node whose names begin with a prefix, until none is left or the session is over."""
    pause = 0.05
    while port.session_id == session_id:
        try:
            names = [name for name in await port.get_children(parent) if name.startswith(prefix)]
            if not names:
                return
            for name in names:
                try:
                    await port.delete(join_path(parent, name))
                except NoNodeError:
                    pass
            continue
        except NoNodeError:
            return
        except (SessionClosedError, SessionExpiredError):
            return
        except ZooKeeperError:
            # Not now: disconnected, or not allowed yet. The pause grows.
            pass
        await port.sleep(pause)
        pause = min(pause * 2, 5.0)


async def undo_create(port: Port, path: str, session_id: int) -> None:
    """Delete a node that this client has made and nobody knows of, for as long as the session lives.

    After the session's end it is left alone: if it was ephemeral it is gone, and its name may be another's by then.
    """
    pause = 0.05
    while port.session_id == session_id:
        try:
            await port.delete(path)
        except (NoNodeError, NotEmptyError, SessionClosedError, SessionExpiredError):
            return
        except ZooKeeperError:
            await port.sleep(pause)
            pause = min(pause * 2, 5.0)
        else:
            return
