"""Importing the package is cheap and brings no I/O."""

from __future__ import annotations

import subprocess
import sys

import pytest

import zk_wire

HEAVY = ["typing", "dataclasses", "inspect", "re", "logging", "json", "hashlib", "base64"]
IO = ["socket", "ssl", "asyncio", "threading", "select", "selectors", "random", "time", "subprocess", "_thread"]


def loaded_after(statement: str) -> set[str]:
    """The modules a fresh interpreter has loaded by a statement."""
    program = f"import sys; before = set(sys.modules); {statement}; print(*set(sys.modules) - before)"
    done = subprocess.run([sys.executable, "-I", "-c", program], capture_output=True, text=True, check=True, timeout=60)
    return set(done.stdout.split())


@pytest.mark.parametrize("statement", ["import zk_wire", "from zk_wire import *"])
def test_an_import_loads_nothing_that_does_io(statement: str) -> None:
    assert loaded_after(statement).isdisjoint(IO)


def test_an_import_loads_nothing_heavy() -> None:
    loaded = loaded_after("import zk_wire")
    assert loaded.isdisjoint(HEAVY)
    assert "zk_wire.connection" in loaded
    assert loaded.isdisjoint({"zk_wire.server", "zk_wire.admin", "zk_wire.messages", "zk_wire.codes"})


def test_every_public_name_can_be_had_and_is_listed() -> None:
    assert len(set(zk_wire.__all__)) == len(zk_wire.__all__)
    for name in zk_wire.__all__:
        assert getattr(zk_wire, name) is not None


def test_names_that_are_not_loaded_yet_are_listed() -> None:
    assert "True" in loaded_after("import zk_wire; print('ServerConnection' in dir(zk_wire))")


def test_a_name_that_is_not_there_is_missed_as_usual() -> None:
    with pytest.raises(AttributeError, match="module 'zk_wire' has no attribute 'nothing'"):
        zk_wire.nothing  # noqa: B018
