"""Blocking classes in front of async bodies: one line per method, no generated code, no second copy.

Rule: a body is written once as ``async def`` over a port. Over a blocking port its awaits never suspend, so a
single ``send(None)`` runs it to its end on the calling thread. The helpers here give a face the methods and
attributes of its body with the same signature and the same docstring, and no more::

    class Lock(Face[AsyncLock]):
        acquire = blocking(AsyncLock.acquire)                              # async def  -> blocks
        cancel = direct(AsyncLock.cancel)                                  # plain def  -> as it is
        token = attribute(AsyncLock, lambda lock: lock.token)              # property   -> as it is
"""

from __future__ import annotations

import functools

from zk_wire import ZooKeeperError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Concatenate, Generic, ParamSpec, Self, TypeVar, overload
else:
    from ._typing import Generic, ParamSpec, TypeVar, overload

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
P = ParamSpec("P")
A = TypeVar("A")
A_co = TypeVar("A_co", covariant=True)


class BodySuspendedError(ZooKeeperError):
    """A body that was run as a blocking call wanted to suspend; it was closed where it stood.

    Either the port is one of asyncio or of a simulation (use the ``Async`` class with it), or the body awaits
    something that is not the port's.
    """


class Face(Generic[A_co]):
    """A blocking class in front of an async body; that of a derived body may show what the body inherits."""

    def __init__(self, body: A_co) -> None:
        self._body = body

    def __repr__(self) -> str:
        return f"<{type(self).__name__} over {self._body!r}>"


def run_blocking(body: Coroutine[object, None, T]) -> T:
    """Run a coroutine whose awaits never suspend, and return its result.

    Raises whatever the body raises, and BodySuspendedError when it suspends; its ``finally`` blocks have run then.
    """
    try:
        awaited = body.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    message = (
        f"{getattr(body, '__qualname__', body)!s} suspended on {awaited!r}, but it was called as a blocking method: "
        "its port must be a blocking one, and it may await nothing but the port"
    )
    try:
        body.close()
    except BaseException as error:
        # Its clean-up wanted to suspend as well (the interpreter says: "ignored GeneratorExit"), or failed.
        raise BodySuspendedError(message) from error
    raise BodySuspendedError(message)


def blocking(method: Callable[Concatenate[A, P], Coroutine[object, None, T]]) -> Callable[Concatenate[Face[A], P], T]:
    """Give a face the blocking twin of an ``async def`` method of its body."""

    @functools.wraps(method)
    def call(self: Face[A], /, *args: P.args, **kwargs: P.kwargs) -> T:
        return run_blocking(method(self._body, *args, **kwargs))

    return call


def direct(method: Callable[Concatenate[A, P], T]) -> Callable[Concatenate[Face[A], P], T]:
    """Give a face a method of its body that never waits."""

    @functools.wraps(method)
    def call(self: Face[A], /, *args: P.args, **kwargs: P.kwargs) -> T:
        return method(self._body, *args, **kwargs)

    return call


class attribute(Generic[A, T_co]):  # noqa: N801 - used as a decorator is, like property
    """Give a face a property of its body: same name, same docstring, read-only."""

    def __init__(self, body_type: type[A], get: Callable[[A], T_co]) -> None:
        self._body_type = body_type
        self._get = get

    def __set_name__(self, owner: type, name: str) -> None:
        self.__name__ = name
        self.__doc__ = getattr(self._body_type, name).__doc__

    @overload
    def __get__(self, face: None, owner: type) -> Self: ...
    @overload
    def __get__(self, face: Face[A], owner: type) -> T_co: ...
    def __get__(self, face: Face[A] | None, owner: type) -> Self | T_co:
        if face is None:
            return self
        return self._get(face._body)

    def __set__(self, face: Face[A], value: object) -> None:
        message = f"{type(face).__name__}.{self.__name__} is read-only"
        raise AttributeError(message)
