"""The primitive encodings of jute, ZooKeeper's serialization, in both directions.

Rule: a reader takes (buf, pos, end), never looks beyond `end`, allocates nothing it has not
seen the bytes of, and fails with RemoteProtocolError only.  A writer fails with
LocalProtocolError only.

Everything is big-endian.  Strings, buffers and vectors start with an int32 length; -1 is null,
which is not the same as empty.  Strings differ by direction: a server reads UTF-8 with invalid
parts replaced by U+FFFD, and writes each UTF-16 unit by itself, so that a character above
U+FFFF arrives as two surrogates of three bytes each (CESU-8).
Source: BinaryInputArchive.java, BinaryOutputArchive.java.
"""

from __future__ import annotations

import codecs
import struct

from .acl import ACL, Id
from .errors import LocalProtocolError, RemoteProtocolError
from .stat import STAT, STAT_SIZE, Stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, NamedTuple
else:
    from ._typing import NamedTuple

# How the annotations of a record spell the wire types.
Int = int
Long = int
Boolean = bool
Buffer = bytes
UString = str
TrailingBoolean = bool

NULL_AT = "null at offset "  # what is said of null, before the offset and a comma
_JAVA = "zk_wire.java"  # the name of an error handler for str.decode

_INT = struct.Struct(">i")
_LONG = struct.Struct(">q")
unpack_int = _INT.unpack_from
pack_int = _INT.pack


class Codec(NamedTuple):
    """How one wire type is written and read; `size` is the least number of bytes it takes."""

    write: Callable[[Any], bytes]
    read: Callable[[bytes, int, int], tuple[Any, int]]
    size: int


def truncated(wanted: int, pos: int, end: int) -> RemoteProtocolError:
    """The error for a field that runs over the end of its record."""
    return RemoteProtocolError(f"truncated: {wanted} bytes wanted at offset {pos}, {end - pos} left")


# Numbers


def write_int(value: int) -> bytes:
    try:
        return pack_int(value)
    except struct.error:
        raise LocalProtocolError(f"{value!r} is not a signed 32-bit integer") from None


def read_int(buf: bytes, pos: int, end: int) -> tuple[int, int]:
    if end - pos < 4:
        raise truncated(4, pos, end)
    return unpack_int(buf, pos)[0], pos + 4


def write_long(value: int) -> bytes:
    try:
        return _LONG.pack(value)
    except struct.error:
        raise LocalProtocolError(f"{value!r} is not a signed 64-bit integer") from None


def read_long(buf: bytes, pos: int, end: int) -> tuple[int, int]:
    if end - pos < 8:
        raise truncated(8, pos, end)
    return _LONG.unpack_from(buf, pos)[0], pos + 8


def write_boolean(value: bool) -> bytes:
    return b"\1" if value else b"\0"


def read_boolean(buf: bytes, pos: int, end: int) -> tuple[bool, int]:
    """Any byte but zero is true, as for Java."""
    if end <= pos:
        raise truncated(1, pos, end)
    return buf[pos] != 0, pos + 1


def _write_trailing_boolean(value: bool | None) -> bytes:
    return b"" if value is None else write_boolean(value)


def _read_trailing_boolean(buf: bytes, pos: int, end: int) -> tuple[bool | None, int]:
    return (None, pos) if pos == end else read_boolean(buf, pos, end)


# Buffers and strings


def write_buffer(value: object) -> bytes:
    if not isinstance(value, bytes):
        raise LocalProtocolError(f"data must be bytes, not {type(value).__name__}")
    return write_int(len(value)) + value


def read_nullable_buffer(buf: bytes, pos: int, end: int) -> tuple[bytes | None, int]:
    length, pos = read_int(buf, pos, end)
    if 0 <= length <= end - pos:
        return buf[pos : pos + length], pos + length
    if length == -1:
        return None, pos
    if length < 0:
        raise RemoteProtocolError(f"length {length} at offset {pos - 4}: -1 (null) is the least allowed")
    raise truncated(length, pos, end)


