"""The few encoders and decoders that every call of a client goes through.

Rule: as strict as the records, only without making one.  A builder returns opcode and record,
everything of a frame behind its xid; a decoder takes buf[pos:end], the bytes behind a reply's
header, and raises RemoteProtocolError for anything malformed, truncated or trailing.

Why it is quick: one precompiled struct per shape, no loop over fields, one comparison that is
only true for a well-formed record before the parts are cut out; everything else goes to the
readers in primitives.py.  Names of children are cut out of one decoded string.
"""

from __future__ import annotations

import struct

from .acl import OPEN_ACL_UNSAFE
from .errors import LocalProtocolError, RemoteProtocolError
from .primitives import (
    REQUEST_CODECS,
    codec_for,
    encode_ustring,
    pack_int,
    read_nullable_buffer,
    read_reply_ustring,
    read_stat,
    truncated,
    unpack_int,
    write_int,
)
from .stat import STAT, STAT_SIZE, Stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TypeAlias

    from .acl import ACL

    _MakeStat: TypeAlias = Callable[[type[Stat], tuple[int, ...]], Stat]

_pack_frame_head = struct.Struct(">ii").pack  # length, xid
_pack_path_head = struct.Struct(">iiii").pack  # length, xid, opcode, length of the path
_unpack_stat = STAT.unpack_from
# The same as Stat._make, without its check of the length, which the struct has made.
_new_tuple: _MakeStat = tuple.__new__  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]

_FALSE = b"\0"
_TRUE = b"\1"
_NULL = b"\xff\xff\xff\xff"
_EXISTS, _GET_DATA, _GET_CHILDREN, _GET_CHILDREN2, _DELETE, _SET_DATA = map(pack_int, (3, 4, 8, 12, 2, 5))
_write_acl_vector = codec_for("Sequence[ACL]", REQUEST_CODECS).write


# Requests


def frame(xid: int, payload: bytes) -> bytes:
    """Return a whole frame: length, xid, and a payload (opcode and record)."""
    try:
        return _pack_frame_head(len(payload) + 4, xid) + payload
    except struct.error:
        raise LocalProtocolError(f"xid {xid!r} is not a signed 32-bit integer, or the frame too long") from None


def encode_get_data(xid: int, path: str, watch: bool) -> bytes:
    """Return a whole GetData frame for a path that was checked before."""
    try:
        raw = path.encode()
        size = len(raw)
        return _pack_path_head(size + 13, xid, 4, size) + raw + (_TRUE if watch else _FALSE)
    except (UnicodeEncodeError, AttributeError):
        return frame(xid, get_data_payload(encode_ustring(path), watch))
    except struct.error:
        raise LocalProtocolError(f"xid {xid!r} is not a signed 32-bit integer") from None


def get_data_payload(ustring: bytes, watch: bool) -> bytes:
    """Build a GetDataRequest."""
    return _GET_DATA + ustring + (_TRUE if watch else _FALSE)


def exists_payload(ustring: bytes, watch: bool) -> bytes:
    """Build an ExistsRequest."""
    return _EXISTS + ustring + (_TRUE if watch else _FALSE)


def get_children_payload(ustring: bytes, watch: bool) -> bytes:
    """Build a GetChildrenRequest."""
    return _GET_CHILDREN + ustring + (_TRUE if watch else _FALSE)


def get_children2_payload(ustring: bytes, watch: bool) -> bytes:
    """Build a GetChildren2Request."""
    return _GET_CHILDREN2 + ustring + (_TRUE if watch else _FALSE)


def delete_payload(ustring: bytes, version: int) -> bytes:
    """Build a DeleteRequest."""
    return _DELETE + ustring + write_int(version)


def set_data_payload(ustring: bytes, data: bytes | None, version: int) -> bytes:
    """Build a SetDataRequest.   Raises TypeError for data that is neither bytes nor None."""
    return b"".join((_SET_DATA, ustring, _sized(data), write_int(version)))


def create_payload(opcode: int, ustring: bytes, data: bytes | None, acl_bytes: bytes, flags: int) -> bytes:
    """Build a request of the opcode CREATE, CREATE2 or CREATE_CONTAINER.

    acl_bytes: from encode_acl.   Raises TypeError for data that is neither bytes nor None.
    """
    return b"".join((write_int(opcode), ustring, _sized(data), acl_bytes, write_int(flags)))


def _sized(data: object) -> bytes:
    if data is None:
        return _NULL
    if not isinstance(data, bytes):
        raise TypeError(f"data must be bytes or None, not {type(data).__name__}")
    return pack_int(len(data)) + data


def encode_acl(acls: Sequence[ACL]) -> bytes:
    """Return an access control list as the vector that create_payload takes; worth caching."""
    return _write_acl_vector(acls)


