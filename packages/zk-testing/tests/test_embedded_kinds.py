"""Ephemerals, containers and nodes with a time to live on the embedded server."""

from __future__ import annotations

import pytest
from embedded_client import OPEN, Talker, one, server_of, stat_of

from zk_wire import (
    CreateContainerRequest,
    CreateRequest,
    CreateTTLRequest,
    DeleteRequest,
    ExistsRequest,
    GetEphemeralsRequest,
)


@pytest.mark.parametrize("flags", [5, 6, 7, -1])
def test_a_plain_create_refuses_other_flags(flags: int) -> None:
    assert one().code(CreateRequest("/a", b"", OPEN, flags)) == -8


def test_the_opcode_makes_the_container_and_the_flag_alone_does_not() -> None:
    me = one()
    me.create("/plain", flags=4)
    me.ask(CreateContainerRequest("/c-", b"", OPEN, 2))
    me.ask(CreateContainerRequest("/e", b"", OPEN, 1))
    assert sorted(me.server.core.tree.containers) == ["/c-0000000001", "/e"]
    assert stat_of(me, "/e").ephemeral_owner == 0
    assert me.ask(GetEphemeralsRequest(None)).ephemerals == []


def test_an_empty_container_goes_when_it_had_a_child() -> None:
    me = Talker(server_of(), timeout_ms=60_000)
    for path in ("/used", "/unused"):
        me.ask(CreateContainerRequest(path, b"", OPEN, 4))
    me.create("/used/a")
    me.server.advance(5)
    assert me.code(ExistsRequest("/used", False)) == 0
    me.ask(DeleteRequest("/used/a", -1))
    me.code(ExistsRequest("/used", True))
    me.server.advance(5)
    assert [path for _kind, path in me.heard()] == ["/used"]
    assert me.code(ExistsRequest("/unused", False)) == 0


@pytest.mark.parametrize(("version", "there"), [("3.9", 0), ("3.10", -101)])
def test_a_container_never_used_goes_after_five_minutes_since_3_10(version: str, there: int) -> None:
    server = server_of(version)
    Talker(server).ask(CreateContainerRequest("/c", b"", OPEN, 4))
    server.advance(302)
    assert Talker(server).code(ExistsRequest("/c", False)) == there


def test_a_ttl_node_goes_when_it_was_empty_and_unmodified_for_its_time() -> None:
    me = Talker(server_of(), timeout_ms=60_000)
    me.ask(CreateTTLRequest("/t", b"", OPEN, 5, 3000))
    me.server.advance(2)
    me.set("/t")
    me.server.advance(2)
    assert me.code(ExistsRequest("/t", False)) == 0
    me.create("/t/a")
    me.server.advance(10)
    assert me.code(ExistsRequest("/t", False)) == 0
    me.ask(DeleteRequest("/t/a", -1))
    me.server.advance(2)
    assert me.code(ExistsRequest("/t", False)) == -101


@pytest.mark.parametrize(
    ("flags", "ttl", "code"),
    [(5, 1, 0), (6, 2**40 - 1, 0), (5, 0, -8), (5, -1, -8), (5, 2**40, -8), (0, 5, -8), (0, -1, -8)],
)
def test_a_ttl_has_limits_and_needs_its_flags(flags: int, ttl: int, code: int) -> None:
    assert one().code(CreateTTLRequest("/t", b"", OPEN, flags, ttl)) == code


def test_ttl_nodes_can_be_switched_off() -> None:
    me = one(ttl_nodes=False)
    assert me.code(CreateTTLRequest("/t", b"", OPEN, 5, 1000)) == -6
    assert not me.closed


def test_ephemerals_are_listed_by_a_prefix_of_the_string() -> None:
    me = one()
    me.create("/t")
    for path in ("/t/e1", "/t/f"):
        me.create(path, flags=1)
    assert me.ask(GetEphemeralsRequest("/t/e")).ephemerals == ["/t/e1"]
    for all_of_them in (None, "", " / ", "\0", "\x1f/"):
        assert sorted(me.ask(GetEphemeralsRequest(all_of_them)).ephemerals) == ["/t/e1", "/t/f"]
    for nothing in ("\xa0", "\u2003/", "//"):
        assert me.ask(GetEphemeralsRequest(nothing)).ephemerals == []
