"""Prove that a copy of `zk_recipes` works under another name.

Rule: standard library only; run as `python vendored.py <folder> [<other>...]`, where the folder holds `tests/` and
`toyapp/_vendor/zk_recipes`, and beside it the other packages that were copied as well (`zk_client`, ...), in an
environment in which none of the copied packages is installed.

Imports the copy, checks that its lock is the copy's own and that nothing comes from elsewhere, and rewrites the imports
of the tests so that they test the copy.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
from collections.abc import Sequence
from pathlib import Path

OLD_NAME = "zk_recipes"
VENDOR = "toyapp._vendor"
NEW_NAME = f"{VENDOR}.{OLD_NAME}"

_OLD_IMPORT = re.compile(rf"\b{OLD_NAME}\b")


def rewrite(source: str, others: Sequence[str] = ()) -> str:
    """The test file's text with every use of the old import name replaced, and every import of the others."""
    source = _OLD_IMPORT.sub(NEW_NAME, source)
    for name in others:
        # A word like `zk_client` may also be a fixture's name: only what is imported moves.
        source = re.sub(rf"(?m)^(\s*(?:from|import)\s+)({name})\b", rf"\1{VENDOR}.\2", source)
    return source


def prove(folder: Path, others: Sequence[str] = ()) -> None:
    """Import the copy and look at its lock. Raises ImportError when anything comes from the wrong place."""
    for name in (OLD_NAME, *others):
        if importlib.util.find_spec(name) is not None:
            message = f"`{name}` is importable: a test of its copy would prove nothing"
            raise ImportError(message)
    sys.path.insert(0, str(folder))
    copy = importlib.import_module(NEW_NAME)
    for face in (copy.Lock, copy.AsyncLock):
        if not face.__module__.startswith(f"{NEW_NAME}."):
            message = f"`{face.__qualname__}` is from {face.__module__}, expected a module of {NEW_NAME}"
            raise ImportError(message)
    for name in (OLD_NAME, *others):
        if name in sys.modules:
            message = f"importing {NEW_NAME} brought in `{name}`"
            raise ImportError(message)


def main(arguments: list[str]) -> int:
    folder, others = Path(arguments[0]), arguments[1:]
    prove(folder, others)
    for path in sorted((folder / "tests").rglob("*.py")):
        path.write_text(rewrite(path.read_text(encoding="utf-8"), others), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
