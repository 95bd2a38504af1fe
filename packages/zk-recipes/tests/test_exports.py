"""The package's public names: each is there, and none is loaded before somebody asks for it."""

from __future__ import annotations

import ast
import inspect
import os
import subprocess
import sys

import pytest

import zk_recipes


def test_public_names_are_in_order_and_listed_once() -> None:
    assert sorted(set(zk_recipes.__all__)) == zk_recipes.__all__


@pytest.mark.parametrize("name", zk_recipes.__all__)
def test_every_public_name_can_be_imported(name: str) -> None:
    assert getattr(zk_recipes, name) is not None
    assert name in dir(zk_recipes)


def test_what_is_loaded_late_is_what_type_checkers_see() -> None:
    tree = ast.parse(inspect.getsource(zk_recipes))
    seen = {
        name.name: node.module
        for block in tree.body
        if isinstance(block, ast.If)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for name in node.names
    }
    assert seen == zk_recipes._ROOMS
    assert {*seen, "__version__"} == set(zk_recipes.__all__)


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'zk_recipes' has no attribute 'Mutex'"):
        zk_recipes.Mutex  # noqa: B018


def test_importing_the_package_loads_no_recipe() -> None:
    name = zk_recipes.__name__
    program = f"import sys, {name}; print(*sorted(sys.modules))"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    loaded = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60, env=environment
    ).stdout.split()
    assert [module for module in loaded if module.startswith(f"{name}.")] == [f"{name}._version"]
    assert {"zk_client", "asyncio", "logging"}.isdisjoint(loaded)
