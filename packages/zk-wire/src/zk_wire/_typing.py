"""Stand-ins for the few names of `typing` that are needed while the program runs.

Rule: type checkers never see these; each import stands in the `else` of `if TYPE_CHECKING`.

Importing `typing` takes about 9 ms of the 25 ms a whole client may take to import (it brings
`re` and much else), and dataclasses another 10 (it brings `inspect`).  What the values of this
package need of them is small: tuples with field names, and classes that can be subscripted.
Source: measured with `python -X importtime`, CPython 3.11.
"""

from __future__ import annotations

from collections import namedtuple
from types import GenericAlias

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class Generic:
    """A base whose subclasses can be subscripted; the arguments are kept in `__orig_bases__`."""

    __slots__ = ()

    @classmethod
    def __class_getitem__(cls, arguments: object) -> GenericAlias:
        """The class with its arguments, as `list[int]` is."""
        return GenericAlias(cls, arguments)


def TypeVar(name: str, **_options: object) -> str:  # noqa: N802
    """A mark that stands where a type checker sees a type variable."""
    return name


def cast(_type: object, value: Any) -> Any:
    """`value` itself."""
    return value


def dataclass_transform(**_options: object) -> Callable[[type], type]:
    """Leave the decorated class alone."""
    return lambda decorated: decorated


class _NamedTupleType(type):
    """Turn a class of annotated fields into a collections.namedtuple with the same methods."""

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
    """The base to derive a named tuple from, as `typing.NamedTuple`."""
