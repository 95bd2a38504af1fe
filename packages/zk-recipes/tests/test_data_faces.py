"""Both faces of counters, values, queues and barriers are one thing: the same members, signatures and words."""

from __future__ import annotations

import inspect

import pytest

import zk_recipes

NAMES = [
    "Barrier",
    "Counter",
    "DoubleBarrier",
    "Job",
    "LockingQueue",
    "Queue",
    "SharedValue",
    "WorkQueue",
]
# What only the blocking face has, because it has to wait: operators, and properties of the server's.
BLOCKING_ONLY = {"Counter": {"value"}}


def public(cls: type) -> set[str]:
    return {name for name in vars(cls) if not name.startswith("_")}


@pytest.mark.parametrize("name", NAMES)
def test_both_faces_have_the_same_members(name: str) -> None:
    face, body = getattr(zk_recipes, name), getattr(zk_recipes, f"Async{name}")
    assert public(face) - BLOCKING_ONLY.get(name, set()) == public(body)


@pytest.mark.parametrize("name", NAMES)
def test_members_have_the_same_signatures_and_docstrings(name: str) -> None:
    face, body = getattr(zk_recipes, name), getattr(zk_recipes, f"Async{name}")
    for member in sorted(public(body)):
        ours, theirs = inspect.getattr_static(face, member), getattr(body, member)
        assert ours.__doc__ == theirs.__doc__ != None, member  # noqa: E711
        if inspect.isfunction(theirs) and member != "claim":
            assert inspect.signature(ours) == inspect.signature(theirs), member


@pytest.mark.parametrize("name", [name for name in NAMES if name != "Job"])
def test_both_are_made_the_same_way(name: str) -> None:
    face, body = getattr(zk_recipes, name), getattr(zk_recipes, f"Async{name}")
    assert inspect.signature(face) == inspect.signature(body)
