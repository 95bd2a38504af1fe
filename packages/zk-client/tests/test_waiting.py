"""The queue of requests that wait to be sent."""

from __future__ import annotations

from typing import Any

from zk_client._session.waiting import Waiting
from zk_client.calls import Call, no_reply


def calls(count: int) -> list[Call[Any]]:
    owner: Any = None
    return [Call(owner, b"", no_reply, f"/{number}") for number in range(count)]


def test_requests_leave_in_the_order_of_their_coming_behind_those_put_before_them() -> None:
    first, second, third, fourth = calls(4)
    waiting = Waiting()
    waiting.append(third)
    waiting.extend([fourth])
    waiting.prepend([first, second])
    assert list(waiting) == [first, second, third, fourth] and len(waiting) == 4
    assert waiting.pop() is first
    assert waiting.take() == [second, third, fourth]
    assert not waiting and list(waiting) == []


def test_a_request_is_taken_out_once() -> None:
    one, other = calls(2)
    waiting = Waiting()
    waiting.append(one)
    assert not waiting.remove(other)
    assert one in waiting and other not in waiting
    assert waiting.remove(one)
    assert not waiting.remove(one) and one not in waiting


def test_nothing_is_kept_while_nothing_waits() -> None:
    waiting = Waiting()
    assert waiting._calls is None
    for call in calls(2):
        waiting.append(call)
        waiting.pop()
        assert waiting._calls is None
        waiting.append(call)
        waiting.remove(call)
        assert waiting._calls is None
    waiting.prepend([])
    assert waiting._calls is None
