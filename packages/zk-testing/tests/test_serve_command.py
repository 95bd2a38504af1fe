"""`python -m zk_testing serve`, as a process."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from zk_testing.rawclient import RawClient
from zk_wire import ExistsRequest


@contextmanager
def serving(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The process, and the first line it printed."""
    # A shell's background job ignores Ctrl-C, and so would everything it starts.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "zk_testing", "serve", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
    finally:
        signal.signal(signal.SIGINT, before)
    with process:
        try:
            assert process.stdout is not None
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly(number: signal.Signals) -> None:
    with serving() as (process, hosts):
        with RawClient(hosts) as raw:
            assert raw.request(ExistsRequest("/", False)).stat.num_children == 1
            process.send_signal(number)
            raw.wait_closed()
        assert process.wait(10) == 0
        assert process.stderr is not None and process.stderr.read() == ""


def test_it_serves_the_version_on_the_port_that_are_asked_for() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with serving("--port", str(port), "--version", "3.7.2") as (_, hosts):
        assert hosts == f"127.0.0.1:{port}"
        with socket.create_connection(("127.0.0.1", port), 5) as connection:
            connection.sendall(b"srvr")
            assert connection.makefile().readline().startswith("Zookeeper version: 3.7.2")


@pytest.mark.parametrize("case", ["taken", "no port", "no version"])
def test_what_cannot_be_served_is_one_line_that_says_why(case: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        arguments, reason = {
            "taken": (["--port", str(port)], "ddress already in use"),
            "no port": (["--port", "70000"], "port must be 0-65535"),
            "no version": (["--version", "2.0"], "'2.0'"),
        }[case]
        with serving(*arguments) as (process, line):
            assert process.wait(10) == 2
            assert line == "" and process.stderr is not None
            [said] = process.stderr.read().splitlines()
            assert said.startswith("cannot serve: ") and reason in said
