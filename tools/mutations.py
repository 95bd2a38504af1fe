"""The check of the searches: deliberate faults, one at a time, each of which a search by simulation must find.

Rule: the sources in the tree are never touched. A fault is put into a copy of its package, whose folder comes first on
the path of the interpreter that runs the search; that interpreter makes sure, before any test, that the copy is what it
imports. So a fault that only breaks the import is no catch, and neither is one that no test was run for.

Run as `python -m tools.mutations [--schedules N] [name ...]` where the packages are installed from the tree. It first
runs every search on the sources as they are, prints a line for each fault, and exits with 1 when one survives.
The faults are in `deliberate_faults`.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]

# Seeds per search: enough for every fault of the list, and a few seconds for each.
SCHEDULES = 150
# Seconds after which a search stands still. That is no catch: nobody would know what for.
LONGEST = 240.0

# What the interpreter of a search exits with when it would not test the copy. pytest's own codes end at 5.
_NOT_THE_COPY = 99
_RUN = f"""
import importlib, sys
from pathlib import Path
module, folder, *arguments = sys.argv[1:]
try:
    found = importlib.import_module(module).__file__
except Exception as error:
    print(f"{{module}} cannot be imported: {{error!r}}")
    sys.exit({_NOT_THE_COPY})
if not Path(found).resolve().is_relative_to(Path(folder).resolve()):
    print(f"{{module}} was imported from {{found}}, expected from below {{folder}}")
    sys.exit({_NOT_THE_COPY})
import pytest
sys.exit(pytest.main(arguments))
"""
_FAILED = re.compile(r"^FAILED \S*?(test_\w+\.py::[^\s\[]+)", re.MULTILINE)


class Mutation(NamedTuple):
    """One deliberate fault.

    path: the file, from the root.   old: a piece of it that occurs once.   new: what stands there instead.
    fault: what is wrong then.   tests: the files, or tests in them (`file::name`), that must fail; by simulation.
    """

    name: str
    path: str
    old: str
    new: str
    fault: str
    tests: tuple[str, ...]

    @property
    def package(self) -> Path:
        """The folder of the import package the file is in, from the root."""
        parts = Path(self.path).parts
        return Path(*parts[: parts.index("src") + 2])

    @property
    def module(self) -> str:
        """The import name of the file."""
        parts = Path(self.path).with_suffix("").parts
        parts = parts[parts.index("src") + 1 :]
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


class Verdict(NamedTuple):
    """What became of a mutation.   by: the first test that failed; "" where none did.   said: the end of the output."""

    caught: bool
    by: str
    seconds: float
    said: str


class MisfitError(Exception):
    """A mutation does not fit the sources any more: it has to be looked at."""


def mutated(mutation: Mutation, root: Path = ROOT) -> str:
    """The file's text with the fault in it. Raises MisfitError when it does not fit."""
    text = (root / mutation.path).read_text(encoding="utf-8")
    count = text.count(mutation.old)
    if count != 1:
        message = f"{mutation.name}: its text occurs {count} times in {mutation.path}, expected once"
        raise MisfitError(message)
    changed = text.replace(mutation.old, mutation.new)
    try:
        compile(changed, mutation.path, "exec")
    except SyntaxError as error:
        message = f"{mutation.name}: {mutation.path} does not compile: {error}"
        raise MisfitError(message) from error
    return changed


def attempt(mutation: Mutation, schedules: int, root: Path = ROOT, longest: float = LONGEST) -> Verdict:
    """Run the searches on a copy with the fault. Raises MisfitError when it does not fit, or is not what was tested."""
    text = mutated(mutation, root)
    with tempfile.TemporaryDirectory(prefix="mutation-") as folder:
        copy = Path(folder) / mutation.package.name
        shutil.copytree(root / mutation.package, copy, ignore=shutil.ignore_patterns("__pycache__"))
        (copy / Path(mutation.path).relative_to(mutation.package)).write_text(text, encoding="utf-8")
        verdict, code = _search(mutation.module, Path(folder), mutation.tests, schedules, root, longest)
    if code not in (0, 1):
        message = f"{mutation.name}: the search ended with {code}, which is neither passed nor failed:\n{verdict.said}"
        raise MisfitError(message)
    return verdict


def run_unmutated(mutations: Sequence[Mutation], schedules: int, root: Path = ROOT, longest: float = LONGEST) -> str:
    """Run the searches of all on the sources as they are; "" when they pass, else what they said."""
    said = ""
    by_package: dict[Path, dict[str, None]] = {}
    for mutation in mutations:
        suite = Path(*Path(mutation.tests[0]).parts[:2])
        by_package.setdefault(suite, {}).update(dict.fromkeys(mutation.tests))
    for tests in by_package.values():
        first = next(mutation for mutation in mutations if mutation.tests[0] in tests)
        source = root / first.package.parent
        verdict, code = _search(first.module, source, tuple(tests), schedules, root, longest * len(tests))
        if code != 0:
            said += verdict.said
    return said


def _search(
    module: str, folder: Path, tests: Sequence[str], schedules: int, root: Path, longest: float
) -> tuple[Verdict, int]:
    """Run tests with a folder first on the path; the verdict, and the exit code."""
    suite = root.joinpath(*Path(tests[0]).parts[:2])
    inside = [str((root / test).relative_to(suite)) for test in tests]
    paths = [str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONDONTWRITEBYTECODE": "1",
        "ZK_SIM_SCHEDULES": str(schedules),
    }
    command = [sys.executable, "-c", _RUN, module, str(folder), "-x", "-q", "-p", "no:cacheprovider", *inside]
    begun = time.monotonic()
    try:
        done = subprocess.run(
            command, cwd=suite, env=environment, capture_output=True, text=True, timeout=longest, check=False
        )
    except subprocess.TimeoutExpired:
        message = f"{', '.join(tests)} stand still: no end after {longest:.0f} s"
        return Verdict(False, "", time.monotonic() - begun, message), -1
    seconds = time.monotonic() - begun
    said = done.stdout[-4000:] + done.stderr[-4000:]
    failed = _FAILED.search(done.stdout)
    caught = done.returncode == 1 and failed is not None
    return Verdict(caught, failed[1] if failed is not None else "", seconds, said), done.returncode


def campaign(
    mutations: Sequence[Mutation],
    schedules: int,
    root: Path = ROOT,
    longest: float = LONGEST,
    say: Callable[[str], object] = print,
) -> int:
    """Try every mutation and say what became of it; 0 when all were caught, else 1."""
    if said := run_unmutated(mutations, schedules, root, longest):
        say(f"the sources as they are do not pass:\n{said}")
        return 1
    width = max((len(mutation.name) for mutation in mutations), default=0)
    escaped: list[str] = []
    for mutation in mutations:
        try:
            verdict = attempt(mutation, schedules, root, longest)
        except MisfitError as misfit:
            say(f"{mutation.name:{width}}  LOOK AT IT  {misfit}")
            escaped.append(mutation.name)
            continue
        if verdict.caught:
            say(f"{mutation.name:{width}}  {verdict.seconds:5.1f} s  {verdict.by}")
        else:
            say(f"{mutation.name:{width}}  SURVIVES  {mutation.fault}; {', '.join(mutation.tests)} saw nothing")
            escaped.append(mutation.name)
    say(f"{len(mutations) - len(escaped)} of {len(mutations)} caught, {schedules} schedules each")
    return 1 if escaped else 0


def main(arguments: list[str]) -> int:
    from .deliberate_faults import MUTATIONS

    parser = argparse.ArgumentParser(
        prog="mutations", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--schedules", type=int, default=SCHEDULES, help=f"seeds per search, {SCHEDULES} by default")
    parser.add_argument("--list", action="store_true", help="say what there is, and run nothing")
    parser.add_argument("names", nargs="*", help="of the faults to try; all by default")
    chosen = parser.parse_args(arguments)
    known = {mutation.name: mutation for mutation in MUTATIONS}
    if unknown := [name for name in chosen.names if name not in known]:
        parser.error(f"no fault is called {', '.join(unknown)}; --list says what there is")
    mutations = [known[name] for name in chosen.names] or list(MUTATIONS)
    if chosen.list:
        for mutation in mutations:
            print(f"{mutation.name}: {mutation.fault} ({mutation.path})")
        return 0
    return campaign(mutations, chosen.schedules, say=lambda line: print(line, flush=True))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
