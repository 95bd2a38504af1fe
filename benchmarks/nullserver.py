"""Compile and run the null server (`nullserver.c`), the stand-in that costs almost nothing.

Rule: the program is compiled once per source text into a cache directory, by the machine's C compiler or else by the
`ziglang` package; where neither is there, the benchmark says so and goes on without the null server.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from types import TracebackType

SOURCE = Path(__file__).with_name("nullserver.c")


class NoCompilerError(Exception):
    """Neither a C compiler nor the ziglang package is installed."""


def compilers() -> list[list[str]]:
    """The commands that may compile, in the order to try: $CC, cc, gcc, clang, then ziglang's."""
    found = [[name] for name in (os.environ.get("CC", ""), "cc", "gcc", "clang") if name and shutil.which(name)]
    if importlib.util.find_spec("ziglang") is not None:
        found.append([sys.executable, "-m", "ziglang", "cc"])
    return found


def build() -> Path:
    """Compile the server unless this very source was compiled before; returns the program's path."""
    digest = hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:16]
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "zk-benchmarks"
    program = folder / f"nullserver-{digest}"
    if program.exists():
        return program
    commands = compilers()
    if not commands:
        raise NoCompilerError("the null server needs cc, gcc or clang, or `pip install ziglang`: none was found")
    folder.mkdir(parents=True, exist_ok=True)
    failures = []
    for command in commands:
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            fresh = Path(scratch) / "nullserver"
            done = subprocess.run(
                [*command, "-O2", "-std=gnu11", "-o", str(fresh), str(SOURCE), "-pthread"],
                check=False,
                capture_output=True,
                text=True,
            )
            if done.returncode == 0:
                fresh.replace(program)
                return program
            failures.append(f"{' '.join(command)}: {done.stderr.strip()[-400:]}")
    raise NoCompilerError("the null server did not compile:\n" + "\n".join(failures))


class NullServer:
    """A running null server on a free port of 127.0.0.1; a context manager that ends it.

    pin: the core it is confined to (its threads are made later and inherit it), or None.
    """

    kind = "null"

    def __init__(self) -> None:
        self._process = subprocess.Popen([str(build())], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            raise OSError(f"the null server ended with status {self._process.returncode} before it listened")
        self.host = "127.0.0.1"
        self.port = int(line)
        self.pid = self._process.pid
        self.version = "null"

    def pin(self, core: int | None) -> None:
        """Confine the server to one core, or (None) free it again; connections opened later follow."""
        if hasattr(os, "sched_setaffinity"):
            everywhere = os.sched_getaffinity(os.getpid())
            for task in os.listdir(f"/proc/{self.pid}/task"):
                with suppress(ProcessLookupError):  # a thread may end with its connection meanwhile
                    os.sched_setaffinity(int(task), everywhere if core is None else {core})

    def close(self) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()  # it ends with its stdin, even if we are killed
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def __enter__(self) -> NullServer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()
