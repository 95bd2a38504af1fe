"""The Python blocks of README.md and of every page of docs/ run, against a real server where they ask for one."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tools.documentation import Block, files, python_blocks, read_blocks, run
from tools.workspace import ROOT

PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md"))]
RUNNABLE = [page for page in PAGES if python_blocks(page.read_text(encoding="utf-8"))]


def names(pages: list[Path]) -> list[str]:
    return [str(page.relative_to(ROOT)) for page in pages]


@pytest.mark.cluster
@pytest.mark.parametrize("page", RUNNABLE, ids=names(RUNNABLE))
def test_the_code_of_a_page_runs(page: Path, request: pytest.FixtureRequest) -> None:
    text = "".join(block.text for block in python_blocks(page.read_text(encoding="utf-8")))
    wants_server = re.search(r"\bhosts\b|\bZK_HOSTS\b", text) is not None
    hosts = ""
    if wants_server:  # of which each page has a part to itself
        hosts = request.getfixturevalue("zk_server").hosts + request.getfixturevalue("zk_chroot")

    outcome = subprocess.run(
        [sys.executable, "-W", "error", "-m", "tools.documentation", str(page)],
        cwd=ROOT,
        env={**os.environ, "ZK_HOSTS": hosts},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert outcome.returncode == 0, f"{outcome.stdout}\n{outcome.stderr}"


# The runner itself


def test_blocks_come_with_language_text_and_line() -> None:
    page = "# Title\n\n```sh\nls\n```\n\n```python title\nx = 1\n\ny = 2\n```\n"

    assert list(read_blocks(page)) == [Block("sh", "ls\n", 4), Block("python", "x = 1\n\ny = 2\n", 8)]


def test_a_block_may_be_a_part_of_a_file_and_is_not_run_then() -> None:
    page = "```python file=a.py\nx = 1\n```\n```python\ny = 2\n```\n```python file=a.py\nz = 3\n```\n"

    assert files(page) == {"a.py": "x = 1\n\n\nz = 3\n"}
    assert [block.text for block in python_blocks(page)] == ["y = 2\n"]


def test_a_longer_fence_may_hold_a_shorter_one() -> None:
    assert list(read_blocks("````text\n```python\n````\n")) == [Block("text", "```python\n", 2)]


def test_a_fence_that_is_never_closed_is_refused_by_line() -> None:
    with pytest.raises(ValueError, match="before line 2 is never closed"):
        list(read_blocks("```python\nx = 1\n"))


@pytest.mark.parametrize("language", ["py", "python3", "pycon"])
def test_a_block_that_looks_like_python_and_would_not_run_is_refused(language: str) -> None:
    with pytest.raises(ValueError, match=f"line 1: mark the block as `python`, not `{language}`"):
        python_blocks(f"```{language}\nx = 1\n```\n")


def test_later_blocks_see_the_names_of_earlier_ones(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```python\nx = hosts\n```\n\n```python\nassert x == '127.0.0.1:2181'\n```\n", encoding="utf-8")

    run(page, "127.0.0.1:2181")


def test_a_failing_block_is_named_by_page_and_line(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Title\n\n```python\nx = 1\nassert x == 2\n```\n", encoding="utf-8")

    with pytest.raises(AssertionError) as caught:
        run(page, "")
    assert (caught.traceback[-1].path, caught.traceback[-1].lineno + 1) == (page, 5)
