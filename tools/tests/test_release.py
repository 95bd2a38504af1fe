"""A release: what it writes, and everything it refuses while leaving the repository as it was."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tools.release import ReleaseError, compatible_release, next_version, release
from tools.workspace import Package, read_packages

if TYPE_CHECKING:
    from conftest import Repository


@pytest.fixture
def ready(repository: Repository) -> Repository:
    """Both packages have something to tell."""
    repository.write("packages/toy-wire/changelog.d/42.fixed.md", "Frames could be cut short.\n")
    repository.write("packages/toy-client/changelog.d/+retry.added.md", "Retrying.\n")
    repository.commit("Describe the changes")
    return repository


def state(repository: Repository) -> tuple[str, str, str]:
    return repository.git("rev-parse", "HEAD"), repository.git("tag"), repository.git("status", "--porcelain")


def read(repository: Repository, path: str) -> str:
    return (repository.root / path).read_text(encoding="utf-8")


def package(tmp_path: Path, version: str) -> Package:
    made = Package("toy-wire", tmp_path, ())
    made.version_file.parent.mkdir(parents=True)
    made.version_file.write_text(f'__version__ = "{version}"\n', encoding="utf-8")
    return made


# What a release writes


def test_a_release_writes_version_changelog_commit_and_tag(ready: Repository) -> None:
    release(["toy-wire", "0.1.1"], root=ready.root, for_real=True)

    assert read_packages(ready.root)[0].version == "0.1.1"
    assert "## 0.1.1" in read(ready, "packages/toy-wire/CHANGELOG.md")
    assert "Frames could be cut short. (#42)" in read(ready, "packages/toy-wire/CHANGELOG.md")
    assert not (ready.root / "packages/toy-wire/changelog.d/42.fixed.md").exists()
    assert ready.git("log", "-1", "--format=%s").strip() == "Release toy-wire 0.1.1"
    assert ready.git("rev-parse", "toy-wire-v0.1.1^{commit}") == ready.git("rev-parse", "HEAD")
    assert ready.git("status", "--porcelain") == ""


def test_a_release_leaves_the_other_packages_alone(ready: Repository) -> None:
    release(["toy-wire", "0.1.1"], root=ready.root, for_real=True)

    changed = ready.git("diff", "--name-only", "HEAD~1", "HEAD").split()
    assert all(path.startswith("packages/toy-wire/") for path in changed)


def test_several_packages_are_released_from_the_bottom_up_each_with_its_own_commit(ready: Repository) -> None:
    release(["toy-client", "minor", "toy-wire", "minor"], root=ready.root, for_real=True)

    titles = ready.git("log", "-2", "--format=%s").splitlines()
    assert titles == ["Release toy-client 0.2.0", "Release toy-wire 0.2.0"]
    assert ready.git("tag").split() == ["toy-client-v0.2.0", "toy-wire-v0.2.0"]
    assert ready.git("rev-parse", "toy-wire-v0.2.0^{commit}") == ready.git("rev-parse", "HEAD~1")


def test_a_dry_run_shows_the_changes_and_leaves_the_repository_untouched(ready: Repository) -> None:
    said: list[str] = []
    before = state(ready)

    release(["toy-wire", "0.1.1"], root=ready.root, say=said.append)

    assert state(ready) == before
    assert '+__version__ = "0.1.1"' in "\n".join(said)
    assert said[-1].startswith("dry run: nothing was changed")


def test_what_the_checks_built_is_brought_back(ready: Repository) -> None:
    def build(clone: Path, names: list[str]) -> None:
        (clone / "dist").mkdir()
        (clone / "dist" / f"{names[0]}.whl").write_text("wheel", encoding="utf-8")

    ready.write(".gitignore", "dist/\n")
    ready.commit("Ignore what is built")

    release(["toy-wire", "0.1.1"], root=ready.root, for_real=True, checks=build)

    assert read(ready, "dist/toy-wire.whl") == "wheel"


# Floors of siblings


def test_a_floor_that_still_admits_the_new_version_stays(ready: Repository) -> None:
    release(["toy-wire", "0.1.1", "toy-client", "patch"], root=ready.root, for_real=True)

    assert '"toy-wire~=0.1.0"' in read(ready, "packages/toy-client/pyproject.toml")


def test_a_floor_that_excludes_the_new_version_is_raised_in_the_dependents_own_commit(ready: Repository) -> None:
    release(["toy-wire", "0.2.0", "toy-client", "0.2.0"], root=ready.root, for_real=True)

    assert '"toy-wire~=0.2.0"' in read(ready, "packages/toy-client/pyproject.toml")
    assert '"toy-wire~=0.1.0"' in ready.git("show", "HEAD~1:packages/toy-client/pyproject.toml")
    assert "Requires `toy-wire~=0.2.0`." in read(ready, "packages/toy-client/CHANGELOG.md")


def test_a_version_that_a_sibling_excludes_is_refused(ready: Repository) -> None:
    before = state(ready)

    with pytest.raises(ReleaseError, match=r"toy-client requires `toy-wire~=0\.1\.0`, which excludes toy-wire 0\.2\.0"):
        release(["toy-wire", "0.2.0"], root=ready.root, for_real=True)
    assert state(ready) == before


def test_on_request_the_floor_of_an_unreleased_sibling_is_raised_with_a_fragment(ready: Repository) -> None:
    release(["toy-wire", "0.2.0"], root=ready.root, for_real=True, raise_floors=True)

    assert '"toy-wire~=0.2.0"' in read(ready, "packages/toy-client/pyproject.toml")
    assert read(ready, "packages/toy-client/changelog.d/+toy-wire-floor.changed.md") == "Requires `toy-wire~=0.2.0`.\n"
    assert ready.git("tag").split() == ["toy-wire-v0.2.0"]


@pytest.mark.parametrize(
    ("version", "constraint"), [("0.3.1", "~=0.3.1"), ("1.2.3", "~=1.2"), ("2.0.0rc1", "~=2.0.0rc1")]
)
def test_the_constraint_admits_what_compatible_means(version: str, constraint: str) -> None:
    assert compatible_release(version) == constraint


# What is refused


def test_a_package_without_a_fragment_is_refused(repository: Repository) -> None:
    before = state(repository)

    with pytest.raises(ReleaseError, match=r"toy-wire: changelog\.d has no fragment"):
        release(["toy-wire", "0.1.1"], root=repository.root, for_real=True)
    assert state(repository) == before


def test_a_fragment_with_a_misspelt_type_is_refused(ready: Repository) -> None:
    ready.write("packages/toy-wire/changelog.d/43.fix.md", "Something.\n")
    ready.commit("Misspell")

    with pytest.raises(ReleaseError, match="type `fix` is not one of"):
        release(["toy-wire", "0.1.1"], root=ready.root, for_real=True)


def test_a_dirty_tree_is_refused_by_name(ready: Repository) -> None:
    ready.write("notes.txt", "")

    with pytest.raises(ReleaseError, match=r"not clean: 1 path\(s\), such as `\?\? notes\.txt`"):
        release(["toy-wire", "0.1.1"], root=ready.root)


def test_an_unknown_package_is_refused_with_the_known_ones(ready: Repository) -> None:
    with pytest.raises(ReleaseError, match="unknown package `toy-wier`: expected one of toy-wire, toy-client"):
        release(["toy-wier", "0.1.1"], root=ready.root)


def test_a_package_named_twice_is_refused(ready: Repository) -> None:
    with pytest.raises(ReleaseError, match="`toy-wire` is named 2 times"):
        release(["toy-wire", "0.1.1", "toy-wire", "0.1.2"], root=ready.root)


@pytest.mark.parametrize("arguments", [[], ["toy-wire"], ["toy-wire", "0.1.1", "toy-client"]])
def test_arguments_that_are_not_pairs_are_refused(ready: Repository, arguments: list[str]) -> None:
    with pytest.raises(ReleaseError, match="expected pairs of a package and a version"):
        release(arguments, root=ready.root)


@pytest.mark.parametrize("version", ["0.1.0", "0.0.9", "0.1.0rc1"])
def test_a_version_that_is_not_greater_is_refused(ready: Repository, version: str) -> None:
    with pytest.raises(ReleaseError, match=rf"{version} is not greater than the present version, 0\.1\.0"):
        release(["toy-wire", version], root=ready.root)


def test_a_tag_that_exists_is_refused(ready: Repository) -> None:
    ready.git("tag", "toy-wire-v0.1.1")

    with pytest.raises(ReleaseError, match=r"tag toy-wire-v0\.1\.1 exists already"):
        release(["toy-wire", "0.1.1"], root=ready.root)


def test_failing_checks_leave_the_repository_as_it_was(ready: Repository) -> None:
    def fail(clone: Path, names: list[str]) -> None:
        message = "the wheels are broken"
        raise ReleaseError(message)

    before = state(ready)

    with pytest.raises(ReleaseError, match="the wheels are broken"):
        release(["toy-wire", "0.1.1"], root=ready.root, for_real=True, checks=fail)
    assert state(ready) == before


def test_a_commit_made_during_the_checks_is_not_overrun(ready: Repository) -> None:
    def meanwhile(clone: Path, names: list[str]) -> None:
        ready.write("notes.txt", "")
        ready.commit("Meanwhile")

    with pytest.raises(ReleaseError, match="the branch moved"):
        release(["toy-wire", "0.1.1"], root=ready.root, for_real=True, checks=meanwhile)
    assert ready.git("log", "-1", "--format=%s").strip() == "Meanwhile"
    assert ready.git("tag") == ""


# Versions


@pytest.mark.parametrize(
    ("present", "wanted", "expected"),
    [
        ("0.1.0", "patch", "0.1.1"),
        ("0.1.5", "minor", "0.2.0"),
        ("0.1.5", "major", "1.0.0"),
        ("1.0.0", "1.1.0rc1", "1.1.0rc1"),
    ],
)
def test_the_next_version(tmp_path: Path, present: str, wanted: str, expected: str) -> None:
    assert next_version(package(tmp_path, present), wanted) == expected


def test_a_version_in_another_than_its_normal_form_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match=r"write `v0\.2` in its normal form, `0\.2`"):
        next_version(package(tmp_path, "0.1.0"), "v0.2")


def test_a_word_that_is_no_version_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match="`next` is neither a version nor one of major, minor, patch"):
        next_version(package(tmp_path, "0.1.0"), "next")
