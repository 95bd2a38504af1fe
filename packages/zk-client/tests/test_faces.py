"""Faces: the blocking twin of a body behaves, looks and fails like the body."""

from __future__ import annotations

import ast
import asyncio
import inspect
import traceback
import types
from collections.abc import Generator
from pathlib import Path

import pytest

import zk_client.port
from zk_client.faces import BodySuspendedError, Face, attribute, blocking, direct, run_blocking
from zk_wire import ZooKeeperError


@types.coroutine
def foreign() -> Generator[str, None, None]:
    """Suspend, as an await of another world does."""
    yield "something foreign"


class AsyncGreeter:
    """A body with one of everything."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.cleaned: list[str] = []

    async def greet(self, greeting: str = "hello", *, times: int = 1) -> list[str]:
        """Greet some number of times."""
        return [f"{greeting} {self.name}"] * times

    async def fail(self) -> None:
        """Raise what the world raises."""
        raise KeyError(self.name)

    async def suspend(self) -> None:
        """Wait for something that is not the port's."""
        try:
            await foreign()
        finally:
            self.cleaned.append("suspend")

    async def sleep(self) -> None:
        """Give way to the event loop, as every await of asyncio does in the end."""
        await asyncio.sleep(0)

    async def suspend_twice(self) -> None:
        """Wait for something foreign, and again in the clean-up."""
        try:
            await foreign()
        finally:
            self.cleaned.append("suspend twice")
            await foreign()

    def rename(self, name: str) -> str:
        """Change the name and return the old one."""
        old, self.name = self.name, name
        return old

    @property
    def length(self) -> int:
        """How long the name is."""
        return len(self.name)


class Greeter(Face[AsyncGreeter]):
    """The blocking face of it."""

    def __init__(self, name: str) -> None:
        super().__init__(AsyncGreeter(name))

    greet = blocking(AsyncGreeter.greet)
    fail = blocking(AsyncGreeter.fail)
    suspend = blocking(AsyncGreeter.suspend)
    sleep = blocking(AsyncGreeter.sleep)
    suspend_twice = blocking(AsyncGreeter.suspend_twice)
    rename = direct(AsyncGreeter.rename)
    length = attribute(AsyncGreeter, lambda greeter: greeter.length)


def test_a_blocking_method_runs_its_body_to_the_end_and_returns_the_result() -> None:
    assert Greeter("ann").greet("hi", times=2) == ["hi ann", "hi ann"]


@pytest.mark.parametrize("name", ["greet", "fail", "rename"])
def test_a_method_has_the_signature_and_docstring_of_its_body(name: str) -> None:
    face, body = getattr(Greeter, name), getattr(AsyncGreeter, name)
    assert inspect.signature(face) == inspect.signature(body)
    assert face.__doc__ == body.__doc__
    assert not inspect.iscoroutinefunction(face)


def test_an_attribute_has_the_value_and_docstring_of_its_body() -> None:
    assert Greeter("ann").length == 3
    assert Greeter.length.__doc__ == AsyncGreeter.length.__doc__


def test_an_attribute_is_read_only() -> None:
    with pytest.raises(AttributeError, match=r"Greeter\.length is read-only"):
        Greeter("ann").length = 4  # type: ignore[assignment]


def test_a_direct_method_runs_as_it_is() -> None:
    greeter = Greeter("ann")
    assert greeter.rename("bob") == "ann"
    assert greeter.greet() == ["hello bob"]


def test_an_error_of_the_body_comes_out_unchanged_with_the_body_in_its_traceback() -> None:
    with pytest.raises(KeyError) as caught:
        Greeter("ann").fail()
    assert caught.value.__cause__ is None and caught.value.__context__ is None
    assert "raise KeyError(self.name)" in "".join(traceback.format_exception(caught.value))


def test_a_body_that_suspends_is_told_so_and_its_clean_up_has_run() -> None:
    greeter = Greeter("ann")
    with pytest.raises(BodySuspendedError, match=r"AsyncGreeter.suspend suspended on .*must be a blocking") as caught:
        greeter.suspend()
    assert isinstance(caught.value, ZooKeeperError)
    assert greeter._body.cleaned == ["suspend"]


def test_a_body_that_suspends_is_told_so_inside_a_running_loop_too() -> None:
    async def inside() -> None:
        with pytest.raises(BodySuspendedError):
            Greeter("ann").sleep()

    asyncio.run(inside())


def test_a_body_that_suspends_again_in_its_clean_up_gets_the_same_error_with_the_cause() -> None:
    greeter = Greeter("ann")
    with pytest.raises(BodySuspendedError) as caught:
        greeter.suspend_twice()
    assert isinstance(caught.value.__cause__, RuntimeError)
    assert greeter._body.cleaned == ["suspend twice"]


def test_run_blocking_returns_the_result_of_a_bare_coroutine() -> None:
    assert run_blocking(AsyncGreeter("ann").greet()) == ["hello ann"]


@pytest.mark.parametrize("module", ["port", "faces", "states"])
def test_port_faces_and_states_import_no_clock_thread_socket_or_loop(module: str) -> None:
    source = Path(zk_client.port.__file__).with_name(f"{module}.py").read_text()
    imported = {
        name.split(".")[0]
        for node in ast.walk(ast.parse(source))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom) and node.level == 0
            else []
        )
    }
    forbidden = {"asyncio", "threading", "gevent", "time", "socket", "select", "random", "uuid", "dataclasses"}
    assert imported & forbidden == set()