OPEN_ACL_BYTES = encode_acl(OPEN_ACL_UNSAFE)


# Replies


def decode_nothing(_buf: bytes, pos: int, end: int) -> None:
    """Read a reply without a record."""
    if pos != end:
        raise _trailing(pos, end)


def decode_get_data(buf: bytes, pos: int, end: int) -> tuple[bytes | None, Stat]:
    """Read a GetDataResponse: data (None where it is null) and Stat."""
    size = end - pos - 72  # what is left for the data between its length and the Stat
    if size >= 0 and unpack_int(buf, pos)[0] == size:
        stop = end - 68
        return buf[pos + 4 : stop], _new_tuple(Stat, _unpack_stat(buf, stop))
    data, pos = read_nullable_buffer(buf, pos, end)
    stat, pos = read_stat(buf, pos, end)
    if pos != end:
        raise _trailing(pos, end)
    return data, stat


def decode_stat(buf: bytes, pos: int, end: int) -> Stat:
    """Read a reply that is a Stat alone."""
    if end - pos == STAT_SIZE:
        return _new_tuple(Stat, _unpack_stat(buf, pos))
    if end - pos < STAT_SIZE:
        raise truncated(STAT_SIZE, pos, end)
    raise _trailing(pos + STAT_SIZE, end)


def decode_create(buf: bytes, pos: int, end: int) -> str:
    """Read a CreateResponse, or any reply that is a string alone."""
    size = end - pos - 4
    if size >= 0 and unpack_int(buf, pos)[0] == size:
        try:
            return buf[pos + 4 : end].decode()
        except UnicodeDecodeError:
            pass
    text, pos = read_reply_ustring(buf, pos, end)
    if pos != end:
        raise _trailing(pos, end)
    return text


def decode_create2(buf: bytes, pos: int, end: int) -> tuple[str, Stat]:
    """Read a Create2Response: path and Stat."""
    path, pos = read_reply_ustring(buf, pos, end)
    return path, decode_stat(buf, pos, end)


def decode_children(buf: bytes, pos: int, end: int) -> list[str]:
    """Read a GetChildrenResponse: names, in the order of the wire."""
    if end - pos < 4:
        raise truncated(4, pos, end)
    count = unpack_int(buf, pos)[0]
    pos += 4
    if count < 0:
        raise RemoteProtocolError(f"a vector of {count} names at offset {pos - 4}")
    if count * 4 > end - pos:
        raise truncated(count * 4, pos, end)
    if count >= 8:
        raw = buf[pos:end]
        if raw.isascii():
            cut = _cut_equal(raw, count) or _cut_short(raw, count)
            if cut is not None:
                return cut
    names: list[str] = []
    for _ in range(count):
        name, pos = read_reply_ustring(buf, pos, end)
        names.append(name)
    if pos != end:
        raise _trailing(pos, end)
    return names


def _cut_equal(raw: bytes, count: int) -> list[str] | None:
    """Cut names of one length out of one string; None where they are not.

    The lengths are proved first: each of the four columns that hold them is the same byte, count
    times.  If there are no zero bytes besides those of the lengths, the length is a separator
    that occurs nowhere else.
    """
    step, rest = divmod(len(raw), count)
    if rest or step <= 4 or unpack_int(raw)[0] != step - 4:
        return None
    if raw[3::step].count(raw[3]) != count or raw.count(0) != 3 * count:
        return None
    if raw[::step].count(0) != count or raw[1::step].count(0) != count or raw[2::step].count(0) != count:
        return None
    return raw.decode().split("\0\0\0" + chr(step - 4))[1:]


def _cut_short(raw: bytes, count: int) -> list[str] | None:
    """Cut names of 1 to 127 bytes out of one string; None where that cannot be done.

    The text is split at three zero bytes.  If then every piece starts with a character that is
    the length of its rest, the pieces put together again are exactly the encoding of these names,
    so they are the names: no other reading of the same bytes is possible.
    """
    pieces = raw.decode().split("\0\0\0")
    if len(pieces) != count + 1 or pieces[0]:
        return None
    del pieces[0]
    names = [piece[1:] for piece in pieces if piece and ord(piece[0]) == len(piece) - 1]
    return names if len(names) == count else None


def decode_children2(buf: bytes, pos: int, end: int) -> tuple[list[str], Stat]:
    """Read a GetChildren2Response: names, in the order of the wire, and the parent's Stat."""
    stop = end - STAT_SIZE
    if stop < pos:
        raise truncated(STAT_SIZE + 4, pos, end)
    return decode_children(buf, pos, stop), _new_tuple(Stat, _unpack_stat(buf, stop))


def _trailing(pos: int, end: int) -> RemoteProtocolError:
    return RemoteProtocolError(f"{end - pos} trailing bytes at offset {pos}")
