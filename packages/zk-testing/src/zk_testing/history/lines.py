"""Histories as text: one operation a line, in JSON.

Rule: what is written is read again as the same operations. Whoever reads a line that is none is told the line, what
stands there, and what should.

    {"process": "ada", "kind": "write", "key": "/x", "argument": 5, "begin": 0.25, "end": 0.5, "ending": "ok"}

| field | |
|---|---|
| `process`, `kind`, `key` | text; always there |
| `begin` | seconds, always there |
| `end` | seconds, not before `begin`; left out of an operation that never returned |
| `ending` | `"ok"`, `"failed"` or `"unknown"`; left out it is "ok" where there is an end, and "unknown" else |
| `argument`, `result` | null (or left out), true, false, a number, text, bytes, a list of such |
| `token`, `version`, `place`, `priority` | whole numbers, or left out |
| `until`, `timeout` | seconds, or left out |
| `session` | a whole number or text, or left out |

Bytes are `{"bytes": "text"}` where they are UTF-8, and `{"base64": "..."}` else. Lists are nested at most 100
deep. Empty lines are passed over. Files may be put together by `cat`, if one clock gave their times.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterable, Iterator
from typing import cast

from .operation import Ending, Operation, Value, is_whole

_TEXT = ("process", "kind", "key")
_WHOLE = ("token", "version", "place", "priority")
_SECONDS = ("until", "timeout")
_FIELDS = frozenset(Operation._fields)
_DEEPEST = 100  # lists within lists
_ENDINGS = {ending.value: ending for ending in Ending}


class HistoryFormatError(ValueError):
    """A line is no operation. source, line: where.   seen: what stands there.   rule: what should."""

    def __init__(self, source: str, line: int, seen: str, rule: str) -> None:
        super().__init__(f"{source}:{line}: {rule}, not {seen}")
        self.source = source
        self.line = line
        self.seen = seen
        self.rule = rule


def write_operations(operations: Iterable[Operation]) -> Iterator[str]:
    """Return the lines of these operations, each with its line feed."""
    encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(", ", ": ")).encode
    for operation in operations:
        fields: dict[str, object] = {}
        for name, value in zip(Operation._fields, operation, strict=True):
            if value is not None:
                fields[name] = _to_json(value)
        yield encode(fields) + "\n"


def read_operations(lines: Iterable[str | bytes], source: str = "line") -> Iterator[Operation]:
    """Return the operations of these lines. Raises HistoryFormatError for the first that is none."""
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            yield _read(line)
        except _BadLineError as error:
            raise HistoryFormatError(source, number, error.seen, error.rule) from error.__cause__


class _BadLineError(Exception):
    def __init__(self, seen: object, rule: str) -> None:
        try:
            text = repr(seen)
        except RecursionError:
            text = "what is nested too deeply"
        self.seen = text if len(text) <= 60 else text[:57] + "..."
        self.rule = rule


def _no_constant(name: str) -> float:
    raise _BadLineError(name, "numbers are finite")


_decode = json.JSONDecoder(parse_constant=_no_constant).decode


def _read(line: str | bytes) -> Operation:
    try:
        text = line.decode() if isinstance(line, bytes) else line
        decoded: object = _decode(text.strip())
    except UnicodeDecodeError as error:
        raise _BadLineError(line.strip(), "a line is text in UTF-8") from error
    except (ValueError, RecursionError) as error:  # also of a number with too many digits
        raise _BadLineError(line.strip(), "a line is one JSON object") from error
    if not isinstance(decoded, dict):
        raise _BadLineError(decoded, "a line is one JSON object")
    fields = cast("dict[str, object]", decoded)
    if not _FIELDS.issuperset(fields):
        [*unknown] = sorted(fields.keys() - _FIELDS)
        raise _BadLineError(unknown[0], f"the fields are {', '.join(Operation._fields)}")
    process, kind, key = (_text(fields, name) for name in _TEXT)
    begin = _seconds(fields, "begin")
    end = _seconds(fields, "end")
    if begin is None:
        raise _BadLineError(None, '"begin" is a number of seconds')
    if end is not None and end < begin:
        raise _BadLineError(end, f'"end" is not before "begin", which is {begin}')
    return Operation(
        process,
        kind,
        key,
        _from_json(fields.get("argument"), "argument"),
        _from_json(fields.get("result"), "result"),
        begin,
        end,
        _ending(fields.get("ending"), end),
        _whole(fields, "token"),
        _seconds(fields, "until"),
        _session(fields.get("session")),
        _whole(fields, "version"),
        _whole(fields, "place"),
        _whole(fields, "priority"),
        _seconds(fields, "timeout"),
    )


def _text(fields: dict[str, object], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str):
        raise _BadLineError(value, f'"{name}" is text')
    return _unicode(value)


def _unicode(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise _BadLineError(text, "text has no halves of characters") from error
    return text


def _seconds(fields: dict[str, object], name: str) -> float | None:
    value = fields.get(name)
    if value is None:
        return None
    try:
        if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
            return float(value)
    except OverflowError:
        pass
    raise _BadLineError(value, f'"{name}" is a number of seconds')


def _whole(fields: dict[str, object], name: str) -> int | None:
    value = fields.get(name)
    if value is None or is_whole(value):
        return value
    raise _BadLineError(value, f'"{name}" is a whole number')


def _session(value: object) -> int | str | None:
    if value is None or is_whole(value):
        return value
    if isinstance(value, str):
        return _unicode(value)
    raise _BadLineError(value, '"session" is a whole number or text')


def _ending(value: object, end: float | None) -> Ending:
    if value is None:
        return Ending.UNKNOWN if end is None else Ending.OK
    ending = _ENDINGS.get(value) if isinstance(value, str) else None
    if ending is None:
        raise _BadLineError(value, '"ending" is "ok", "failed" or "unknown"')
    if end is None and ending is not Ending.UNKNOWN:
        raise _BadLineError(value, '"ending" is "unknown" where there is no "end"')
    return ending


def _to_json(value: Value) -> object:
    if isinstance(value, bytes):
        try:
            return {"bytes": value.decode()}
        except UnicodeDecodeError:
            return {"base64": base64.b64encode(value).decode()}
    if isinstance(value, tuple):
        return [_to_json(item) for item in value]
    return value


def _from_json(value: object, name: str, depth: int = 0) -> Value:
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, str):
        return _unicode(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else _no_constant(str(value))
    if isinstance(value, list):
        items = cast("list[object]", value)
        if depth == _DEEPEST:
            raise _BadLineError(items, f"lists are nested at most {_DEEPEST} deep")
        return tuple(_from_json(item, name, depth + 1) for item in items)
    form = cast("dict[str, object]", value)  # JSON has nothing else
    key, text = next(iter(form.items()), ("", None))
    if len(form) == 1 and isinstance(text, str):
        try:
            if key == "bytes":
                return text.encode()
            if key == "base64":
                return base64.b64decode(text, validate=True)
        except ValueError as error:
            raise _BadLineError(form, f'"{name}" holds bytes as text, or in base64') from error
    raise _BadLineError(form, f'"{name}" is a value, a list of values, {{"bytes": text}} or {{"base64": text}}')
