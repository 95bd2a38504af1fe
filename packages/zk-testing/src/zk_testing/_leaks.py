"""What a test has left behind: sessions and watches on its servers, threads of ours, descriptors.

    check = LeakCheck([server])
    ...                              # the test, and the end of everything it was given
    check.leaks()                    # ["session 0x1f of 127.0.0.1:40123 (...), which owns /a", ...]

Rule: what was there before is nobody's leak. What ends by itself is waited for, up to a second; nothing is ended here.

Descriptors are sockets, pipes and what waits for them; files are not looked at. They are known on Linux only.
"""

from __future__ import annotations

import gc
import os
import socket
import threading
import time
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, cast

from ._holdings import Held, holdings

if TYPE_CHECKING:
    from ._serving import Server

__all__ = ["KINDS", "LeakCheck", "allowed_kinds"]

KINDS = ("sessions", "watches", "threads", "descriptors")

_PATIENCE = 1.0  # seconds that a session, a thread or a socket may take to end
_PAUSE = 0.005  # seconds between two looks
_THREADS = "zk-"  # how the names of our packages' threads begin
_CALLBACKS = " callbacks"  # how that of a client's dispatcher ends
_DESCRIPTORS = "/proc/self/fd"
_WATCHED = ("socket:", "pipe:", "anon_inode:[event")


def allowed_kinds(names: Sequence[str]) -> frozenset[str]:
    """The kinds of leaks that are allowed: those named, or all of them. Raises ValueError for another word."""
    for name in names:
        if name not in KINDS:
            raise ValueError(f"what may be left behind is any of {', '.join(KINDS)}, not {name!r}")
    return frozenset(names or KINDS)


class LeakCheck:
    """Remembers what is there when it is made.   servers: those to look at; none of them may be paused."""

    def __init__(self, servers: Sequence[Server]) -> None:
        self._servers = servers
        self._holdings = [holdings([server]) for server in servers]
        self._threads = set(threading.enumerate())
        self._descriptors = {number: (target, _describe(number, target)[0]) for number, target in _targets().items()}
        self._lives = list(map(_life, servers))
        self._steps = list(map(_steps, servers))

    def leaks(self, allowed: Collection[str] = (), *, cut_off: bool = False) -> list[str]:
        """What is there now and was not before, one sentence for each; empty when nothing is.

        allowed: kinds that are not looked for.   cut_off: whether the test has cut connections or ended servers (what
        it did to an embedded one is noticed here): a session that nobody is connected to is its doing then, and runs
        out by itself.
        Waits up to a second for what is about to end.
        """
        deadline = time.monotonic() + _PATIENCE
        restarted = self._lives != list(map(_life, self._servers))
        cut_off = cut_off or restarted or self._steps != list(map(_steps, self._servers))
        collected = False
        while found := self._look(allowed, cut_off, restarted):
            now = time.monotonic()
            if now > deadline:
                return found
            if not collected and now > deadline - _PATIENCE / 2:
                collected = True
                gc.collect()  # a socket that nobody holds any more is closed when it is collected
            time.sleep(_PAUSE)
        return []

    def _look(self, allowed: Collection[str], cut_off: bool, restarted: bool) -> list[str]:
        found: list[str] = []
        if not {"sessions", "watches"} <= set(allowed):
            for server, before in zip(self._servers, self._holdings, strict=True):
                found += _held(server.address, before, holdings([server]), allowed, cut_off)
        if "threads" not in allowed:
            found += self._new_threads()
        if "descriptors" not in allowed:
            found += self._new_descriptors(restarted)
        return found

    def _new_threads(self) -> list[str]:
        own = {f"zk-embedded-{server.port}" for server in self._servers}
        wider = any(thread.name.startswith(_THREADS) for thread in self._threads)
        names = {thread.name for thread in set(threading.enumerate()) - self._threads}
        return [
            f"thread {name}"
            for name in sorted(names - own)
            # A client that was there before may have something to tell, and ends that thread by itself.
            if name.startswith(_THREADS) and not (wider and name.endswith(_CALLBACKS))
        ]

    def _new_descriptors(self, restarted: bool) -> list[str]:
        now = _targets()
        new = {number: target for number, target in now.items() if self._descriptors.get(number, ("",))[0] != target}
        if not new:
            return []
        own = {server.address for server in self._servers}  # an embedded server's ends are not the test's
        # A client that was there before may have connected anew: one socket for another with the same server.
        gone = [ends for number, (target, ends) in self._descriptors.items() if now.get(number) != target and ends]
        found: list[str] = []
        for number, target in sorted(new.items()):
            ends, text = _describe(number, target)
            replaced = next((old for old in gone if set(ends) & set(old)), None)
            if replaced is not None:
                gone.remove(replaced)
            elif own.isdisjoint(ends[:1]) and not (restarted and not ends):  # nor is what it wakes its thread with
                found.append(f"descriptor {number}: {text}")
        return found


