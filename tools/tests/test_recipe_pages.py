"""Every recipe has a page, the index names them all, and every link between pages leads somewhere."""

from __future__ import annotations

import re

import pytest

from tools.workspace import ROOT

FOLDER = ROOT / "docs" / "recipes"
INDEX = FOLDER / "README.md"
LINK = re.compile(r"\]\((?!https?:)([^)#]+)")
PAGES = sorted(ROOT.glob("docs/**/*.md")) + [ROOT / "README.md"]


def test_the_index_leads_to_every_page() -> None:
    linked = {FOLDER / link for link in LINK.findall(INDEX.read_text(encoding="utf-8"))}
    assert linked == set(FOLDER.glob("*.md")) - {INDEX}


def test_the_index_names_every_recipe() -> None:
    import zk_recipes

    named = set(re.findall(r"\w+", INDEX.read_text(encoding="utf-8")))
    recipes = {name.removeprefix("Async") for name in zk_recipes.__all__ if name.startswith("Async")}
    # What a recipe hands out has no page of its own.
    assert recipes - named <= {"Job", "Term"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_of_a_page_leads_somewhere(page) -> None:  # type: ignore[no-untyped-def]
    links = LINK.findall(page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []
