"""Release one or several packages: version, changelog, commit, build and wheel checks, tag.

    python -m tools.release zk-wire 0.2.0 zk-client minor [--raise-floors] [--for-real]

Rule: everything happens in a temporary clone; the repository is touched only at the very end, by a fast-forward, and
only with `--for-real`. So a release that fails half-way, and every dry run, leaves nothing behind.

Each package gets its own commit ("Release zk-wire 0.2.0") and its own annotated tag (`zk-wire-v0.2.0`), from the bottom
of the dependency order up. Nothing is pushed or uploaded.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import InvalidVersion, Version

from tools.changelog import fragment_files, fragment_problems
from tools.workspace import ROOT, Package, read_packages, requirement_name

SEGMENTS = ("major", "minor", "patch")

Checks = Callable[[Path, list[str]], None]


class ReleaseError(Exception):
    """The release is refused; the sentence says which rule, of which package, and what was seen."""


@dataclass(frozen=True)
class Step:
    """One package and the version it is to have."""

    package: Package
    version: str

    @property
    def tag(self) -> str:
        return f"{self.package.name}-v{self.version}"

    @property
    def title(self) -> str:
        return f"Release {self.package.name} {self.version}"


def release(
    arguments: list[str],
    *,
    root: Path = ROOT,
    raise_floors: bool = False,
    for_real: bool = False,
    checks: Checks | None = None,
    say: Callable[[str], None] = print,
) -> list[Step]:
    """Release the packages named by `arguments`: pairs of a name and a version or one of major, minor, patch.

    raise_floors: also raise the requirement of packages that are not being released and would exclude the new version.
    for_real: bring commits, tags and `dist/` back into `root`; otherwise only show what would change.
    checks: called with the clone and the released names after the commits; raises to refuse.
    Raises ReleaseError; `root` is then as it was before.
    """
    refuse_dirty_tree(root)
    start = _git(root, "rev-parse", "HEAD").strip()
    with tempfile.TemporaryDirectory(prefix="release-") as scratch:
        clone = _clone(root, Path(scratch) / "clone")
        steps = plan(arguments, read_packages(clone))
        refuse_existing_tags(clone, steps)
        floors = floors_to_raise(steps, read_packages(clone), raise_floors=raise_floors)
        for step in steps:
            _commit_release(clone, step, floors, {other.package.name for other in steps})
            say(f"{step.title}: version, changelog and commit are written")
        show = _git(clone, "diff", "--stat", "--patch", start, "HEAD")
        if not for_real:
            say(show)
        if checks is not None:
            checks(clone, [step.package.name for step in steps])
        if not for_real:
            say(f"dry run: nothing was changed; add --for-real to release {', '.join(step.tag for step in steps)}")
            return steps
        _bring_back(root, clone, start, steps)
    say(f"released; now push the branch and the tags: git push origin HEAD {' '.join(step.tag for step in steps)}")
    return steps


def plan(arguments: list[str], packages: list[Package]) -> list[Step]:
    """What to release, from the bottom up. Raises ReleaseError for anything that cannot be meant."""
    if not arguments or len(arguments) % 2:
        message = f"expected pairs of a package and a version, as in `zk-wire 0.2.0 zk-client minor`, got {arguments}"
        raise ReleaseError(message)
    names, versions = arguments[::2], arguments[1::2]
    known = [package.name for package in packages]
    for name in names:
        if name not in known:
            message = f"unknown package `{name}`: expected one of {', '.join(known)}"
            raise ReleaseError(message)
        if names.count(name) > 1:
            message = f"package `{name}` is named {names.count(name)} times"
            raise ReleaseError(message)
    wanted = dict(zip(names, versions, strict=True))
    return [
        Step(package, next_version(package, wanted[package.name])) for package in packages if package.name in wanted
    ]


def next_version(package: Package, wanted: str) -> str:
    """The version meant by `wanted`, a full version or a segment to raise. It must be greater than the present one."""
    present = Version(package.version)
    if wanted in SEGMENTS:
        numbers = [present.major, present.minor, present.micro]
        place = SEGMENTS.index(wanted)
        return ".".join(str(number) for number in [*numbers[:place], numbers[place] + 1, *([0] * (2 - place))])
    try:
        version = Version(wanted)
    except InvalidVersion as error:
        message = f"{package.name}: `{wanted}` is neither a version nor one of {', '.join(SEGMENTS)}"
        raise ReleaseError(message) from error
    if str(version) != wanted:
        message = f"{package.name}: write `{wanted}` in its normal form, `{version}`"
        raise ReleaseError(message)
    if version <= present:
        message = f"{package.name}: {wanted} is not greater than the present version, {present}"
        raise ReleaseError(message)
    return wanted


def compatible_release(version: str) -> str:
    """The `~=` constraint whose floor is `version`: three numbers before 1.0, where a minor release may break."""
    parsed = Version(version)
    return f"~={parsed}" if parsed.major == 0 or parsed.pre else f"~={parsed.major}.{parsed.minor}"


def floors_to_raise(steps: list[Step], packages: list[Package], *, raise_floors: bool) -> dict[str, dict[str, str]]:
    """For each dependent package, the requirements to replace: name of the sibling to its new requirement.

    A requirement is replaced only when it would exclude the version being released. Raises ReleaseError when the
    dependent is not itself being released, unless `raise_floors`.
    """
    released = {step.package.name: step.version for step in steps}
    floors: dict[str, dict[str, str]] = {}
    for package in packages:
        for requirement in package.requirements:
            name = requirement_name(requirement)
            version = released.get(name)
            if version is None or Requirement(requirement).specifier.contains(version, prereleases=True):
                continue
            if package.name not in released and not raise_floors:
                message = (
                    f"{package.name} requires `{requirement}`, which excludes {name} {version}: "
                    f"release {package.name} too, or pass --raise-floors"
                )
                raise ReleaseError(message)
            floors.setdefault(package.name, {})[name] = f"{name}{compatible_release(version)}"
    return floors


def refuse_dirty_tree(root: Path) -> None:
    changed = _git(root, "status", "--porcelain").splitlines()
    if changed:
        message = f"the tree is not clean: {len(changed)} path(s), such as `{changed[0].strip()}`; commit first"
        raise ReleaseError(message)


def refuse_existing_tags(root: Path, steps: list[Step]) -> None:
    existing = set(_git(root, "tag", "--list").split())
    for step in steps:
        if step.tag in existing:
            message = f"{step.package.name}: tag {step.tag} exists already"
            raise ReleaseError(message)


def run_checks(clone: Path, names: list[str]) -> None:
    """Build every package in the clone and prove the wheels, by the clone's own noxfile."""
    command = [sys.executable, "-m", "nox", "--noxfile", str(clone / "noxfile.py"), "--session", "build", "wheels"]
    if subprocess.run(command, cwd=clone, check=False).returncode != 0:
        message = f"{', '.join(names)}: the build or the wheel checks failed; see above"
        raise ReleaseError(message)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="release", description="Release one or several packages.")
    parser.add_argument("pairs", nargs="+", metavar="package version", help="as in: zk-wire 0.2.0 zk-client minor")
    parser.add_argument("--raise-floors", action="store_true", help="also raise requirements of unreleased siblings")
    parser.add_argument("--for-real", action="store_true", help="commit, tag and keep dist/ (default: a dry run)")
    options = parser.parse_args(arguments)
    try:
        release(options.pairs, raise_floors=options.raise_floors, for_real=options.for_real, checks=run_checks)
    except ReleaseError as error:
        print(f"release refused: {error}", file=sys.stderr)
        return 1
    return 0


