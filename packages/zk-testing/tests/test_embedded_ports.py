"""An embedded ensemble listens where it is told."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from zk_testing import EmbeddedEnsemble
from zk_testing._ports import release_ports, reserve_ports
from zk_testing.rawclient import RawClient
from zk_wire import ExistsRequest


@pytest.fixture
def ports() -> Iterator[list[int]]:
    """Three that nobody else takes."""
    reserved = reserve_ports(3)
    yield reserved
    release_ports(reserved)


def test_each_member_listens_on_its_port_and_is_known_by_it_before_the_start(ports: list[int]) -> None:
    ensemble = EmbeddedEnsemble(3, ports=ports)
    assert ensemble.hosts == ",".join(f"127.0.0.1:{port}" for port in ports)
    with ensemble:
        assert [member.port for member in ensemble] == ports
        with RawClient(f"127.0.0.1:{ports[1]}") as raw:
            assert raw.request(ExistsRequest("/", False)).stat.num_children == 1


def test_ports_are_one_for_each_member_or_none() -> None:
    with pytest.raises(ValueError, match=r"ports has one for each of 3 members, or none, not \[2181\]"):
        EmbeddedEnsemble(3, ports=[2181])
