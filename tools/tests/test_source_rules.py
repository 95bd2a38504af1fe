"""The rules of sources: each with what breaks it and what keeps it."""

from __future__ import annotations

import textwrap

import pytest

from tools.source_rules import problems_in


def problems(source: str, *, module: str = "zk_recipes", bodies: bool = True) -> list[str]:
    siblings = {"zk_wire", "zk_client", "zk_recipes", "zk_testing"} - {module}
    found = problems_in(textwrap.dedent(source), module=module, siblings=siblings, bodies=bodies)
    return [sentence for _, sentence in found]


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("from zk_recipes import Lock", "own package by name"),
        ("from zk_recipes.lock import Lock", "own package by name"),
        ("import zk_recipes", "own package by name"),
        ("from zk_wire.errors import NoNodeError", "a module of a sibling"),
        ("import zk_wire.errors", "a module of a sibling"),
        ("import importlib.metadata", "distribution metadata"),
        ("from importlib.metadata import version", "distribution metadata"),
        ("from importlib import metadata", "distribution metadata"),
        ("def f():\n    from zk_recipes import Lock\n", "own package by name"),
    ],
)
def test_an_import_that_breaks_a_copy_is_named(source: str, sentence: str) -> None:
    (found,) = problems(source)

    assert sentence in found


@pytest.mark.parametrize(
    "source",
    [
        "from . import lock",
        "from .lock import Lock",
        "from zk_wire import NoNodeError",
        "import zk_wire",
        "from zk_wire_extra.errors import Other",
        "import importlib",
        "import asyncio.events",
    ],
)
def test_an_import_that_survives_a_copy_is_accepted(source: str) -> None:
    assert problems(source) == []


def test_an_async_generator_is_named_with_its_line() -> None:
    source = "async def good():\n    pass\n\nasync def entries():\n    yield 1\n"

    assert list(problems_in(source, module="zk_recipes", siblings=set(), bodies=True)) == [
        (4, "`entries` is an async generator; a body returns values or takes a callback")
    ]


def test_a_yield_inside_a_loop_is_found() -> None:
    (found,) = problems("""
        async def entries(self):
            while True:
                for name in names:
                    yield name
    """)

    assert "`entries`" in found


def test_a_plain_generator_inside_a_body_is_accepted() -> None:
    assert (
        problems("""
        async def body():
            def numbers():
                yield 1
            return list(numbers())
    """)
        == []
    )


def test_an_asynchronous_generator_expression_is_named() -> None:
    (found,) = problems("async def body(entries):\n    return helper(e async for e in entries)\n")

    assert "asynchronous generator expression" in found


def test_packages_without_bodies_may_have_async_generators() -> None:
    assert problems("async def entries():\n    yield 1\n", module="zk_testing", bodies=False) == []
