"""A program that ends: with a client that was not stopped, or that is stopped by what runs at the end.

Each program is a process of its own. It ends by itself, soon, and without a word on standard error.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from zk_testing import EmbeddedServer, Settings

PATIENCE = 20.0
# Longer than an interpreter takes to end on a busy machine, shorter than any wait of the client's own.
SOON = 3.0
NO_GEVENT = pytest.mark.skipif(importlib.util.find_spec("gevent") is None, reason="gevent is not installed")

BEGIN = """
import atexit, sys, threading
from zk_client import Client
zk = Client({hosts!r}, 60.0, runtime={runtime!r})
zk.start()
zk.create("/" + {name!r}, ephemeral=True)
"""

PATCH = "from gevent import monkey\nmonkey.patch_all()\n"
END = "import time\nprint(time.monotonic())\n"

# The client is left as it is; its session expires.
LEFT = {
    "idle": "",
    "with a watch": "zk.exists('/never', watch=print)\n",
    "with requests under way": "calls = [zk.get_async('/') for _ in range(500)]\n",
    "with a callback that runs": (
        "began = threading.Event()\n"
        "zk.get_async('/').add_done_callback(lambda call: (began.set(), threading.Event().wait(60)))\n"
        "began.wait(5)\n"
    ),
    "with a thread that waits for a watch": (
        "watch = zk.watch('/never')\nthreading.Thread(target=lambda: watch.get(), daemon=True).start()\n"
    ),
    "in a callback": "zk.get_async('/').add_done_callback(lambda call: sys.exit(0))\n",
    "after an error": "try:\n    zk.get('/nothing')\nexcept Exception as error:\n    kept = error\n",
    "before it is connected": "away = Client('127.0.0.1:1', 60.0, runtime={runtime!r})\naway.start_async()\n",
    "told of something by then": (
        "zk.create('/' + {name!r} + ' watched')\n"
        "zk.get('/' + {name!r} + ' watched', watch=lambda event: None)\n"
        "atexit.register(lambda: zk.set('/' + {name!r} + ' watched', b''))\n"
    ),
}

# The client is stopped at the very end; nothing of it is left on the server.
STOPPED = {
    "by atexit": "atexit.register(zk.stop)\n",
    "by atexit, with a listener": "zk.add_listener(lambda state: None)\natexit.register(zk.stop)\n",
    "by atexit, with requests under way": "atexit.register(zk.stop)\ncalls = [zk.get_async('/') for _ in range(500)]\n",
    "by a finalizer": (
        "class Owner:\n"
        "    def __init__(self, zk): self.zk = zk\n"
        "    def __del__(self): self.zk.stop()\n"
        "owner = Owner(zk)\ndel zk, owner\n"
    ),
    "by a finalizer in a cycle": (
        "import gc\n"
        "class Owner:\n"
        "    def __init__(self, zk): self.zk, self.me = zk, self\n"
        "    def __del__(self): self.zk.stop()\n"
        "owner = Owner(zk)\ndel zk, owner\ngc.collect()\n"
    ),
    "by a finalizer and atexit": (
        "class Owner:\n"
        "    def __init__(self, zk): self.zk = zk\n"
        "    def __del__(self): self.zk.stop()\n"
        "owner = Owner(zk)\natexit.register(zk.stop)\n"
    ),
    "by a finalizer while the interpreter ends": (
        "class Owner:\n"
        "    def __init__(self, zk): self.zk = zk\n"
        "    def __del__(self): self.zk.stop()\n"
        "owner = Owner(zk)\n"
    ),
    "by a finalizer in a cycle while the interpreter ends": (
        "class Owner:\n"
        "    def __init__(self, zk): self.zk, self.me = zk, self\n"
        "    def __del__(self): self.zk.stop()\n"
        "owner = Owner(zk)\n"
    ),
}


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedServer]:
    with EmbeddedServer(settings=Settings(tick_ms=5000)) as server:
        yield server


def end(server: EmbeddedServer, runtime: str, name: str, program: str) -> None:
    """Run a program to its end."""
    code = PATCH if runtime == "patched" else ""
    code += (BEGIN + program + END).format(
        hosts=server.hosts, runtime=None if runtime == "patched" else runtime, name=name
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE, check=False)
    now = time.monotonic()
    assert ended.stderr == ""
    assert ended.returncode == 0
    assert now - float(ended.stdout) < SOON


def is_gone(server: EmbeddedServer, name: str) -> bool:
    """Wait a little for an ephemeral node to go; the session would live for a minute."""
    never = threading.Event()
    deadline = time.monotonic() + 5
    while server.call(lambda core: name in core.tree.nodes["/"].children):
        if time.monotonic() > deadline:
            return False
        never.wait(0.01)
    return True


WORLDS = ["threads", *(pytest.param(name, marks=NO_GEVENT) for name in ("gevent", "patched"))]


@pytest.mark.parametrize("runtime", WORLDS)
@pytest.mark.parametrize("how", LEFT)
def test_a_program_ends_without_a_word_although_its_client_was_not_stopped(
    server: EmbeddedServer, how: str, runtime: str
) -> None:
    if runtime == "gevent" and how in ("with a callback that runs", "with a thread that waits for a watch"):
        pytest.skip("its threads cannot be those of a greenlet's client")
    end(server, runtime, f"left {how} {runtime}", LEFT[how])


@pytest.mark.parametrize("runtime", WORLDS)
@pytest.mark.parametrize("how", STOPPED)
def test_a_client_may_be_stopped_at_the_very_end_of_a_program(server: EmbeddedServer, how: str, runtime: str) -> None:
    name = f"stopped {how} {runtime}"
    end(server, runtime, name, STOPPED[how])
    assert is_gone(server, name)
