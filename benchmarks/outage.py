"""A way to a server that can be taken down and up again, in a process of its own.

    python outage.py HOST:PORT

Prints the address to connect to; then does what each line of its standard input says, `down` or `up`, and says `done`.
Ends with its standard input. `Outage` starts one and talks to it.
"""

from __future__ import annotations

import subprocess
import sys


class Outage:
    """The other process; a context manager that ends it."""

    def __init__(self, upstream: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, upstream], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.hosts = self._read()

    def _read(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline().strip()
        if not line:
            raise OSError(f"the way to the server ended with status {self._process.wait()}")
        return line

    def _tell(self, word: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{word}\n")
        self._process.stdin.flush()
        self._read()

    def down(self) -> None:
        """End every connection, and accept none."""
        self._tell("down")

    def up(self) -> None:
        """Accept connections again."""
        self._tell("up")

    def __enter__(self) -> Outage:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


def main() -> None:
    from zk_testing.faults import FaultProxy

    with FaultProxy(sys.argv[1]) as proxy:
        print(proxy.address, flush=True)
        for line in sys.stdin:
            if line.strip() == "down":
                proxy.refuse("not_listening")
                proxy.cut()
            else:
                proxy.heal()
            print("done", flush=True)


if __name__ == "__main__":
    main()
