"""Permissions, access lists and identities on the embedded server."""

from __future__ import annotations

from typing import Any

import pytest
from embedded_client import OPEN, Talker, one, server_of

from zk_wire import (
    ACL,
    ClientInfo,
    CreateRequest,
    GetACLRequest,
    GetAllChildrenNumberRequest,
    GetChildrenRequest,
    GetDataRequest,
    Id,
    Request,
    SetACLRequest,
    SetDataRequest,
    WhoAmIRequest,
    make_digest_acl,
)


def test_each_permission_lets_do_what_it_says() -> None:
    me, admin = one(), ACL(16, Id("world", "anyone"))
    for bit in (1, 2, 4, 8, 16):
        path = f"/{bit}"
        me.create(path, acl=[ACL(bit, Id("world", "anyone"))])
        requests: dict[int, list[Request[Any]]] = {
            1: [GetDataRequest(path, False), GetChildrenRequest(path, False), GetAllChildrenNumberRequest(path)],
            2: [SetDataRequest(path, b"", -1)],
            4: [CreateRequest(f"{path}/a", b"", OPEN, 0)],
            16: [SetACLRequest(path, [admin], -1)],
        }
        for needed, asked in requests.items():
            if bit != needed:
                assert [me.code(request) for request in asked] == [-102] * len(asked), (bit, needed)
        assert [me.code(request) for request in requests.get(bit, [])] == [0] * len(requests.get(bit, []))
        assert me.code(GetACLRequest(path)) == (0 if bit in (1, 16) else -102)


@pytest.mark.parametrize(
    "acl",
    [
        None, [], [ACL(31, Id("world", "someone"))], [ACL(31, Id("auth", ""))], [ACL(31, Id("super", ""))],
        [ACL(31, Id("digest", "nohash"))], [ACL(31, Id("digest", "u:h:x"))], [ACL(31, Id("digest", "u:"))],
        [ACL(31, Id("ip", "1.2.3"))], [ACL(31, Id("ip", "1.2.3.4/33"))], [ACL(31, Id("ip", "300.1.1.1"))],
        [ACL(31, Id("x509", "CN=a"))], [ACL(31, Id("sasl", "bob"))], [ACL(31, Id("nosuch", ""))],
    ],
)  # fmt: skip
def test_bad_lists_are_refused(acl: list[ACL] | None) -> None:
    assert one().code(CreateRequest("/a", b"", acl, 0)) == -114


@pytest.mark.parametrize(("version", "code"), [("3.9.3", -114), ("3.9.4", 0)])
def test_ipv6_addresses_are_accepted_since_3_9_4(version: str, code: int) -> None:
    assert one(version).code(CreateRequest("/a", b"", [ACL(31, Id("ip", "::1"))], 0)) == code


@pytest.mark.parametrize(
    ("address", "code"),
    [
        *(("127.0.0.5.", -114), ("0127.0.0.5", 0), ("+127.0.0.5", 0), ("1.2.3.4/8/8", -114), ("1.2.3.4/+8", 0)),
        *(("::", 0), ("::ffff:1.2.3.4", -114), ("fe80::1%1", -114), ("::-1", 0), ("::00001", -114), ("1::2::3", -114)),
        *(("1:2:3:4:5:6:7::", 0), ("1:2:3:4::5:6:7:8", -114), ("::1/128", 0), ("::1/129", -114), ("::1/", -114)),
        *(("++127.0.0.5", -114), ("-0.0.0.0/0", 0), ("127.0.0.5/-0", 0), ("127.0.0.5/++8", -114), ("::1/++3", -114)),
        *(
            ("\u0967.0.0.5", 0),
            ("127.0.0.5/\u0668", 0),
            ("\U0001d7cf.0.0.1", -114),
            ("+.0.0.1", -114),
            ("1_2.0.0.1", -114),
        ),
        *(("::\uff21\u0967", 0), ("::\uff27", -114)),
        *((f"{'0' * 5000}1.0.0.5", 0), (f"{'9' * 5000}.0.0.5", -114), (f"127.0.0.5/{'9' * 5000}", -114)),
    ],
)
def test_addresses_are_read_as_java_reads_them(address: str, code: int) -> None:
    assert one("3.9.6").code(CreateRequest("/a", b"", [ACL(31, Id("ip", address))], 0)) == code


def test_auth_stands_for_who_asks_and_duplicates_are_dropped() -> None:
    me = one()
    assert me.auth("digest", b"bob:pw") == 0
    me.create("/a", acl=[ACL(31, Id("auth", "ignored")), *OPEN, *OPEN])
    assert me.ask(GetACLRequest("/a")).acl == [ACL(31, Id("digest", "bob:ikIaKsbtGweaHnb/jKn7OHqbunM=")), *OPEN]


def test_auth_may_come_without_an_id_as_kazoo_sends_it() -> None:
    me = one()
    me.auth("digest", b"bob:pw")
    written = CreateRequest("/a", b"", [ACL(31, Id("auth", ""))], 0).encode()
    as_null = written.replace(b"auth" + bytes(4), b"auth" + b"\xff" * 4)
    assert [code for _xid, _zxid, code, _body in me.raw(CreateRequest.opcode, as_null)] == [0]
    assert me.ask(GetACLRequest("/a")).acl[0].id.scheme == "digest"


def test_identities_belong_to_the_connection_and_are_lost_with_it() -> None:
    server = server_of()
    me = Talker(server)
    me.auth("digest", b"bob:pw")
    me.create("/a", acl=[make_digest_acl("bob", "pw", all=True)])
    assert me.code(GetDataRequest("/a", False)) == 0
    again = Talker(server, me.session)
    assert again.code(GetDataRequest("/a", False)) == -102
    again.auth("digest", b"bob:pw")
    assert again.code(GetDataRequest("/a", False)) == 0


def test_digests_are_masked_for_those_who_do_not_administer() -> None:
    me = one()
    me.create("/a", acl=[make_digest_acl("bob", "pw", all=True), ACL(1, Id("world", "anyone"))])
    assert me.ask(GetACLRequest("/a")).acl[0] == ACL(31, Id("digest", "bob:x"))


def test_networks_match_by_their_bits() -> None:
    server = server_of()
    near, far = Talker(server, host="10.1.2.3"), Talker(server, host="10.2.2.3")
    near.create("/a", acl=[ACL(31, Id("ip", "10.1.0.0/16"))])
    assert (near.code(GetDataRequest("/a", False)), far.code(GetDataRequest("/a", False))) == (0, -102)


@pytest.mark.parametrize("scheme", ["world", "super", "sasl", "x509", "nosuch"])
def test_other_schemes_fail_to_authenticate_and_close_but_keep_the_session(scheme: str) -> None:
    server = server_of()
    me = Talker(server)
    assert me.auth(scheme, b"x") == -115
    assert me.closed
    assert Talker(server, me.session).connected


def test_digest_without_data_fails_and_without_a_colon_does_not() -> None:
    assert one().auth("digest", None) == -115
    me = one()
    assert me.auth("digest", b"nocolon") == 0
    assert ClientInfo("digest", "nocolon") in me.ask(WhoAmIRequest()).client_info
