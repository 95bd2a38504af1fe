"""Changelog fragments: what the check lets through and what it names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tools import changelog
from tools.workspace import read_packages

if TYPE_CHECKING:
    from conftest import Repository

FRAGMENTS = "packages/toy-wire/changelog.d"
SOURCE = "packages/toy-wire/src/toy_wire/frames.py"


@pytest.mark.parametrize("name", ["42.fixed.md", "+codec.added.md", "7.security.2.md"])
def test_a_well_named_fragment_is_accepted(repository: Repository, name: str) -> None:
    repository.write(f"{FRAGMENTS}/{name}", "Frames are faster.\n")

    assert changelog.check(repository.root) == []


@pytest.mark.parametrize("name", ["codec.added.md", "42.fixed", "fixed.md", "42.fixed.txt", "+two words.fixed.md"])
def test_a_badly_named_fragment_is_named_with_the_rule(repository: Repository, name: str) -> None:
    repository.write(f"{FRAGMENTS}/{name}", "Frames are faster.\n")

    (problem,) = changelog.check(repository.root)

    assert problem.startswith(f"toy-wire: changelog.d/{name}: a fragment is named")


def test_a_misspelt_type_is_named_with_the_known_ones(repository: Repository) -> None:
    repository.write(f"{FRAGMENTS}/42.fix.md", "Frames are faster.\n")

    (problem,) = changelog.check(repository.root)

    assert "type `fix` is not one of added, changed" in problem


def test_an_empty_fragment_is_refused(repository: Repository) -> None:
    repository.write(f"{FRAGMENTS}/42.fixed.md", " \n")

    assert changelog.check(repository.root) == ["toy-wire: changelog.d/42.fixed.md: the fragment is empty"]


def test_a_committed_change_without_a_fragment_is_named(repository: Repository) -> None:
    repository.write(SOURCE, "LIMIT = 1\n")
    repository.commit("Add frames")

    (problem,) = changelog.check(repository.root)

    assert problem.startswith("toy-wire: 1 source file(s) changed since ")
    assert SOURCE in problem


def test_a_change_that_is_not_committed_counts_too(repository: Repository) -> None:
    repository.write(SOURCE, "LIMIT = 1\n")

    assert len(changelog.check(repository.root)) == 1


def test_a_change_with_a_fragment_is_accepted(repository: Repository) -> None:
    repository.write(SOURCE, "LIMIT = 1\n")
    repository.write(f"{FRAGMENTS}/+limit.added.md", "Frames have a limit.\n")

    assert changelog.check(repository.root) == []


def test_a_change_of_tests_needs_no_fragment(repository: Repository) -> None:
    repository.write("packages/toy-wire/tests/test_frames.py", "")

    assert changelog.check(repository.root) == []


def test_a_fragment_that_the_base_had_does_not_tell_of_a_later_change(repository: Repository) -> None:
    repository.write(SOURCE, "LIMIT = 1\n")
    repository.write(f"{FRAGMENTS}/+limit.added.md", "Frames have a limit.\n")
    repository.commit("Add frames")
    repository.write(SOURCE, "LIMIT = 2\n")

    assert changelog.check(repository.root) == []
    assert len(changelog.check(repository.root, base="HEAD")) == 1


def test_after_a_release_the_count_begins_anew(repository: Repository) -> None:
    repository.write(SOURCE, "LIMIT = 1\n")
    repository.write("packages/toy-wire/src/toy_wire/_version.py", '__version__ = "0.2.0"\n')
    repository.commit("Release toy-wire 0.2.0")

    assert changelog.check(repository.root) == []


def test_fragments_are_checked_without_a_repository_too(repository: Repository) -> None:
    repository.write(f"{FRAGMENTS}/42.fix.md", "Frames are faster.\n")
    (repository.root / ".git").rename(repository.root.parent / "moved")

    assert len(changelog.check(repository.root)) == 1


def test_every_package_of_this_repository_declares_every_type_to_towncrier() -> None:
    for package in read_packages():
        settings = (package.folder / "pyproject.toml").read_text(encoding="utf-8")
        for kind in changelog.FRAGMENT_TYPES:
            assert f'directory = "{kind}"' in settings, f"{package.name} does not declare {kind}"
