"""What a recipe promises names the test that keeps the promise, and that test is there."""

from __future__ import annotations

import ast
import functools
import inspect
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import zk_recipes

HERE = Path(__file__).parent
# ``test_a_full_name``, and ``..._an_end`` for the end of one whose beginning was named before it.
NAMED = re.compile(r"``(test_\w+|\.\.\._\w+)``")
MODULES = [name for _, name, _ in pkgutil.iter_modules(zk_recipes.__path__)]


@functools.cache
def written() -> frozenset[str]:
    """Every test function of this package."""
    return frozenset(
        node.name
        for path in HERE.glob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name.startswith("test_")
    )


def docstrings(module: str) -> Iterator[tuple[str, str]]:
    """Every docstring of a module of the package, with whose it is."""
    folder = Path(inspect.getfile(zk_recipes)).parent
    path = folder / f"{module}.py" if (folder / f"{module}.py").exists() else folder / module / "__init__.py"
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            yield getattr(node, "name", module), ast.get_docstring(node) or ""


def missing(text: str, there: frozenset[str]) -> list[str]:
    """The tests a docstring names that are not there."""
    return [
        name
        for name in NAMED.findall(text)
        if (name not in there if name.startswith("test_") else not any(test.endswith(name[3:]) for test in there))
    ]


@pytest.mark.parametrize("module", MODULES)
def test_every_test_named_in_a_docstring_is_there(module: str) -> None:
    there = written()
    assert {owner: names for owner, text in docstrings(module) if (names := missing(text, there))} == {}


def test_a_promise_whose_test_is_gone_is_found() -> None:
    there = frozenset({"test_a_lock_is_fair", "test_nobody_waits_for_ever"})
    text = "Fair: ``test_a_lock_is_fair``, ``..._waits_for_ever``, ``test_it_is_fast``, ``..._is_cheap``."
    assert missing(text, there) == ["test_it_is_fast", "..._is_cheap"]


def test_the_recipes_name_tests_at_all() -> None:
    assert NAMED.findall(zk_recipes.AsyncLock.__doc__ or "")
