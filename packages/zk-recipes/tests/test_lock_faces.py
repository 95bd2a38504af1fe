"""Lock and AsyncLock are one thing: the same members, signatures and words."""

from __future__ import annotations

import inspect

import pytest
from sim_world import PATH, World

from zk_client import BodySuspendedError
from zk_recipes import AsyncLock, Lock

CONTEXT = {"__aenter__": "__enter__", "__aexit__": "__exit__"}
METHODS = ["acquire", "release", "cancel", "guard", "check", "contenders", "__aenter__", "__aexit__"]
ATTRIBUTES = ["path", "identifier", "is_acquired", "token", "lease_remaining"]


def public(cls: type) -> set[str]:
    return {name for name in vars(cls) if not name.startswith("_")} | (set(vars(cls)) & {*CONTEXT, *CONTEXT.values()})


def test_both_faces_have_the_same_members() -> None:
    assert {CONTEXT.get(name, name) for name in public(AsyncLock)} == public(Lock)
    assert public(AsyncLock) == {*METHODS, *ATTRIBUTES}


@pytest.mark.parametrize("name", [*METHODS, "__init__"])
def test_methods_have_the_same_signature_and_docstring(name: str) -> None:
    body, face = getattr(AsyncLock, name), getattr(Lock, CONTEXT.get(name, name))
    assert inspect.signature(face) == inspect.signature(body)
    assert face.__doc__ == body.__doc__
    assert name == "__init__" or face.__doc__


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_attributes_have_the_same_docstring_and_value(name: str) -> None:
    client = World(clients=1).clients[0]
    assert getattr(Lock, name).__doc__ == getattr(AsyncLock, name).__doc__ != None  # noqa: E711
    assert getattr(Lock(client, PATH, "me"), name) == getattr(AsyncLock(client, PATH, "me"), name)


def test_a_blocking_lock_over_a_port_that_suspends_says_so() -> None:
    world = World(clients=1)

    async def body() -> None:
        with pytest.raises(BodySuspendedError, match=r"AsyncLock.acquire suspended .* its port must be a blocking one"):
            Lock(world.clients[0], PATH).acquire()

    world.run(body())


def test_a_lock_says_what_it_is_in_its_repr() -> None:
    assert repr(Lock(World(clients=1).clients[0], PATH)) == "<Lock over <AsyncLock '/locks/one' not held>>"
