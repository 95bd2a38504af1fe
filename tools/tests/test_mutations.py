"""The deliberate faults fit the sources, and the tool tells those that are caught from those that survive.

No search is run here: `nox -s mutations` does that. The tool is tried on a toy.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tools.deliberate_faults import IN_THE_CLIENT, IN_THE_RECIPES, MUTATIONS
from tools.mutations import MisfitError, Mutation, attempt, campaign, main, mutated

ROOT = Path(__file__).resolve().parents[2]

SUMS = """\
def add(one: int, other: int) -> int:
    return one + other


def unused() -> int:
    return 1
"""
TEST = """\
import os

from toy.sums import add


def test_sums_are_right() -> None:
    for seed in range(int(os.environ["ZK_SIM_SCHEDULES"])):
        assert add(seed, 0) == seed


def test_numbers_are_added() -> None:
    assert add(2, 3) == 5
"""


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    """A repository with one package, whose tests are only right on its sources as they are."""
    for name, text in {
        "src/toy/__init__.py": "",
        "src/toy/sums.py": SUMS,
        "tests/test_sums.py": TEST,
        "pyproject.toml": '[tool.pytest.ini_options]\npythonpath = ["src"]\n',
    }.items():
        path = tmp_path / "packages" / "toy" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return tmp_path


def mutation(old: str, new: str, name: str = "fault", test: str = "test_sums.py") -> Mutation:
    return Mutation(name, "packages/toy/src/toy/sums.py", old, new, "it is wrong", (f"packages/toy/tests/{test}",))


WRONG = mutation("one + other", "one - other", "wrong")
EQUIVALENT = mutation("return 1", "return 2", "equivalent")


# The list


@pytest.mark.parametrize("each", MUTATIONS, ids=lambda each: each.name)
def test_a_fault_fits_the_sources_once_and_compiles(each: Mutation) -> None:
    before = (ROOT / each.path).read_text(encoding="utf-8")
    assert ast.dump(ast.parse(mutated(each))) != ast.dump(ast.parse(before))


@pytest.mark.parametrize("each", MUTATIONS, ids=lambda each: each.name)
def test_the_tests_that_must_catch_it_are_searches(each: Mutation) -> None:
    for test in each.tests:
        file, _, name = test.partition("::")
        name, _, parameter = name.partition("[")
        text = (ROOT / file).read_text(encoding="utf-8")
        assert "from simulated import" in text or "from sim_" in text or "from data_world import" in text
        assert not name or f"def {name}(" in text
        assert not parameter or f'"{parameter.removesuffix("]")}":' in text


def test_there_are_faults_of_both_layers_and_each_has_a_name_of_its_own() -> None:
    assert len(IN_THE_CLIENT) >= 12
    assert len(IN_THE_RECIPES) >= 12
    assert len({each.name for each in MUTATIONS}) == len(MUTATIONS)


# The tool


def test_a_fault_that_a_test_sees_is_caught_by_it(toy: Path) -> None:
    verdict = attempt(WRONG, 3, toy)
    assert (verdict.caught, verdict.by) == (True, "test_sums.py::test_numbers_are_added")
    assert (toy / WRONG.path).read_text(encoding="utf-8") == SUMS


def test_a_fault_that_no_test_sees_survives(toy: Path) -> None:
    assert not attempt(EQUIVALENT, 3, toy).caught


def test_the_number_of_schedules_reaches_the_search(toy: Path) -> None:
    wrong_from_five = mutation("one + other", "one + other + (one == 5)")
    assert not attempt(wrong_from_five, 5, toy).caught
    assert attempt(wrong_from_five, 6, toy).by == "test_sums.py::test_sums_are_right"


@pytest.mark.parametrize("old", ["one * other", "int"])
def test_a_fault_that_does_not_fit_has_to_be_looked_at(toy: Path, old: str) -> None:
    with pytest.raises(MisfitError, match="occurs"):
        attempt(mutation(old, "float"), 3, toy)


@pytest.mark.parametrize("new", ["return 1 +", "return 1\n\n\nimport nothing_of_this_name"])
def test_what_does_not_compile_or_import_is_no_fault(toy: Path, new: str) -> None:
    with pytest.raises(MisfitError, match=r"does not compile|neither passed nor failed"):
        attempt(mutation("return 1", new), 3, toy)


def test_a_search_that_does_not_exist_catches_nothing(toy: Path) -> None:
    with pytest.raises(MisfitError, match="neither passed nor failed"):
        attempt(mutation("one + other", "one - other", test="test_sums.py::test_gone"), 3, toy)


def test_a_search_that_does_not_end_catches_nothing(toy: Path) -> None:
    endless = mutation("    return one + other", "    while True:\n        pass")
    with pytest.raises(MisfitError, match="stand still"):
        attempt(endless, 3, toy, longest=3.0)


def test_a_survivor_fails_the_campaign_and_is_named(toy: Path) -> None:
    said: list[str] = []
    assert campaign([WRONG, EQUIVALENT], 3, toy, say=said.append) == 1
    assert "test_numbers_are_added" in said[0]
    assert "SURVIVES" in said[1]
    assert said[-1].startswith("1 of 2 caught")


def test_a_campaign_without_survivors_succeeds(toy: Path) -> None:
    said: list[str] = []
    assert campaign([WRONG], 3, toy, say=said.append) == 0
    assert said[-1].startswith("1 of 1 caught")


def test_sources_that_fail_as_they_are_end_the_campaign(toy: Path) -> None:
    (toy / WRONG.path).write_text(SUMS.replace("one + other", "one + other + 1"), encoding="utf-8")
    said: list[str] = []
    assert campaign([EQUIVALENT], 3, toy, say=said.append) == 1
    assert said[0].startswith("the sources as they are do not pass")


def test_a_name_that_is_no_faults_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["no-such-fault"])
    assert "no-such-fault" in capsys.readouterr().err


def test_the_list_says_what_each_fault_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list"]) == 0
    said = capsys.readouterr().out
    assert all(each.fault in said for each in MUTATIONS)