def read_buffer(buf: bytes, pos: int, end: int) -> tuple[bytes, int]:
    value, after = read_nullable_buffer(buf, pos, end)
    if value is None:
        raise RemoteProtocolError(f"{NULL_AT}{pos}, where a value is required")
    return value, after


def encode_ustring(text: str) -> bytes:
    """Return a string as requests carry it: int32 length and UTF-8.

    Raises TypeError for anything but a str, LocalProtocolError for a lone surrogate.
    """
    try:
        raw = text.encode()
    except UnicodeEncodeError as error:
        raise LocalProtocolError(
            f"character U+{ord(text[error.start]):04X} at position {error.start}: surrogates have no UTF-8"
        ) from None
    except AttributeError:
        raise TypeError(f"a string must be a str, not {type(text).__name__}") from None
    return pack_int(len(raw)) + raw


def encode_reply_ustring(text: object) -> bytes:
    """Return a string as servers write it: int32 length and CESU-8."""
    if not isinstance(text, str):
        raise TypeError(f"a string must be a str, not {type(text).__name__}")
    raw = text.encode("utf-8", "surrogatepass")
    if len(raw) > len(text) and max(text) > "\uffff":
        units = "".join(c if c <= "\uffff" else _surrogates(ord(c)) for c in text)
        raw = units.encode("utf-8", "surrogatepass")
    return pack_int(len(raw)) + raw


def _surrogates(code: int) -> str:
    code -= 0x10000
    return chr(0xD800 | code >> 10) + chr(0xDC00 | code & 0x3FF)


def decode_request_text(raw: bytes) -> str:
    """Read UTF-8 as a Java server does: each invalid part becomes one U+FFFD."""
    return raw.decode("utf-8", _JAVA)


def _replace_as_java(error: UnicodeError) -> tuple[str, int]:
    """Replace what is invalid; unlike Python, Java takes a surrogate, whole or cut off, for one part."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    raw, start = error.object, error.start
    if raw[start] == 0xED and 0xA0 <= int.from_bytes(raw[start + 1 : start + 2]) <= 0xBF:
        return "\ufffd", start + (3 if 0x80 <= int.from_bytes(raw[start + 2 : start + 3]) <= 0xBF else 2)
    return "\ufffd", error.end


codecs.register_error(_JAVA, _replace_as_java)


def decode_reply_text(raw: bytes) -> str:
    """Read a server's CESU-8: surrogates of three bytes each are joined to the character they stand for."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        pass
    try:
        text = raw.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError as error:
        raise RemoteProtocolError(f"a string is not UTF-8: {error.reason} at its byte {error.start}") from None
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


def _write_request_ustring(text: str) -> bytes:
    try:
        return encode_ustring(text)
    except TypeError as error:
        raise LocalProtocolError(str(error)) from None


def _write_reply_ustring(text: object) -> bytes:
    try:
        return encode_reply_ustring(text)
    except TypeError as error:
        raise LocalProtocolError(str(error)) from None


def _read_request_ustring(buf: bytes, pos: int, end: int) -> tuple[str, int]:
    raw, pos = read_buffer(buf, pos, end)
    return decode_request_text(raw), pos


def read_reply_ustring(buf: bytes, pos: int, end: int) -> tuple[str, int]:
    """Read a string a server wrote."""
    raw, pos = read_buffer(buf, pos, end)
    return decode_reply_text(raw), pos


# Records inside records


def write_stat(value: Stat) -> bytes:
    try:
        return STAT.pack(*value)
    except (struct.error, TypeError):
        raise LocalProtocolError(f"not a Stat of eleven integers that fit: {value!r}") from None


def read_stat(buf: bytes, pos: int, end: int) -> tuple[Stat, int]:
    if end - pos < STAT_SIZE:
        raise truncated(STAT_SIZE, pos, end)
    return Stat._make(STAT.unpack_from(buf, pos)), pos + STAT_SIZE


