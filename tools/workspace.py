"""The packages of this repository, read from their own `pyproject.toml` files.

Rule: standard library only, so that the noxfile can import it in any environment that has nox.
The order is always from the bottom up: a package comes after everything of ours that it depends on.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FRAGMENT_TYPES = ("added", "changed", "deprecated", "removed", "fixed", "security")

_VERSION_LINE = re.compile(r'^__version__ = "(?P<version>[^"]+)"$', re.MULTILINE)
_REQUIREMENT_NAME = re.compile(r"[A-Za-z0-9._-]+")


@dataclass(frozen=True)
class Package:
    """One distribution: its folder, and what its `pyproject.toml` says."""

    name: str
    folder: Path
    requirements: tuple[str, ...]

    @property
    def module(self) -> str:
        return self.name.replace("-", "_")

    @property
    def source(self) -> Path:
        return self.folder / "src" / self.module

    @property
    def fragments(self) -> Path:
        return self.folder / "changelog.d"

    @property
    def version_file(self) -> Path:
        return self.source / "_version.py"

    @property
    def version(self) -> str:
        """The version as written. Raises ValueError when `_version.py` has no plain assignment."""
        found = _VERSION_LINE.search(self.version_file.read_text(encoding="utf-8"))
        if found is None:
            message = f'{self.version_file}: expected one line `__version__ = "..."`, found none'
            raise ValueError(message)
        return found["version"]

    @property
    def required_names(self) -> tuple[str, ...]:
        return tuple(requirement_name(requirement) for requirement in self.requirements)


def requirement_name(requirement: str) -> str:
    """The distribution's name at the head of a requirement such as `zk-wire~=0.1.0`."""
    found = _REQUIREMENT_NAME.match(requirement)
    if found is None:
        message = f"requirement `{requirement}` does not begin with a name"
        raise ValueError(message)
    return found[0]


def read_packages(root: Path = ROOT) -> list[Package]:
    """Every package below `root/packages`, from the bottom of the dependency order up.

    Raises ValueError when the packages depend on each other in a circle.
    """
    found = [_read_package(path.parent) for path in sorted(root.glob("packages/*/pyproject.toml"))]
    ours = {package.name for package in found}
    ordered: list[Package] = []
    waiting = found
    while waiting:
        placed = {package.name for package in ordered}
        ready = [package for package in waiting if ours & set(package.required_names) <= placed]
        if not ready:
            message = f"packages depend on each other in a circle: {', '.join(package.name for package in waiting)}"
            raise ValueError(message)
        ordered += ready
        waiting = [package for package in waiting if package not in ready]
    return ordered


def with_requirements(names: list[str], packages: list[Package]) -> list[Package]:
    """The named packages and all of ours that they need, from the bottom up."""
    by_name = {package.name: package for package in packages}
    wanted: set[str] = set()
    to_visit = list(names)
    while to_visit:
        name = to_visit.pop()
        if name in by_name and name not in wanted:
            wanted.add(name)
            to_visit += by_name[name].required_names
    return [package for package in packages if package.name in wanted]


def _read_package(folder: Path) -> Package:
    with (folder / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)["project"]
    return Package(project["name"], folder, tuple(project.get("dependencies", ())))
