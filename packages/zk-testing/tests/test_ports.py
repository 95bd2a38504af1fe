"""Ports that belong to one holder on this machine."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest

from zk_testing import _ports
from zk_testing._ports import release_ports, reserve_ports


def first_ports_of_another_process(start: int, count: int) -> list[int]:
    """What another process gets that begins to look where this one found its ports."""
    program = (
        "import os; from zk_testing import _ports\n"
        f"_ports._LOWEST = {start}; _ports._first_outgoing_port = lambda: {start + 100}\n"
        "os.getpid = lambda: 0\n"
        f"print(_ports.reserve_ports({count}))"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=30)
    return [int(word) for word in run.stdout.strip(" []\n").split(",")]


def test_a_reserved_port_is_given_to_nobody_else_though_nothing_listens() -> None:
    ports = reserve_ports(3)
    try:
        more = reserve_ports(3)
        release_ports(more)
        assert not set(ports) & set(more)
        others = first_ports_of_another_process(min(ports), 5)
        assert not set(ports) & set(others)
    finally:
        release_ports(ports)


def test_a_port_given_back_is_free_for_others() -> None:
    ports = reserve_ports(1)
    release_ports(ports)
    release_ports(ports)
    assert first_ports_of_another_process(ports[0], 1) == ports


def test_a_port_somebody_listens_on_is_passed_over() -> None:
    (port,) = reserve_ports(1)
    release_ports([port])
    with socket.create_server(("127.0.0.1", port)):
        (other,) = reserve_ports(1)
        release_ports([other])
    assert other != port


def test_reserved_ports_are_outside_the_range_of_outgoing_connections() -> None:
    ports = reserve_ports(10)
    release_ports(ports)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        automatic = listener.getsockname()[1]
    assert max(ports) < _ports._first_outgoing_port() <= automatic


def test_too_many_are_refused_and_none_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_ports, "_first_outgoing_port", lambda: _ports._LOWEST + 20)
    with pytest.raises(OSError, match="no 30 free TCP ports"):
        reserve_ports(30)
    ports = reserve_ports(5)
    assert len(set(ports)) == 5
    release_ports(ports)