_LOOKED_AT = frozenset(("world", "digest", "ip"))  # schemes whose ids every server looks at


def _acl_codec(string: Codec) -> Codec:
    write_string = string.write
    read_nullable = nullable(string).read

    def write(value: ACL) -> bytes:
        try:
            perms, (scheme, name) = value
        except (TypeError, ValueError):
            raise LocalProtocolError(f"not an ACL: {type(value).__name__}") from None
        return write_int(perms) + write_string(scheme) + write_string(name)

    def read(buf: bytes, pos: int, end: int) -> tuple[ACL, int]:
        perms, pos = read_int(buf, pos, end)
        scheme, pos = read_nullable(buf, pos, end)
        name, after = read_nullable(buf, pos, end)
        if name is None and scheme in _LOOKED_AT:
            raise RemoteProtocolError(f"{NULL_AT}{pos}, where a value is required")
        # Any other id of null is none that a server looks at; some clients write the empty one of "auth" like this.
        return ACL(perms, Id(scheme or "", name or "")), after

    return Codec(write, read, 12)


# Null, and vectors


def nullable(codec: Codec) -> Codec:
    """The same type with null: None, a length of -1.  Only for types that start with a length."""
    write_value, read_value, _size = codec

    def write(value: object) -> bytes:
        return b"\xff\xff\xff\xff" if value is None else write_value(value)

    def read(buf: bytes, pos: int, end: int) -> tuple[object, int]:
        if buf[pos : min(pos + 4, end)] == b"\xff\xff\xff\xff":
            return None, pos + 4
        return read_value(buf, pos, end)

    return Codec(write, read, 4)


def vector(item: Codec) -> Codec:
    """Many of one type; the count is held against the bytes that are left before anything is made."""
    write_item, read_item, size = item

    def write(values: Sequence[object]) -> bytes:
        if not isinstance(values, list | tuple):
            raise LocalProtocolError(f"a vector must be a list or tuple, not {type(values).__name__}")
        return write_int(len(values)) + b"".join([write_item(value) for value in values])

    def read(buf: bytes, pos: int, end: int) -> tuple[list[object], int]:
        count, pos = read_int(buf, pos, end)
        if count < 0:
            raise RemoteProtocolError(f"a vector of {count} items at offset {pos - 4}")
        if count * size > end - pos:
            raise truncated(count * size, pos, end)
        items: list[object] = []
        for _ in range(count):
            value, pos = read_item(buf, pos, end)
            items.append(value)
        return items, pos

    return Codec(write, read, 4)


def _codecs(string: Codec) -> dict[str, Codec]:
    return {
        "Int": Codec(write_int, read_int, 4),
        "Long": Codec(write_long, read_long, 8),
        "Boolean": Codec(write_boolean, read_boolean, 1),
        "Buffer": Codec(write_buffer, read_buffer, 4),
        "UString": string,
        "Stat": Codec(write_stat, read_stat, STAT_SIZE),
        "ACL": _acl_codec(string),
        "TrailingBoolean | None": Codec(_write_trailing_boolean, _read_trailing_boolean, 0),
    }


REQUEST_CODECS = _codecs(Codec(_write_request_ustring, _read_request_ustring, 4))
REPLY_CODECS = _codecs(Codec(_write_reply_ustring, read_reply_ustring, 4))


def codec_for(annotation: str, table: dict[str, Codec]) -> Codec:
    """The codec an annotation stands for: a wire type, `Sequence[...]` or `list[...]` of one, `... | None`."""
    known = table.get(annotation)
    if known is None:
        if annotation.endswith(" | None"):
            known = nullable(codec_for(annotation[:-7], table))
        else:
            _container, _bracket, item = annotation[:-1].partition("[")
            known = vector(codec_for(item, table))
        table[annotation] = known
    return known