def _life(server: Server) -> object:
    """What changes when a server ends and runs again."""
    from .embedded import EmbeddedServer
    from .member import ZooKeeperServer

    if isinstance(server, ZooKeeperServer):
        return server.pid
    return server._sockets if isinstance(server, EmbeddedServer) else server._ensemble._sockets


def _steps(server: Server) -> int:
    """How often something was done to an embedded server: a session expired, connections dropped, members cut off."""
    from .embedded import EmbeddedServer
    from .member import ZooKeeperServer

    if isinstance(server, ZooKeeperServer):
        return 0
    return server._steps if isinstance(server, EmbeddedServer) else server._ensemble._steps


def _held(
    address: str, before: dict[int, Held], after: dict[int, Held], allowed: Collection[str], cut_off: bool
) -> Iterable[str]:
    for number, held in sorted(after.items()):
        name = f"session 0x{number & (1 << 64) - 1:x} on {address}"
        if number not in before:
            if "sessions" not in allowed and not (cut_off and held.address is None):
                yield f"{name} ({_origin(held)}){_belongings(held)}"
        elif "watches" not in allowed and (watches := held.watches - before[number].watches):
            yield f"{_list('watch', watches)} of {name}, which was there before the test"


def _origin(held: Held) -> str:
    return "not connected" if held.address is None else f"connected from {held.address}"


def _belongings(held: Held) -> str:
    parts: list[str] = []
    if held.ephemerals:
        parts.append(f"owns {_list('ephemeral node', held.ephemerals)}")
    if held.watches:
        parts.append(f"has {_list('watch', held.watches)}")
    return f", which {' and '.join(parts)}" if parts else ""


def _list(what: str, paths: Collection[str]) -> str:
    plural = what + ("es" if what.endswith("ch") else "s")
    shown = ", ".join(sorted(paths)[:10]) + (", ..." if len(paths) > 10 else "")
    preposition = "on " if what == "watch" else ""
    return (
        f"a{'n' if what[0] in 'aeiou' else ''} {what} {preposition}{shown}"
        if len(paths) == 1
        else (f"{len(paths)} {plural} {preposition}{shown}")
    )


def _targets() -> dict[int, str]:
    """The target of each descriptor of a kind that is watched; empty where the system does not tell."""
    found: dict[int, str] = {}
    try:
        names = os.listdir(_DESCRIPTORS)
    except OSError:
        return found
    for name in names:
        try:
            target = os.readlink(f"{_DESCRIPTORS}/{name}")
        except OSError:  # the one of this listing itself
            continue
        if target.startswith(_WATCHED):
            found[int(name)] = target
    return found


def _describe(number: int, target: str) -> tuple[tuple[str, ...], str]:
    """The addresses of a socket, its own one first (none for other things), and what to call it."""
    if not target.startswith("socket:"):
        return (), target
    try:
        with socket.socket(fileno=os.dup(number)) as copy:
            local = _address(copy.getsockname())
            try:
                peer = _address(copy.getpeername())
            except OSError:
                peer = ""
    except OSError:  # closed meanwhile; the next look shows it
        return (), target
    ends = tuple(end for end in (local, peer) if end)
    return ends, f"socket {' -> '.join(ends)}" if ends else "socket (one of a pair)"


def _address(name: object) -> str:
    """The "host:port" of a socket's name; "" for sockets that have none."""
    if not isinstance(name, tuple):
        return ""
    host, port = cast("tuple[object, ...]", name)[:2]
    return f"{host}:{port}"
