"""The two faces of each recipe of locking are one thing: the same members, signatures and words."""

from __future__ import annotations

import inspect

import pytest

import zk_recipes

CONTEXT = {"__aenter__": "__enter__", "__aexit__": "__exit__"}
RECIPES = ["Election", "MultiLock", "ReadLock", "WriteLock", "ReadWriteLock", "ReentrantLock", "Semaphore", "Term"]


def members(cls: type) -> dict[str, str]:
    """Public names, each with the name it has on the blocking face."""
    names = [name for name in dir(cls) if not name.startswith("_") or name in CONTEXT or name in CONTEXT.values()]
    return {name: CONTEXT.get(name, name) for name in names}


@pytest.mark.parametrize("recipe", RECIPES)
def test_both_faces_have_the_same_members(recipe: str) -> None:
    body, face = getattr(zk_recipes, f"Async{recipe}"), getattr(zk_recipes, recipe)
    assert set(members(body).values()) == set(members(face))


# What only one face can say: it has a parameter that is awaited there, or gives the other face of something.
OWN_WORDS = {"__init__", *CONTEXT, "run"}
OWN_SIGNATURE = {("Election", "lead"), ("Term", "__init__")}


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_member_has_the_same_signature_and_docstring(recipe: str) -> None:
    body, face = getattr(zk_recipes, f"Async{recipe}"), getattr(zk_recipes, recipe)
    for name, blocking_name in {**members(body), "__init__": "__init__"}.items():
        asynchronous, blocking = getattr(body, name), getattr(face, blocking_name)
        if callable(asynchronous) and (recipe, name) not in OWN_SIGNATURE:
            assert inspect.signature(blocking) == inspect.signature(asynchronous), name
        if name not in OWN_WORDS:
            assert blocking.__doc__ == asynchronous.__doc__, name
            assert blocking.__doc__, name
