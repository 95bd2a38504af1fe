"""Quotas on the embedded server."""

from __future__ import annotations

import pytest
from embedded_client import ALL_VERSIONS, OPEN, one
from hypothesis import given
from hypothesis import strategies as st

from zk_testing.embedded.quotas import Usage
from zk_wire import (
    CreateRequest,
    CreateResult,
    ErrorResult,
    GetDataRequest,
    MultiRequest,
    SetDataRequest,
)


def test_the_usage_of_a_quota_is_counted_with_its_root_and_in_silence() -> None:
    me = one()
    me.create("/q", b"12345")
    me.create("/q/a", b"1")
    me.create("/qt", b"not counted")
    for path in ("/zookeeper/quota/q", "/zookeeper/quota/q/zookeeper_limits"):
        me.create(path, b"count=1,bytes=1")
    stats = "/zookeeper/quota/q/zookeeper_stats"
    me.create(stats, b"whatever")
    assert me.ask(GetDataRequest(stats, True)).data == b"count=2,bytes=6"
    me.create("/q/b", b"22")
    me.set("/q/a", b"")
    me.create("/qt/x", b"12")
    assert me.heard() == []
    reply = me.ask(GetDataRequest(stats, False))
    assert (reply.data, reply.stat.version) == (b"count=3,bytes=7", 0)


@pytest.mark.parametrize("version", ALL_VERSIONS)
def test_hard_limits_refuse_since_3_7_when_enforced(version: str) -> None:
    me = one(version, enforce_quotas=True)
    me.create("/q")
    me.create("/zookeeper/quota/q")
    me.create("/zookeeper/quota/q/zookeeper_limits", b"count=-1,bytes=-1=;byteHardLimit=5;countHardLimit=2")
    me.create("/zookeeper/quota/q/zookeeper_stats")
    expected = 0 if version == "3.6" else -125
    assert me.code(CreateRequest("/q/a", b"123456", OPEN, 0)) == expected
    assert me.code(SetDataRequest("/q", b"123456", -1)) == expected
    if expected:
        me.create("/q/a", b"12345")
        assert me.code(CreateRequest("/q/b", b"", OPEN, 0)) == -125
        assert me.code(SetDataRequest("/q/a", b"", -1)) == 0
        results = me.ask(MultiRequest([CreateRequest("/q/b", b"", OPEN, 0)])).results
        assert results == [ErrorResult(-125)]


def test_a_multi_can_overshoot_a_quota() -> None:
    me = one(enforce_quotas=True)
    me.create("/q")
    me.create("/zookeeper/quota/q")
    me.create("/zookeeper/quota/q/zookeeper_limits", b"count=-1,bytes=-1=;byteHardLimit=-1;countHardLimit=2")
    me.create("/zookeeper/quota/q/zookeeper_stats")
    results = me.ask(MultiRequest([CreateRequest(f"/q/{n}", b"", OPEN, 0) for n in range(3)])).results
    assert [type(result) for result in results] == [CreateResult] * 3


@given(*[st.integers(-1, 2**40)] * 4)
def test_a_usage_survives_its_text(nodes: int, size: int, hard_nodes: int, hard_size: int) -> None:
    usage = Usage(nodes, size, hard_nodes, hard_size)
    assert Usage.parse(usage.encode()) == usage
