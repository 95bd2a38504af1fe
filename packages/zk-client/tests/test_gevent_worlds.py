"""Patched processes: the client lives on greenlets there, nothing halts the hub, and what cannot work is refused."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("gevent")

from hubbeats import SCENES, MakeClient, heartbeat

from zk_client import Client
from zk_testing import EmbeddedServer

# A halt would last as long as the scene's own waits, a second; a busy machine may well take a tenth of one.
LONGEST = 0.5

USE = """
with Client(HOSTS) as zk:
    assert zk.runtime.name == "gevent", zk.runtime.name
    assert zk.exists("/") is not None
"""
REFUSED = """
try:
    Client(HOSTS).start()
except ConfigurationError as error:
    print(error)
else:
    raise AssertionError("not refused")
"""


def run(program: str, *arguments: str) -> str:
    """Run a program text in a process of its own; its output."""
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def in_process(patch: str, body: str, hosts: str = "127.0.0.1:1") -> str:
    head = f"{patch}\nfrom zk_client import Client, ConfigurationError, GeventRuntime\nHOSTS = {hosts!r}\n"
    return run(head + body)


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
def test_nothing_halts_the_hub_where_nothing_is_patched(scene: Callable[[MakeClient], Any]) -> None:
    with heartbeat() as heart:
        scene(partial(Client, runtime="gevent"))
    assert heart.beats > 10
    assert heart.longest < LONGEST


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
def test_nothing_halts_the_hub_where_everything_is_patched(scene: Callable[[MakeClient], Any]) -> None:
    program = Path(__file__).with_name("hubbeats.py")
    done = subprocess.run(
        [sys.executable, str(program), scene.__name__], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    longest, beats = done.stdout.split()
    assert int(beats) > 10
    assert float(longest) < LONGEST


@pytest.mark.parametrize(
    "patch",
    [
        "from gevent import monkey; monkey.patch_all()",
        "from gevent import monkey; monkey.patch_thread()",
        "from gevent import monkey; monkey.patch_all(socket=False, select=False)",
        "import zk_client; from gevent import monkey; monkey.patch_all()",
        "import zk_client; zk_client.Client(); from gevent import monkey; monkey.patch_all()",
    ],
)
def test_where_threads_are_greenlets_so_is_the_client(patch: str) -> None:
    with EmbeddedServer() as server:
        in_process(patch, USE, server.hosts)


@pytest.mark.parametrize(
    "patch",
    [
        "import gevent",
        "from gevent import monkey; monkey.patch_socket()",
        "from gevent import monkey; monkey.patch_all(thread=False)",
        "from gevent import monkey; monkey.patch_all()",
    ],
)
def test_a_client_on_greenlets_can_be_asked_for_in_any_state(patch: str) -> None:
    with EmbeddedServer() as server:
        in_process(patch, USE.replace("Client(HOSTS)", 'Client(HOSTS, runtime="gevent")'), server.hosts)


@pytest.mark.parametrize(
    "patch",
    [
        "import gevent",
        "from gevent import monkey; monkey.patch_select()",
        "from gevent import monkey; monkey.patch_all(thread=False, socket=False)",
    ],
)
def test_threads_that_gevent_does_not_concern_are_left_alone(patch: str) -> None:
    with EmbeddedServer() as server:
        in_process(patch, USE.replace('"gevent"', '"threading"'), server.hosts)


@pytest.mark.parametrize(
    "patch", ["monkey.patch_socket()", "monkey.patch_all(thread=False)", "monkey.patch_socket(); monkey.patch_select()"]
)
def test_sockets_of_greenlets_under_native_threads_are_refused_with_the_remedy(patch: str) -> None:
    told = in_process(f"from gevent import monkey; {patch}", REFUSED)
    assert "patched `socket` but not `threading`" in told
    assert 'runtime="gevent"' in told


def test_a_client_made_before_its_process_was_patched_is_refused_when_it_starts() -> None:
    told = in_process(
        "import zk_client; zk = zk_client.Client(); from gevent import monkey; monkey.patch_all()",
        REFUSED.replace("Client(HOSTS)", "zk"),
    )
    assert "call gevent.monkey.patch_all() before anything makes a client" in told


def test_without_gevent_its_runtime_says_what_to_install() -> None:
    told = in_process('import sys; sys.modules["gevent"] = None', REFUSED.replace("HOSTS", 'HOSTS, runtime="gevent"'))
    assert "zk-client[gevent]" in told


def test_a_runtime_of_no_such_name_is_refused() -> None:
    assert "not 'eventlet'" in in_process("", REFUSED.replace("HOSTS", 'HOSTS, runtime="eventlet"'))


def test_a_client_is_refused_to_the_hub_of_another_thread_before_anything_is_sent() -> None:
    program = """
import threading
with Client(HOSTS, runtime="gevent") as zk:
    before = zk.last_zxid
    told = []
    def use():
        for action in (lambda: zk.create("/other"), lambda: zk.create_async("/other"), zk.stop, zk.start):
            try:
                action()
            except ConfigurationError as error:
                told.append(str(error))
    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    assert len(told) == 4, told
    assert all("hub of another thread" in one for one in told)
    assert zk.exists("/other") is None
"""
    with EmbeddedServer() as server:
        in_process("import gevent", program, server.hosts)


def test_a_forked_child_gets_a_session_of_its_own_and_the_parent_notices_nothing() -> None:
    program = """
import os
from zk_client import SessionClosedError
zk = Client(HOSTS, runtime="gevent")
zk.start()
session = zk.session_id
child = os.fork()
if not child:
    status = 1
    try:
        try:
            zk.exists("/")
        except SessionClosedError as error:
            assert "before the fork" in str(error)
            zk.start(10)
            assert zk.session_id != session
            assert zk.exists("/") is not None
            zk.stop()
            status = 0
    finally:
        os._exit(status)
assert os.waitpid(child, 0)[1] == 0
assert zk.exists("/") is not None
assert zk.session_id == session
zk.stop()
"""
    with EmbeddedServer() as server:
        in_process("import gevent", program, server.hosts)
