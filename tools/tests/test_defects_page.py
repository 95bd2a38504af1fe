"""The page of known defects names tests that exist."""

from __future__ import annotations

import re

from tools.workspace import ROOT

PAGE = ROOT / "docs" / "defects.md"
NAMED = re.compile(r"`(test_\w+\.py)::(test_\w+)`")


def test_every_test_the_page_names_exists() -> None:
    named = NAMED.findall(PAGE.read_text(encoding="utf-8"))
    assert len(named) > 50
    texts = {path.name: path.read_text(encoding="utf-8") for path in ROOT.glob("packages/*/tests/test_*.py")}
    missing = [f"{file}::{name}" for file, name in named if f"def {name}(" not in texts.get(file, "")]
    assert missing == []


def test_every_defect_has_one_row() -> None:
    rows = re.findall(r"^\| (D-\d{3})(?: to (D-\d{3}))? \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    covered: list[int] = []
    for first, last in rows:
        covered += range(int(first[2:]), int((last or first)[2:]) + 1)
    assert sorted(covered) == list(range(1, 47))


def test_every_fault_that_was_seen_is_found_on_a_naive_version() -> None:
    table = PAGE.read_text(encoding="utf-8").partition("## Seen on running clients")[2]
    rows = re.findall(r"^\| (\w+, [KAC]\d.*?) \| .*? \| (.*?) \| (.*?) \|$", table, re.MULTILINE)
    assert [
        seen for seen, kept, naive in rows if not NAMED.search(kept) or not (NAMED.search(naive) or "D-" in naive)
    ] == []
    seen = {number for cell, _, _ in rows for number in re.findall(r"[KAC]\d+", cell)}
    assert seen == {
        *(f"K{number}" for number in (*range(1, 9), 12, 13, 14, 15)),
        *(f"A{number}" for number in range(1, 4)),
        *(f"C{number}" for number in (*range(1, 7), 9)),
    }
