"""What a message is made of: a class with annotated fields becomes a record with a wire format.

Rule: the annotations are the wire format.  Their order is the wire order, their names (Int, Long,
UString, `Sequence[UString]`, `Buffer | None`) say how each field is written; see primitives.py.

Records are frozen, have slots, compare by value, and hide their secrets in a repr: what a frozen
dataclass does, without importing dataclasses (10 ms) or compiling three methods per class.
Encoding and decoding walk the fields; what must be faster is in fast.py.
"""

from __future__ import annotations

from .errors import LocalProtocolError, RemoteProtocolError
from .primitives import REPLY_CODECS, REQUEST_CODECS, codec_for

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, ClassVar, Generic, Self, TypeVar, cast, dataclass_transform

    from .opcodes import OpCode
    from .primitives import Codec
else:
    from ._typing import Generic, TypeVar, cast, dataclass_transform

R_co = TypeVar("R_co", covariant=True)

_set = object.__setattr__


@dataclass_transform(frozen_default=True)
class RecordType(type):
    """Collect the fields of a record class: their names, defaults, and slots."""

    fields: tuple[str, ...]
    wire_types: dict[str, str]
    defaults: dict[str, object]

    def __new__(mcls, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> RecordType:
        annotations: dict[str, str] = {}
        defaults: dict[str, object] = {}
        for base in bases:
            if isinstance(base, RecordType):
                annotations |= base.wire_types
                defaults |= base.defaults
        own = {
            field: annotation
            for field, annotation in namespace.get("__annotations__", {}).items()
            if not annotation.startswith("ClassVar")
        }
        defaults |= {field: namespace.pop(field) for field in own if field in namespace}
        annotations |= own
        namespace["__slots__"] = tuple(own)
        namespace["__match_args__"] = tuple(annotations)
        namespace["_plan"] = None
        made = super().__new__(mcls, name, bases, namespace)
        made.fields = tuple(annotations)
        made.wire_types = annotations
        made.defaults = defaults
        return made

    if not TYPE_CHECKING:

        @property
        def __signature__(cls) -> object:
            """The parameters of a record's constructor, for help() and inspect."""
            from inspect import Parameter, Signature

            return Signature(
                [
                    Parameter(
                        field,
                        Parameter.POSITIONAL_OR_KEYWORD,
                        default=cls.defaults.get(field, Parameter.empty),
                        annotation=cls.wire_types[field],
                    )
                    for field in cls.fields
                ]
            )


class Record(metaclass=RecordType):
    """A message, or a part of one.

    Subclasses annotate their fields; those with defaults come last.
    """

    _wire_order: ClassVar[tuple[str, ...]] = ()  # where it differs from the order of the parameters
    _secret: ClassVar[tuple[str, ...]] = ()  # fields whose value a repr must not show
    _codecs: ClassVar[dict[str, Codec]] = REPLY_CODECS
    _ignores_trailing: ClassVar[bool] = False
    _plan: ClassVar[list[tuple[str, Codec]] | None] = None  # made for each class when it is first used

    if not TYPE_CHECKING:

        def __init__(self, *args: object, **kwargs: object) -> None:
            cls = type(self)
            fields = cls.fields
            if len(args) > len(fields):
                raise TypeError(f"{cls.__name__} takes {len(fields)} arguments, not {len(args)}")
            values = dict(zip(fields, args, strict=False))
            for field, value in kwargs.items():
                if field in values or field not in fields:
                    problem = "is given twice" if field in values else "is not a field"
                    raise TypeError(f"{cls.__name__}: {field!r} {problem}")
                values[field] = value
            for field in fields:
                if field in values:
                    _set(self, field, values[field])
                elif field in cls.defaults:
                    _set(self, field, cls.defaults[field])
                else:
                    raise TypeError(f"{cls.__name__} needs the argument {field!r}")

        def __setattr__(self, name: str, value: object) -> None:
            raise AttributeError(f"{type(self).__name__} is frozen: {name!r} cannot be set")

        def __delattr__(self, name: str) -> None:
            raise AttributeError(f"{type(self).__name__} is frozen: {name!r} cannot be deleted")

        def __eq__(self, other: object) -> bool:
            if type(other) is not type(self):
                return NotImplemented
            return self._comparable() == other._comparable()

        def __hash__(self) -> int:
            return hash((type(self), self._comparable()))

        def __reduce__(self) -> tuple[object, ...]:
            return type(self), tuple(getattr(self, field) for field in type(self).fields)

    def _comparable(self) -> tuple[object, ...]:
        """The values, with lists as tuples: a vector is the same whichever of the two holds it."""
        values: list[object] = [getattr(self, field) for field in type(self).fields]
        return tuple(tuple(cast("list[object]", v)) if isinstance(v, list) else v for v in values)

    def __repr__(self) -> str:
        shown = (
            f"{field}=<redacted>" if field in self._secret else f"{field}={getattr(self, field)!r}"
            for field in type(self).fields
        )
        return f"{type(self).__name__}({', '.join(shown)})"

    @classmethod
    def _wire_plan(cls) -> list[tuple[str, Codec]]:
        """The fields in wire order with their codecs."""
        plan = cls._plan
        if plan is None:
            types, table = cls.wire_types, cls._codecs
            plan = [(field, codec_for(types[field], table)) for field in cls._wire_order or cls.fields]
            cls._plan = plan
        return plan

    def encode(self) -> bytes:
        """Return the record as bytes, without any header.

        Raises LocalProtocolError, which names the field, for a value that has no encoding.
        """
        parts: list[bytes] = []
        for field, codec in self._wire_plan():
            try:
                parts.append(codec.write(getattr(self, field)))
            except LocalProtocolError as error:
                raise LocalProtocolError(f"{type(self).__name__}.{field}: {error}") from None
        return b"".join(parts)

    @classmethod
    def read(cls, buf: bytes, pos: int, end: int) -> tuple[Self, int]:
        """Read one record at `pos`; return it and the position behind it."""
        self = cls.__new__(cls)
        for field, codec in cls._wire_plan():
            try:
                value, pos = codec.read(buf, pos, end)
            except RemoteProtocolError as error:
                raise RemoteProtocolError(f"{cls.__name__}.{field}: {error}") from None
            _set(self, field, value)
        return self, pos

    @classmethod
    def decode(cls, buf: bytes, pos: int = 0, end: int | None = None) -> Self:
        """Read a record that fills buf[pos:end].

        Raises RemoteProtocolError for anything malformed or truncated; for trailing bytes
        only in what servers send, because servers ignore them in requests.
        """
        stop = len(buf) if end is None else end
        self, after = cls.read(buf, pos, stop)
        if after != stop and not cls._ignores_trailing:
            raise RemoteProtocolError(f"{cls.__name__}: {stop - after} trailing bytes at offset {after}")
        return self


class Response(Record):
    """The record behind a reply's header."""


class Request(Record, Generic[R_co]):
    """The record behind a request's header; the class parameter is the type of its reply."""

    _codecs = REQUEST_CODECS
    _ignores_trailing = True
    _response: ClassVar[type[Response]]
    opcode: ClassVar[OpCode]

    def __init_subclass__(cls) -> None:
        """Remember the reply type, which stands only in the brackets behind the base."""
        for base in cls.__dict__.get("__orig_bases__", ()):
            for argument in base.__args__:
                if isinstance(argument, RecordType):
                    cls._response = cast("type[Response]", argument)

    def payload(self) -> bytes:
        """Return everything of the frame that follows the xid: opcode and record.

        Raises LocalProtocolError for a value that has no encoding.
        """
        return int(self.opcode).to_bytes(4, "big", signed=True) + self.encode()

    def decode_response(self, buf: bytes, pos: int, end: int) -> R_co:
        """Read the reply to this request from buf[pos:end], the bytes behind the reply's header.

        Raises RemoteProtocolError for anything malformed, truncated or trailing.
        """
        decode: Callable[[bytes, int, int], object] = self._response.decode
        return cast("R_co", decode(buf, pos, end))
