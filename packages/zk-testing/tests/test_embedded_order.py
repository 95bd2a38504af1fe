"""The order in which names are listed; each expected one was listed by a real server, and is the same since 3.6."""

from __future__ import annotations

from embedded_client import Talker, server_of

from zk_wire import (
    ACL,
    AddWatchRequest,
    CreateRequest,
    DeleteRequest,
    GetACLRequest,
    GetChildren2Request,
    GetChildrenRequest,
    GetChildrenResult,
    GetEphemeralsRequest,
    Id,
    MultiReadRequest,
    WhoAmIRequest,
)

GREEK = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa"]
LISTED = ["epsilon", "zeta", "iota", "eta", "alpha", "delta", "kappa", "theta", "beta", "gamma"]


def parent_of(names: list[str]) -> Talker:
    me = Talker(server_of())
    me.create("/p")
    for name in names:
        me.create(f"/p/{name}")
    return me


def children(me: Talker) -> list[str]:
    return list(me.ask(GetChildrenRequest("/p", False)).children)


def test_children_are_listed_in_the_order_of_a_real_server_and_not_of_creation() -> None:
    me = parent_of([f"lock-{number:010d}" for number in range(8)])
    assert [name[-1] for name in children(me)] == list("76105432")


def test_every_way_to_list_children_has_the_same_order() -> None:
    me = parent_of(GREEK)
    results = me.ask(MultiReadRequest([GetChildrenRequest("/p", False)])).results
    assert children(me) == LISTED
    assert list(me.ask(GetChildren2Request("/p", False)).children) == LISTED
    assert isinstance(results[0], GetChildrenResult) and list(results[0].children) == LISTED


def test_the_order_remembers_how_many_children_there_were_at_most() -> None:
    me = parent_of(GREEK)
    for name in GREEK[3:]:
        me.ask(DeleteRequest(f"/p/{name}", -1))
    assert children(me) == ["alpha", "beta", "gamma"]
    assert children(parent_of(GREEK[:3])) == ["beta", "gamma", "alpha"]


def test_a_name_that_comes_or_goes_is_seen_in_the_next_listing() -> None:
    me = parent_of(["a"])
    assert children(me) == ["a"]
    me.create("/p/b")
    assert children(me) == ["a", "b"]
    me.ask(DeleteRequest("/p/a", -1))
    assert children(me) == ["b"]


def test_a_session_loses_its_nodes_in_the_order_in_which_it_lists_them() -> None:
    me = parent_of([])
    for name in GREEK[:3]:
        me.create(f"/p/{name}", flags=1)
    watcher = Talker(me.server)
    watcher.ask(AddWatchRequest("/p", 1))
    assert list(me.ask(GetEphemeralsRequest(None)).ephemerals) == ["/p/beta", "/p/alpha", "/p/gamma"]
    me.close_session()
    assert [path for _kind, path in watcher.heard()] == ["/p/beta", "/p/alpha", "/p/gamma"]


def test_identities_are_told_and_put_in_place_of_auth_in_one_order() -> None:
    me = Talker(server_of())
    for credential in (b"super:test", b"u:p"):
        me.auth("digest", credential)
    told = [(info.auth_scheme, info.user) for info in me.ask(WhoAmIRequest()).client_info]
    assert told == [("super", ""), ("ip", "127.0.0.1"), ("digest", "super"), ("digest", "u")]
    me.ask(CreateRequest("/a", b"", [ACL(31, Id("auth", ""))], 0))
    assert [entry.id.id.partition(":")[0] for entry in me.ask(GetACLRequest("/a")).acl] == ["super", "u"]
