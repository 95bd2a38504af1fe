"""What type checkers see of counters, shared values and barriers. Checked, not run."""

from __future__ import annotations

from typing import assert_type

from zk_client import Client, HasPort
from zk_recipes import (
    AsyncBarrier,
    AsyncCounter,
    AsyncDoubleBarrier,
    AsyncSharedValue,
    Barrier,
    Counter,
    DoubleBarrier,
    SharedReading,
    SharedValue,
)
from zk_wire import CheckVersionRequest


def counters(client: Client) -> None:
    whole, half = Counter(client, "/a"), Counter(client, "/b", 1.5)
    assert_type(whole.value, int)
    assert_type(whole.add(2, timeout=1.0), int)
    assert_type(whole.subtract(1), int)
    assert_type(whole.post_value, int | None)
    assert_type(half.value, float)
    assert_type(half.add(0.5), float)
    whole += 1
    assert_type(whole, Counter[int])
    Counter(client, "/a", "0")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    whole.add(0.5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def on_value(reading: SharedReading | None) -> None: ...


def values(client: Client) -> None:
    value = SharedValue(client, "/a")
    assert_type(value.get(timeout=1.0), SharedReading | None)
    first = value.set(b"1")
    assert_type(first, SharedReading)
    assert_type(first.data, bytes)
    assert_type(value.compare_and_set(first, b"2"), SharedReading | None)
    assert_type(value.compare_and_set(None, b"2"), SharedReading | None)
    assert_type(value.update(lambda data: (data or b"") + b"1"), SharedReading)
    assert_type(value.listen(on_value).stopped, bool)
    value.set("text")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    value.update(lambda data: 1)  # type: ignore[arg-type, return-value]


def barriers(client: Client) -> None:
    barrier = Barrier(client, "/a")
    assert_type(barrier.create(), None)
    assert_type(barrier.wait(1.0), bool)
    assert_type(barrier.remove(), bool)
    double = DoubleBarrier(client, "/b", 3, identifier="me")
    assert_type(double.enter(timeout=1.0), bool)
    assert_type(double.leave(), bool)
    assert_type(double.participating, bool)
    assert_type(double.node_name, str | None)
    assert_type(double.guard(), CheckVersionRequest)
    DoubleBarrier(client, "/b", "3")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def awaited(client: HasPort) -> None:
    counter = AsyncCounter(client, "/a", 1.0)
    assert_type(await counter.add(1), float)
    assert_type(await counter.get(), float)
    counter += 1  # type: ignore[operator, assignment]
    value = AsyncSharedValue(client, "/a")
    assert_type(await value.get(), SharedReading | None)
    value.listen(on_value).stop()
    assert_type(await AsyncBarrier(client, "/a").wait(), bool)
    assert_type(await AsyncDoubleBarrier(client, "/a", 2).enter(), bool)
    value.set(b"")  # type: ignore[unused-coroutine]  # pyright: ignore[reportUnusedCoroutine]
