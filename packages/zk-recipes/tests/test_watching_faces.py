"""Blocking and awaited watches, caches and members are one thing: the same members, signatures and words."""

from __future__ import annotations

import inspect

import pytest
from sim_world import World

from zk_recipes import (
    AsyncChildrenCache,
    AsyncChildrenWatch,
    AsyncDataWatch,
    AsyncGroupMembership,
    AsyncNodeCache,
    AsyncParty,
    AsyncPatientChildrenWatch,
    AsyncPersistentNode,
    AsyncShallowParty,
    AsyncTreeCache,
    ChildrenCache,
    ChildrenWatch,
    DataWatch,
    GroupMembership,
    NodeCache,
    Party,
    PatientChildrenWatch,
    PersistentNode,
    ShallowParty,
    TreeCache,
)

PAIRS = [
    (AsyncDataWatch, DataWatch),
    (AsyncChildrenWatch, ChildrenWatch),
    (AsyncPatientChildrenWatch, PatientChildrenWatch),
    (AsyncTreeCache, TreeCache),
    (AsyncChildrenCache, ChildrenCache),
    (AsyncNodeCache, NodeCache),
    (AsyncPersistentNode, PersistentNode),
    (AsyncParty, Party),
    (AsyncShallowParty, ShallowParty),
    (AsyncGroupMembership, GroupMembership),
]
OF_THE_WORKER = {"due", "attend"}


def public(cls: type) -> set[str]:
    inherited = [base for base in cls.__mro__ if "zk_recipes" in base.__module__]
    return {name for base in inherited for name in vars(base) if not name.startswith("_")} - OF_THE_WORKER


@pytest.mark.parametrize(("body", "face"), PAIRS)
def test_both_faces_have_the_same_members_signatures_and_words(body: type, face: type) -> None:
    assert public(body) == public(face)
    assert face.__doc__ == body.__doc__
    assert inspect.signature(face) == inspect.signature(body)
    for name in public(face) - {"start"}:
        assert getattr(face, name).__doc__ == getattr(body, name).__doc__
        if callable(getattr(face, name)):
            assert inspect.signature(getattr(face, name)) == inspect.signature(getattr(body, name))


def test_a_watch_says_what_it_is_in_its_repr() -> None:
    client = World(clients=1).clients[0]
    assert repr(AsyncDataWatch(client, "/n")) == "<AsyncDataWatch '/n' without a function>"
    assert repr(ChildrenWatch(client, "/n")) == "<ChildrenWatch over <AsyncChildrenWatch '/n' without a function>>"
