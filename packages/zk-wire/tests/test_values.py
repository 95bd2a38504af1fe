"""Numbers with names, and the Stat."""

from __future__ import annotations

import copy
import pickle

import pytest

from zk_wire import CreateMode, Notification, OpCode, PingAnswered, Stat, Xid

STAT = Stat(1, 2, 1_700_000_000_123, 1_700_000_001_000, 5, 6, 7, -8, 9, 10, 11)


def test_times_are_also_given_in_seconds() -> None:
    assert (STAT.created, STAT.last_modified) == (1_700_000_000.123, 1_700_000_001.0)


def test_the_owner_of_a_node_that_is_not_ephemeral_is_none() -> None:
    assert STAT.owner_session_id == -8
    assert STAT._replace(ephemeral_owner=0).owner_session_id is None


def test_a_stat_is_a_named_tuple_like_any_other() -> None:
    assert STAT == tuple(STAT) == pickle.loads(pickle.dumps(STAT)) == copy.copy(STAT)  # noqa: S301
    assert STAT._asdict()["ephemeral_owner"] == -8
    assert Stat.__annotations__["czxid"] == "int"
    assert Stat.__doc__ is not None
    assert Stat.__doc__.startswith("A node's metadata")
    assert type(pickle.loads(pickle.dumps(STAT))) is Stat  # noqa: S301


def test_a_default_of_a_named_tuple_holds() -> None:
    assert PingAnswered(5) == (5, 0)
    match Notification(1, 3, "/a", -1):
        case Notification(kind, _, path):
            assert (kind, path) == (1, "/a")


@pytest.mark.parametrize(
    ("mode", "traits"),
    [(0, ""), (1, "e"), (2, "s"), (3, "es"), (4, "c"), (5, "t"), (6, "st")],
)
def test_a_create_mode_knows_what_it_makes(mode: int, traits: str) -> None:
    made = CreateMode(mode)
    assert made.is_ephemeral == ("e" in traits)
    assert made.is_sequential == ("s" in traits)
    assert made.is_container == ("c" in traits)
    assert made.is_ttl == ("t" in traits)


def test_numbers_are_written_once() -> None:
    assert [int(xid) for xid in Xid] == [-1, -2, -4, -8]
    assert len({int(opcode) for opcode in OpCode}) == len(OpCode.__members__)
