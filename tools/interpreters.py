"""The Python interpreters of this machine, for tests on each of them.

Rule: an interpreter counts only after it has started and said its version; a pyenv shim whose version is not
selected is on PATH under the right name and still cannot run.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path


def running_version() -> str:
    """Major and minor version of the interpreter that runs this, such as `3.12`."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def find(version: str, candidates: Iterable[Path] | None = None) -> Path | None:
    """The first interpreter of the given version (such as `3.12`) that really runs, or None."""
    for candidate in _candidates(version) if candidates is None else candidates:
        if _says(candidate) == version:
            return candidate
    return None


def put_on_path(versions: Iterable[str]) -> list[str]:
    """Make `python3.x` of every version found here the first of its name on PATH; returns the versions not found.

    Changes this process's environment, which is where nox and virtualenv look.
    """
    missing: list[str] = []
    folders: list[str] = []
    for version in versions:
        found = find(version)
        if found is None:
            missing.append(version)
        else:
            folders.append(str(found.parent))
    os.environ["PATH"] = os.pathsep.join([*dict.fromkeys(folders), os.environ.get("PATH", os.defpath)])
    return missing


def _candidates(version: str) -> Iterator[Path]:
    name = f"python{version}"
    # The base interpreter, not the virtual environment's copy of it.
    yield Path(sys.base_prefix) / "bin" / name
    for folder in os.environ.get("PATH", os.defpath).split(os.pathsep):
        yield Path(folder) / name
    yield from sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/{name}"), reverse=True)


def _says(executable: Path) -> str | None:
    if not executable.is_file():
        return None
    ask = "import sys; print('%d.%d' % sys.version_info[:2])"
    try:
        answer = subprocess.run([executable, "-c", ask], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip()
