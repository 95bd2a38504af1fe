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


# What every recipe's page says, and the heading under which one looks for it.
PARTS = {
    "what it guarantees": r"^#+ What .*guarantee",
    "what it does not guarantee": r"^#+ What .*\bnot\b",
    "how it fails": r"^#+ How .* fails?$",
    "the token, or what a database goes by": r"^#+ .*\bdatabase$",
    "threads and asyncio side by side": r"^\| .*\| threads, gevent \| asyncio \|$",
    "asyncio": r"^asyncio\.run\(",
    "how it lies on the server": r"^#+ (Layout|On the server)",
}


@pytest.mark.parametrize("page", sorted(set(FOLDER.glob("*.md")) - {INDEX}), ids=lambda page: page.name)
def test_a_page_has_every_part(page) -> None:  # type: ignore[no-untyped-def]
    text = page.read_text(encoding="utf-8")
    assert [part for part, pattern in PARTS.items() if not re.search(pattern, text, re.MULTILINE)] == []
