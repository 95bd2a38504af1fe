"""Random values of every record, made from the wire types their fields are annotated with.

Rule: no list of fields is written here; a new record is covered as soon as it exists.
"""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

import zk_wire
from zk_wire import ACL, ClientInfo, Id, MultiReadRequest, MultiRequest, Record, Request, Response, Stat
from zk_wire.multi import _OPS, _READ_OPS

ints = st.integers(-(2**31), 2**31 - 1)
longs = st.integers(-(2**63), 2**63 - 1)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)  # anything but lone surrogates
stats = st.builds(Stat, longs, longs, longs, longs, ints, ints, ints, longs, ints, ints, longs)
acls = st.builds(ACL, ints, st.builds(Id, texts, texts))

_WIRE_TYPES: dict[str, st.SearchStrategy[Any]] = {
    "Int": ints,
    "Long": longs,
    "Boolean": st.booleans(),
    "TrailingBoolean": st.booleans(),
    "Buffer": st.binary(max_size=40),
    "UString": texts,
    "Stat": stats,
    "ACL": acls,
    "ClientInfo": st.builds(ClientInfo, texts, texts),
}


def of_wire_type(annotation: str) -> st.SearchStrategy[Any]:
    """Values of one annotation."""
    if annotation.endswith(" | None"):
        return st.none() | of_wire_type(annotation.removesuffix(" | None"))
    if annotation.endswith("]"):
        return st.lists(of_wire_type(annotation[:-1].partition("[")[2]), max_size=5)
    return _WIRE_TYPES[annotation]


def of_record(record: type[Record]) -> st.SearchStrategy[Any]:
    """Values of one record class."""
    if record in (MultiRequest, MultiReadRequest):
        allowed = _OPS if record is MultiRequest else _READ_OPS
        return st.builds(record, st.lists(st.one_of([of_record(kind) for kind in allowed.values()]), max_size=5))
    if "results" in record.fields:
        return st.builds(record, st.lists(st.one_of([of_record(kind) for kind in RESULTS]), max_size=5))
    return st.builds(record, *(of_wire_type(record.wire_types[field]) for field in record.fields))


def _public(base: type[Record]) -> list[type[Any]]:
    everything = [getattr(zk_wire, name) for name in zk_wire.__all__]
    return [kind for kind in everything if isinstance(kind, type) and issubclass(kind, base) and kind is not base]


RECORDS = [kind for kind in _public(Record) if kind not in (Request, Response)]
REQUESTS = [kind for kind in _public(Request) if kind is not Request]
RESPONSES = [kind for kind in _public(Response) if kind is not Response]
RESULTS = [kind for kind in RECORDS if kind.__name__.endswith("Result")]
