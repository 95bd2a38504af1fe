"""A small repository of two toy packages, `toy-client` above `toy-wire`, for the tools to work on."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tools.workspace import FRAGMENT_TYPES

PYPROJECT = """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "{name}"
dynamic = ["version"]
dependencies = {dependencies}

[tool.hatch.version]
path = "src/{module}/_version.py"

[tool.towncrier]
name = "{name}"
directory = "changelog.d"
filename = "CHANGELOG.md"
start_string = "<!-- towncrier release notes start -->\\n"
title_format = "## {{version}}"
ignore = ["README.md"]
"""


@dataclass(frozen=True)
class Repository:
    """A Git repository in a temporary folder."""

    root: Path

    def git(self, *arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=self.root, check=True, capture_output=True, text=True).stdout

    def write(self, path: str, text: str) -> Path:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
        return target

    def commit(self, title: str) -> None:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", title)

    def add_package(self, name: str, dependencies: list[str], version: str = "0.1.0") -> None:
        module = name.replace("-", "_")
        types = "".join(
            f'\n[[tool.towncrier.type]]\ndirectory = "{kind}"\nname = "{kind.capitalize()}"\nshowcontent = true\n'
            for kind in FRAGMENT_TYPES
        )
        pyproject = PYPROJECT.format(name=name, module=module, dependencies=dependencies).replace("'", '"')
        self.write(f"packages/{name}/pyproject.toml", pyproject + types)
        self.write(f"packages/{name}/CHANGELOG.md", "# Changes\n\n<!-- towncrier release notes start -->\n")
        self.write(f"packages/{name}/changelog.d/README.md", "Fragments.\n")
        self.write(f"packages/{name}/src/{module}/_version.py", f'__version__ = "{version}"\n')
        self.write(f"packages/{name}/src/{module}/__init__.py", f'"""{name}."""\n')


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """Two packages at 0.1.0, committed, each without fragments."""
    repository = Repository(tmp_path / "repository")
    repository.root.mkdir()
    repository.git("init", "--quiet", "--initial-branch", "main")
    repository.git("config", "user.name", "A Maintainer")
    repository.git("config", "user.email", "maintainer@example.org")
    repository.add_package("toy-client", ["toy-wire~=0.1.0"])
    repository.add_package("toy-wire", [])
    repository.commit("Lay down")
    return repository
