"""The searches by simulation: which tests they are, and how many schedules are asked of them.

Rule: a search is known by where it asks how many schedules it has to try, so that none has to be listed anywhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from .workspace import Package

# What asks for the number of schedules, by the name of the module that tells it.
ASKS = "from schedules import"
SCHEDULES = 100_000


class Chosen(NamedTuple):
    """What is to be run: how many schedules of each search, and the test files by package."""

    schedules: int
    files: dict[Package, list[Path]]


def choose(arguments: Sequence[str], packages: Iterable[Package]) -> Chosen:
    """From the arguments of a command: a number of schedules, and names of test files; all files where none is named.

    Raises ValueError for a name that is no search's.
    """
    numbers = [int(argument) for argument in arguments if argument.isdigit()]
    names = {Path(argument).name for argument in arguments if not argument.isdigit()}
    every = {package: find(package) for package in packages}
    known = {path.name for paths in every.values() for path in paths}
    if unknown := sorted(names - known):
        message = f"no search is in {', '.join(unknown)}: expected of {', '.join(sorted(known))}"
        raise ValueError(message)
    files = {
        package: chosen
        for package, paths in every.items()
        if (chosen := [path for path in paths if not names or path.name in names])
    }
    return Chosen(numbers[-1] if numbers else SCHEDULES, files)


def find(package: Package) -> list[Path]:
    """The test files of a package that hold a search, in order of their names."""
    return [
        path
        for path in sorted((package.folder / "tests").glob("test_*.py"))
        if ASKS in path.read_text(encoding="utf-8")
    ]