# The steps, in order


def _clone(root: Path, clone: Path) -> Path:
    _git(root, "clone", "--quiet", "--local", str(root), str(clone))
    for key in ("user.name", "user.email"):
        # A clone does not inherit the repository's own configuration.
        _git(clone, "config", key, _git(root, "config", key).strip())
    return clone


def _commit_release(clone: Path, step: Step, floors: dict[str, dict[str, str]], released: set[str]) -> None:
    package = step.package
    _require(package, floors.get(package.name, {}))
    for dependent in read_packages(clone):
        if dependent.name not in released and package.name in floors.get(dependent.name, {}):
            _require(dependent, {package.name: floors[dependent.name][package.name]})
    refuse_fragment_problems(package)
    _run(package.folder, sys.executable, "-m", "hatchling", "version", step.version)
    _run(package.folder, sys.executable, "-m", "towncrier", "build", "--yes", "--version", step.version)
    if package.version != step.version:
        message = (
            f"{package.name}: wrote version {step.version}, but {package.version_file.name} says {package.version}"
        )
        raise ReleaseError(message)
    _git(clone, "add", "--all")
    _git(clone, "commit", "--quiet", "--message", step.title)
    _git(clone, "tag", "--annotate", step.tag, "--message", step.title)


def refuse_fragment_problems(package: Package) -> None:
    problems = fragment_problems(package)
    if problems:
        raise ReleaseError("; ".join(problems))
    if not fragment_files(package):
        message = f"{package.name}: changelog.d has no fragment, so there is nothing to tell users about this release"
        raise ReleaseError(message)


def _require(dependent: Package, floors: dict[str, str]) -> None:
    """Write the new requirements, each with a fragment that tells users of the dependent package."""
    pyproject = dependent.folder / "pyproject.toml"
    text = pyproject.read_text(encoding="utf-8")
    for name, requirement in floors.items():
        text, count = re.subn(rf'"{re.escape(name)}[~=<>!][^"]*"', f'"{requirement}"', text)
        if count != 1:
            message = f"{dependent.name}: expected one requirement of {name} in pyproject.toml, found {count}"
            raise ReleaseError(message)
        fragment = dependent.fragments / f"+{name}-floor.changed.md"
        fragment.write_text(f"Requires `{requirement}`.\n", encoding="utf-8")
    pyproject.write_text(text, encoding="utf-8")


def _bring_back(root: Path, clone: Path, start: str, steps: list[Step]) -> None:
    refuse_dirty_tree(root)
    if _git(root, "rev-parse", "HEAD").strip() != start:
        message = "the branch moved while the release was being checked; run it again"
        raise ReleaseError(message)
    tags = [f"refs/tags/{step.tag}:refs/tags/{step.tag}" for step in steps]
    _git(root, "fetch", "--quiet", "--no-tags", str(clone), "HEAD", *tags)
    _git(root, "merge", "--quiet", "--ff-only", _git(clone, "rev-parse", "HEAD").strip())
    if (clone / "dist").is_dir():
        shutil.copytree(clone / "dist", root / "dist", dirs_exist_ok=True)


def _git(folder: Path, *arguments: str) -> str:
    return _run(folder, "git", *arguments)


def _run(folder: Path, *command: str) -> str:
    outcome = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if outcome.returncode != 0:
        message = f"`{' '.join(command)}` failed with status {outcome.returncode}: {outcome.stderr.strip()}"
        raise ReleaseError(message)
    return outcome.stdout


if __name__ == "__main__":
    sys.exit(main())
