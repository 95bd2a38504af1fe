"""Each blocking face and its asyncio twin: the same methods and attributes, parameters, types and texts."""

from __future__ import annotations

import inspect
import re
from typing import Any

import pytest

from zk_client import (
    AsyncClient,
    AsyncReadBatch,
    AsyncTransaction,
    AsyncWatch,
    AsyncWatcher,
    Client,
    PersistentWatch,
    ReadBatch,
    Transaction,
    Watcher,
)

PAIRS: list[tuple[type, type]] = [
    (Client, AsyncClient),
    (Transaction, AsyncTransaction),
    (ReadBatch, AsyncReadBatch),
    (Watcher, AsyncWatcher),
    (PersistentWatch, AsyncWatch),
]
# What one world has and the other cannot, or need not. The clock is the runtime's where there is one; whoever blocks
# is told states by a listener; a watch that is awaited is set by its first await.
OF_ONE_WORLD = {Client: {"runtime", "clean_up"}, AsyncClient: {"now", "states"}, AsyncWatch: {"start"}}
# Said differently because it is done differently: by iterating, or by awaiting first.
TOLD_APART = {"watch", "__init__", "__call__"}
# What stands for what in the other world's types.
TRANSLATED = {
    "AsyncWatcher": "Watcher",
    "AsyncWatch": "PersistentWatch",
    "AsyncTransaction": "Transaction",
    "AsyncReadBatch": "ReadBatch",
    "AsyncClient": "Client",
    "AsyncRequests": "Requests",
    "Awaitable[T]": "T",
}


def is_public(name: str) -> bool:
    return not name.startswith("_")


def members(face: type) -> set[str]:
    """Public methods and properties."""
    found = {
        name
        for name, value in inspect.getmembers_static(face)
        if is_public(name) and (inspect.isfunction(value) or isinstance(value, (property, staticmethod)))
    }
    return found - OF_ONE_WORLD.get(face, set())


def named(kind: str) -> list[Any]:
    """(the blocking face, the asyncio face, a member's name) for every member of this kind."""
    return [
        pytest.param(blocking, awaited, name, id=f"{blocking.__name__}.{name}")
        for blocking, awaited in PAIRS
        for name in sorted(members(blocking))
        if type(inspect.getattr_static(blocking, name)).__name__ == kind
    ]


def types_of(function: Any) -> list[str]:
    """The annotations of the parameters and of the result, in the words of the blocking world."""
    signature = inspect.signature(function)
    said = [str(parameter.annotation) for parameter in signature.parameters.values()]
    said.append(str(signature.return_annotation))
    for theirs, ours in TRANSLATED.items():
        said = [re.sub(rf"(?<!\w){re.escape(theirs)}", ours, text) for text in said]
    return said


@pytest.mark.parametrize(("blocking", "awaited"), PAIRS, ids=lambda face: face.__name__)
def test_both_faces_have_the_same_members(blocking: type, awaited: type) -> None:
    assert members(blocking) == members(awaited)


@pytest.mark.parametrize(("blocking", "awaited", "name"), named("function"))
def test_both_methods_have_the_same_parameters_types_and_text(blocking: type, awaited: type, name: str) -> None:
    ours, theirs = getattr(blocking, name), getattr(awaited, name)
    assert [(p.name, p.kind, p.default) for p in inspect.signature(ours).parameters.values()] == [
        (p.name, p.kind, p.default) for p in inspect.signature(theirs).parameters.values()
    ]
    assert types_of(ours) == types_of(theirs)
    assert ours.__doc__
    if name not in TOLD_APART:
        assert inspect.getdoc(ours) == inspect.getdoc(theirs)


@pytest.mark.parametrize(("blocking", "awaited", "name"), named("property"))
def test_both_attributes_have_the_same_type_and_text(blocking: type, awaited: type, name: str) -> None:
    ours, theirs = inspect.getattr_static(blocking, name), inspect.getattr_static(awaited, name)
    assert types_of(ours.fget) == types_of(theirs.fget)
    assert ours.__doc__ and ours.__doc__ == theirs.__doc__
    assert (ours.fset is None) == (theirs.fset is None)


@pytest.mark.parametrize(("blocking", "awaited"), PAIRS[1:4], ids=lambda face: face.__name__)
def test_both_classes_have_the_same_text(blocking: type, awaited: type) -> None:
    assert inspect.getdoc(blocking) == inspect.getdoc(awaited)


@pytest.mark.parametrize(("blocking", "awaited"), PAIRS, ids=lambda face: face.__name__)
def test_what_is_iterated_or_entered_here_is_so_there(blocking: type, awaited: type) -> None:
    assert hasattr(blocking, "__enter__") == hasattr(awaited, "__aenter__")
    assert hasattr(blocking, "__iter__") == hasattr(awaited, "__aiter__")


def test_both_clients_are_configured_alike() -> None:
    ours, theirs = inspect.signature(Client).parameters, inspect.signature(AsyncClient).parameters
    assert [name for name in ours if name != "runtime"] == list(theirs)
    assert all(ours[name].default == theirs[name].default for name in theirs)
    assert all(ours[name].annotation == theirs[name].annotation for name in theirs)
