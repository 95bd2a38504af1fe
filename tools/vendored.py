"""Prove that a copy of `zk_recipes` works under another name.

Rule: standard library only; run as `python vendored.py <folder>`, where the folder holds `toyapp/_vendor/zk_recipes`
and `tests/`, in an environment that has `zk_client` and not `zk_recipes`.

Imports the copy, checks that its lock is the copy's own and that it stands on the installed client, and rewrites the
imports of the tests so that they test the copy.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
from pathlib import Path

OLD_NAME = "zk_recipes"
NEW_NAME = f"toyapp._vendor.{OLD_NAME}"

_OLD_IMPORT = re.compile(rf"\b{OLD_NAME}\b")


def rewrite(source: str) -> str:
    """The test file's text with every use of the old import name replaced by the new one."""
    return _OLD_IMPORT.sub(NEW_NAME, source)


def prove(folder: Path) -> None:
    """Import the copy and look at its lock. Raises ImportError when anything comes from the wrong place."""
    if importlib.util.find_spec(OLD_NAME) is not None:
        message = f"`{OLD_NAME}` is importable: a test of its copy would prove nothing"
        raise ImportError(message)
    sys.path.insert(0, str(folder))
    copy = importlib.import_module(NEW_NAME)
    for face in (copy.Lock, copy.AsyncLock):
        if not face.__module__.startswith(f"{NEW_NAME}."):
            message = f"`{face.__qualname__}` is from {face.__module__}, expected a module of {NEW_NAME}"
            raise ImportError(message)
    if OLD_NAME in sys.modules:
        message = f"importing {NEW_NAME} brought in `{OLD_NAME}`"
        raise ImportError(message)


def main(arguments: list[str]) -> int:
    folder = Path(arguments[0])
    prove(folder)
    for path in sorted((folder / "tests").rglob("*.py")):
        path.write_text(rewrite(path.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
