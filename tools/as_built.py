"""Whether what is installed from dist/ is what was built: every file of each installed wheel, byte for byte.

Rule: standard library only, and run by itself as `python -I as_built.py dist`, in the environment that is looked at.
An installer with a cache may take the wheel of an earlier build, because both have one name and one version.
"""

from __future__ import annotations

import sys
import zipfile
from importlib.metadata import Distribution, PackageNotFoundError, distribution  # noqa: TID251 - never vendored
from pathlib import Path


def differences(folder: Path) -> list[str]:
    """What the wheels of *folder* that are installed have otherwise: ``name: path`` for each file; none for equal ones.

    Raises ValueError where no wheel of the folder is installed: then nothing was compared.
    """
    compared = 0
    different: list[str] = []
    for wheel in sorted(folder.glob("*.whl")):
        name, version, *_ = wheel.name.split("-")
        try:
            installed = distribution(name)
        except PackageNotFoundError:
            continue
        compared += 1
        if installed.version != version:
            different.append(f"{name}: version {installed.version} is installed, {version} was built")
        else:
            different += [f"{name}: {path}" for path in _different_files(wheel, installed)]
    if not compared:
        message = f"no wheel of {folder} is installed, expected one or more"
        raise ValueError(message)
    return different


def _different_files(wheel: Path, installed: Distribution) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        # The installer writes its own record of what it has installed.
        names = [name for name in archive.namelist() if not name.endswith((".dist-info/RECORD", "/"))]
        return [name for name in names if _read(installed, name) != archive.read(name)]


def _read(installed: Distribution, name: str) -> bytes | None:
    path = Path(str(installed.locate_file(name)))
    return path.read_bytes() if path.is_file() else None


def main(arguments: list[str]) -> int:
    (folder,) = arguments
    different = differences(Path(folder))
    for line in different:
        print(f"installed otherwise than built: {line}", file=sys.stderr)
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
