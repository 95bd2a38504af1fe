"""Changelog fragments: their names, their types, and that no change of a package goes without one.

Rule: says every problem at once, each naming the file or package, the rule, and what was seen.

towncrier drops a fragment with a misspelt type without a word, and its own `check` does not work from a package's
subfolder, where it joins Git's paths to the folder and so never finds a fragment. Hence this check.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path

from tools.workspace import FRAGMENT_TYPES, ROOT, Package, read_packages

_FRAGMENT = re.compile(r"^(?P<subject>[0-9]+|\+[A-Za-z0-9_-]+)\.(?P<type>[a-z]+)(\.[0-9]+)?\.md$")
_NOT_FRAGMENTS = {"README.md", ".gitkeep"}


def fragment_files(package: Package) -> list[Path]:
    """Every file in the package's `changelog.d` that is meant as a fragment, well named or not."""
    return sorted(path for path in package.fragments.iterdir() if path.name not in _NOT_FRAGMENTS)


def fragment_problems(package: Package) -> list[str]:
    """What is wrong with the package's fragments; empty when nothing is."""
    problems: list[str] = []
    for path in fragment_files(package):
        where = f"{package.name}: changelog.d/{path.name}"
        found = _FRAGMENT.match(path.name)
        if found is None:
            problems.append(f"{where}: a fragment is named <issue>.<type>.md or +<word>.<type>.md")
        elif found["type"] not in FRAGMENT_TYPES:
            problems.append(f"{where}: type `{found['type']}` is not one of {', '.join(FRAGMENT_TYPES)}")
        elif not path.read_text(encoding="utf-8").strip():
            problems.append(f"{where}: the fragment is empty")
    return problems


def undocumented_problems(package: Package, root: Path, base: str | None = None) -> list[str]:
    """The complaint that the package's sources changed since `base` without a fragment; empty when they did not.

    base: a Git revision. Without one, the package's last release: the commit that last wrote its `_version.py`.
    A change counts whether or not it is committed.
    """
    own = package.folder.relative_to(root)
    version_file = str(package.version_file.relative_to(root))
    since = base or _git(root, "log", "-1", "--format=%H", "--", version_file).strip()
    if not since:
        return []
    source = str(own / "src")
    changed = _git(root, "diff", "--name-only", since, "--", source).splitlines()
    changed += _git(root, "ls-files", "--others", "--exclude-standard", "--", source).splitlines()
    if not changed:
        return []
    fragments = {str(path.relative_to(root)) for path in fragment_files(package)}
    if base is not None:
        # Fragments that the base already had tell of other changes.
        fragments -= set(_git(root, "ls-tree", "-r", "--name-only", since, "--", str(own / "changelog.d")).splitlines())
    if fragments:
        return []
    message = (
        f"{package.name}: {len(changed)} source file(s) changed since {since[:12]}, such as {changed[0]}, "
        f"but changelog.d has no new fragment"
    )
    return [message]


def check(root: Path = ROOT, base: str | None = None) -> list[str]:
    """Every problem of every package. Without a Git repository only the fragments themselves are looked at."""
    problems: list[str] = []
    for package in read_packages(root):
        problems += fragment_problems(package)
        if (root / ".git").exists():
            problems += undocumented_problems(package, root, base)
    return problems


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="changelog", description="Check the changelog fragments of every package.")
    parser.add_argument("--base", help="Git revision to compare with (default: each package's last release)")
    problems = check(base=parser.parse_args(arguments).base)
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


def _git(root: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    sys.exit(main())
