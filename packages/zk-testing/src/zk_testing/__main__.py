"""The command line: `python -m zk_testing serve [--port 2181] [--version 3.9]`.

Rule: prints one line when it serves, the connection string, and serves until it is interrupted.
"""

from __future__ import annotations

import argparse
import sys
import threading
from collections.abc import Sequence

from .embedded import EmbeddedServer

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None, *, until: threading.Event | None = None) -> int:
    """Serve until interrupted (or until an event is set); return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m zk_testing", description="ZooKeeper for tests.")
    commands = parser.add_subparsers(dest="command", required=True)
    serve = commands.add_parser("serve", help="serve an embedded ZooKeeper, without Java, data in memory")
    serve.add_argument("--port", type=int, default=0, help="the port to listen on (default: any free one)")
    serve.add_argument("--host", default="127.0.0.1", help="the address to listen on (default: %(default)s)")
    serve.add_argument("--version", default="3.9", help='whose behaviour, as "3.8" or "3.8.4" (default: %(default)s)')
    serve.add_argument("--tick", type=int, default=200, metavar="MS", help="tickTime in ms (default: %(default)s)")
    options = parser.parse_args(arguments)
    try:
        server = EmbeddedServer(version=options.version, port=options.port, host=options.host, tick_ms=options.tick)
        server.start()
    except (OSError, ValueError) as error:
        print(f"cannot serve: {error}", file=sys.stderr)
        return 2
    with server:
        print(server.hosts, flush=True)
        try:
            (until or threading.Event()).wait()
        except KeyboardInterrupt:
            pass
    return 0


if __name__ == "__main__":
    sys.exit(main())
