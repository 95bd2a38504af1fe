"""Hands out free TCP ports on the loopback address, safely under several test processes.

Rule: a port belongs to one holder on this machine until it is given back, even while nothing listens on it: a stopped
server must find its port again.

A port the system picks (bind to 0) is free only until somebody else binds it, and outgoing connections of any program
take ports from the same range. So ports come from below the range of outgoing connections, and each one is held by a
lock on one byte of a file shared by all test processes of this user: a byte-range lock needs no cleaning up, since the
kernel drops it when the process dies. The file itself is empty and stays. Where the system has no such locks (Windows),
ports are safe within one process only.
"""

from __future__ import annotations

import os
import socket
import tempfile
import threading
from pathlib import Path

__all__ = ["release_ports", "reserve_ports"]

_LOWEST = 12_000
_FALLBACK_TOP = 32_000

_mutex = threading.Lock()
_held: set[int] = set()
_file: int | None = None
_file_owner = 0


def reserve_ports(count: int) -> list[int]:
    """Reserve `count` ports that nobody listens on; give them back with `release_ports`.

    Raises OSError when there are not enough.
    """
    top = _first_outgoing_port()
    ports: list[int] = []
    with _mutex:
        _open_lock_file()
        # Every process begins elsewhere, so that workers rarely try each other's ports.
        start = os.getpid() * 97 % (top - _LOWEST)
        for offset in range(top - _LOWEST):
            if len(ports) == count:
                break
            port = _LOWEST + (start + offset) % (top - _LOWEST)
            if port in _held or not _lock(port):
                continue
            if _is_free(port):
                _held.add(port)
                ports.append(port)
            else:
                _unlock(port)
    if len(ports) < count:
        release_ports(ports)
        raise OSError(f"no {count} free TCP ports between {_LOWEST} and {top}: found {len(ports)}")
    return ports


def release_ports(ports: list[int]) -> None:
    """Give ports back; unknown ones are ignored."""
    with _mutex:
        for port in ports:
            if port in _held:
                _held.discard(port)
                _unlock(port)


def _open_lock_file() -> None:
    global _file, _file_owner
    if _file is not None and _file_owner == os.getpid():
        return
    # Never closed: closing any handle of the file in a process drops all its locks on it (POSIX). A forked child
    # owns none of its parent's ports, and opens its own.
    _held.clear()
    _file_owner = os.getpid()
    user = os.getuid() if hasattr(os, "getuid") else os.environ.get("USERNAME", "")
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)
    _file = os.open(Path(tempfile.gettempdir()) / f"zk-testing-ports-{user}.lock", flags, 0o600)


def _lock(port: int) -> bool:
    try:
        import fcntl
    except ImportError:
        return True
    if _file is None:
        raise AssertionError("the file is opened before anything in it is locked")
    try:
        fcntl.lockf(_file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
    except OSError:
        return False
    return True


def _unlock(port: int) -> None:
    try:
        import fcntl
    except ImportError:
        return
    if _file is not None and _file_owner == os.getpid():
        fcntl.lockf(_file, fcntl.LOCK_UN, 1, port)


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
            probe.listen(1)  # with SO_REUSEADDR a bind alone succeeds beside another one
        except OSError:
            return False
    return True


def _first_outgoing_port() -> int:
    try:
        low = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return _FALLBACK_TOP
    return low if low >= _LOWEST + 1_000 else _FALLBACK_TOP
