"""The command line: `python -m zk_testing serve [--port 2181] [--version 3.9]`, and `check` for histories.

Rule of `check`: `history/command.py` says it. Of `serve`: prints one line when it serves, the connection string, and
serves until it is interrupted (Ctrl-C) or told to end (SIGTERM); both are a clean end, with exit code 0. What cannot be
served is one line on stderr, with exit code 2.

A server that is started again has lost its data. Its zxids are above those of the one before all the same: a client
that knew that one then finds its session expired, which it can handle; a server behind what it has seen would refuse
it for ever.
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress

from .embedded import EmbeddedServer, Settings
from .history import command

__all__ = ["main"]

_WAIT = 1.0  # seconds after which Ctrl-C is heard on Windows


def main(arguments: Sequence[str] | None = None, *, until: threading.Event | None = None) -> int:
    """Run a command; return its exit code. `serve` ends when it is interrupted, or when an event is set."""
    parser = argparse.ArgumentParser(prog="python -m zk_testing", description="ZooKeeper for tests.")
    commands = parser.add_subparsers(dest="command", required=True)
    serve = commands.add_parser("serve", help="serve an embedded ZooKeeper, without Java, data in memory")
    serve.add_argument("--port", type=int, default=0, help="the port to listen on (default: any free one)")
    serve.add_argument("--host", default="127.0.0.1", help="the address to listen on (default: %(default)s)")
    serve.add_argument("--version", default="3.9", help='whose behaviour, as "3.8" or "3.8.4" (default: %(default)s)')
    serve.add_argument("--tick", type=int, default=200, metavar="MS", help="tickTime in ms (default: %(default)s)")
    check = commands.add_parser("check", help="check recorded histories: could a correct service have done this?")
    command.add_arguments(check)
    options = parser.parse_args(arguments)
    if options.command == "check":
        return command.run(options)
    return _serve(options, until)


def _serve(options: argparse.Namespace, until: threading.Event | None) -> int:
    try:
        settings = Settings(version=options.version, tick_ms=options.tick, first_zxid=_first_zxid())
        server = EmbeddedServer(port=options.port, host=options.host, settings=settings)
        server.start()
    except (OSError, OverflowError, ValueError) as error:
        print(f"cannot serve: {error}", file=sys.stderr)
        return 2
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends it as Ctrl-C does
    with server, suppress(KeyboardInterrupt):
        print(server.hosts, flush=True)
        end = until or threading.Event()
        while not end.wait(_WAIT):
            pass
    return 0


def _first_zxid() -> int:
    """More than any server has reached that was started here before: the time, with room for 2**20 changes each ms."""
    return time.time_ns() // 1_000_000 << 20


if __name__ == "__main__":
    sys.exit(main())
