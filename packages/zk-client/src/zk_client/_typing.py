"""Stand-ins for the few names of `typing` that are needed while the program runs.

Rule: type checkers never see these; each import stands in the `else` of `if TYPE_CHECKING`. Importing `typing` takes a
third of the time the whole client may take to import, and all it is needed for at run time is to be written down.
"""

from __future__ import annotations

from collections import namedtuple
from types import GenericAlias

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class Generic:
    """A base whose subclasses can be subscripted."""

    __slots__ = ()

    @classmethod
    def __class_getitem__(cls, arguments: object) -> GenericAlias:
        """The class with its arguments, as `list[int]` is."""
        return GenericAlias(cls, arguments)


class Protocol(Generic):
    """A base for what is only ever checked before the program runs."""

    __slots__ = ()


class _NamedTupleType(type):
    """Turns a class of annotated fields into a collections.namedtuple with the same methods."""

    def __new__(mcls, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> Any:
        if not bases:
            return super().__new__(mcls, name, bases, namespace)
        annotations: dict[str, str] = namespace["__annotations__"]
        defaults = [namespace[field] for field in annotations if field in namespace]
        make: Callable[..., Any] = namedtuple  # noqa: PYI024
        made = make(name, tuple(annotations), defaults=defaults, module=namespace["__module__"])
        for key, value in namespace.items():
            if key not in annotations and key not in ("__module__", "__qualname__"):
                setattr(made, key, value)
        return made


class NamedTuple(metaclass=_NamedTupleType):
    """A base that makes a class of annotated fields a named tuple."""


def TypeVar(name: str, **_options: object) -> str:  # noqa: N802
    """A mark that stands where a type checker sees a type variable."""
    return name


ParamSpec = TypeVar


def overload(function: Any) -> Any:
    """One of several signatures; the last definition is the one that runs."""
    return function
