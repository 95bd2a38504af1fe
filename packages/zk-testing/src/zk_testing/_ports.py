"""Hands out free TCP ports on the loopback address, safely under several test processes.

Rule: a port belongs to one holder on this machine until it is given back, even while nothing listens on it: a stopped
server must find its port again.

A port the system picks (bind to 0) is free only until somebody else binds it, and outgoing connections of any program
take ports from the same range. So ports come from below the range of outgoing connections, and each one is held by a
lock on one byte of a file shared by all test processes of this user: a byte-range lock needs no cleaning up, since the
kernel drops it when the process dies. The file itself is empty and stays.
"""

from __future__ import annotations

import fcntl
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
        file = _lock_file()
        # Every process begins elsewhere, so that workers rarely try each other's ports.
        start = os.getpid() * 97 % (top - _LOWEST)
        for offset in range(top - _LOWEST):
            if len(ports) == count:
                break
            port = _LOWEST + (start + offset) % (top - _LOWEST)
            if port in _held or not _lock(file, port):
                continue
            if _is_free(port):
                _held.add(port)
                ports.append(port)
            else:
                fcntl.lockf(file, fcntl.LOCK_UN, 1, port)
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
                if _file is not None and _file_owner == os.getpid():
                    fcntl.lockf(_file, fcntl.LOCK_UN, 1, port)


def _lock_file() -> int:
    global _file, _file_owner
    if _file is None or _file_owner != os.getpid():
        # Never closed: closing any handle of the file in a process drops all its locks on it (POSIX). A forked child
        # owns none of its parent's ports, and opens its own.
        _held.clear()
        path = Path(tempfile.gettempdir()) / f"zk-testing-ports-{os.getuid()}.lock"
        _file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        _file_owner = os.getpid()
    return _file


def _lock(file: int, port: int) -> bool:
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
    except OSError:
        return False
    return True


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
