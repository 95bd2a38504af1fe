"""Identities and permissions."""

from __future__ import annotations

import pytest

from zk_wire import (
    ACL,
    CREATOR_ALL_ACL,
    OPEN_ACL_UNSAFE,
    READ_ACL_UNSAFE,
    Id,
    Permission,
    make_acl,
    make_digest_acl,
    make_digest_acl_credential,
)


def test_a_digest_is_the_one_the_server_computes() -> None:
    assert make_digest_acl_credential("bob", "pw") == "bob:ikIaKsbtGweaHnb/jKn7OHqbunM="


def test_a_password_may_have_colons_and_any_letter() -> None:
    assert make_digest_acl_credential("ö", "a:b:ü").startswith("ö:")


def test_a_user_name_may_not_have_a_colon() -> None:
    with pytest.raises(ValueError, match="has a colon"):
        make_digest_acl_credential("a:b", "pw")


@pytest.mark.parametrize("name", ["read", "write", "create", "delete", "admin", "all"])
def test_each_permission_sets_its_bit(name: str) -> None:
    assert make_acl("world", "anyone", **{name: True}).perms == Permission[name.upper()]
    assert make_digest_acl("u", "p", **{name: True}).perms == Permission[name.upper()]


def test_permissions_add_up() -> None:
    assert make_acl("ip", "::1", read=True, admin=True) == ACL(Permission.READ | Permission.ADMIN, Id("ip", "::1"))
    assert make_acl("ip", "::1").perms == 0


def test_the_usual_lists() -> None:
    assert (ACL(31, Id("world", "anyone")),) == OPEN_ACL_UNSAFE
    assert (ACL(31, Id("auth", "")),) == CREATOR_ALL_ACL
    assert (ACL(1, Id("world", "anyone")),) == READ_ACL_UNSAFE


def test_a_password_hash_shows_in_no_repr() -> None:
    acl = make_digest_acl("bob", "pw", all=True)
    assert repr(acl) == "ACL(perms=31, id=Id(scheme='digest', id='bob:<redacted>'))"
    assert "ikIaKsbtGweaHnb" not in repr([acl])
    assert repr(Id("ip", "::1")) == "Id(scheme='ip', id='::1')"
