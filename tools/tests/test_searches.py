"""Which tests are searches, and how many schedules are asked of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools import searches, workspace
from tools.workspace import Package


@pytest.fixture
def toy(tmp_path: Path) -> Package:
    """A package with two searches and a test that is none."""
    tests = tmp_path / "tests"
    tests.mkdir()
    for name in ("test_lock.py", "test_queue.py"):
        (tests / name).write_text("from schedules import some\n", encoding="utf-8")
    (tests / "test_other.py").write_text("", encoding="utf-8")
    return Package("toy", tmp_path, ())


def names(chosen: searches.Chosen) -> list[str]:
    return [path.name for paths in chosen.files.values() for path in paths]


def test_every_search_is_chosen_where_none_is_named(toy: Package) -> None:
    chosen = searches.choose([], [toy])
    assert chosen.schedules == searches.SCHEDULES
    assert names(chosen) == ["test_lock.py", "test_queue.py"]


def test_a_number_and_files_are_told_apart_in_any_order(toy: Package) -> None:
    for arguments in (["50", "tests/test_queue.py"], ["test_queue.py", "50"]):
        chosen = searches.choose(arguments, [toy])
        assert (chosen.schedules, names(chosen)) == (50, ["test_queue.py"])


def test_a_file_without_a_search_is_refused(toy: Package) -> None:
    with pytest.raises(ValueError, match=r"no search is in test_other\.py"):
        searches.choose(["test_other.py"], [toy])


def test_the_searches_of_the_recipes_are_found() -> None:
    found = names(searches.choose([], workspace.read_packages()))
    assert {"test_lock_search.py", "test_counter.py", "test_caches_search.py"} <= set(found)
    assert "test_lock_live.py" not in found
