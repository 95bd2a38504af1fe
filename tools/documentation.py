"""The code blocks of a Markdown page, and running a page's Python blocks as one program.

    ZK_HOSTS=127.0.0.1:2181 python -W error -m tools.documentation README.md

Rule: the blocks of one page run in order in one namespace, in which `hosts` is the address of a server. A traceback
names the page and the line in it. A block whose fence says `python file=NAME` is a part of that file instead, and is
not run by itself: `files` gives them to whoever runs the page as the project that it shows. Standard library only.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_FENCE = re.compile(r"^(?P<fence>`{3,}|~{3,})[ ]*(?P<language>[^\s`{]*)(?:[ ]+file=(?P<file>[\w./-]+))?[^`]*$")


@dataclass(frozen=True)
class Block:
    """A fenced block: its language (the first word after the fence, in lower case), its text, its first line.

    file: of which it is a part, if the fence says so.
    """

    language: str
    text: str
    line: int
    file: str | None = None


def read_blocks(page: str) -> Iterator[Block]:
    """Every fenced block of a page, in order. Raises ValueError for a fence that is never closed."""
    fence, language, start = "", "", 0
    file: str | None = None
    inside: list[str] = []
    for number, line in enumerate(page.splitlines(), start=1):
        if fence:
            if line.strip().startswith(fence) and not line.strip().strip(fence[0]):
                yield Block(language, "".join(f"{text}\n" for text in inside), start, file)
                fence = ""
            else:
                inside.append(line)
        elif found := _FENCE.match(line):
            fence, language, start = found["fence"], found["language"].lower(), number + 1
            file = found["file"]
            inside = []
    if fence:
        message = f"the fence before line {start} is never closed"
        raise ValueError(message)


def python_blocks(page: str) -> list[Block]:
    """The blocks that are run: those marked `python`.

    Raises ValueError for another spelling (`py`, `python3`), which would be shown like Python and never run.
    """
    blocks: list[Block] = []
    for block in read_blocks(page):
        if block.language == "python":
            if block.file is None:
                blocks.append(block)
        elif block.language in {"py", "python3", "pycon"}:
            message = f"line {block.line - 1}: mark the block as `python`, not `{block.language}`, so that it is run"
            raise ValueError(message)
    return blocks


def files(page: str) -> dict[str, str]:
    """The files that a page's blocks make up, by name; the parts of one file follow each other with two empty lines."""
    found: dict[str, list[str]] = {}
    for block in read_blocks(page):
        if block.file is not None:
            found.setdefault(block.file, []).append(block.text)
    return {name: "\n\n".join(parts) for name, parts in found.items()}


def run(path: Path, hosts: str) -> None:
    """Run a page's Python blocks in order in one namespace; whatever they raise is raised."""
    namespace: dict[str, object] = {"__name__": "__main__", "hosts": hosts}
    for block in python_blocks(path.read_text(encoding="utf-8")):
        # The blank lines put every line of the block where it is in the page.
        code = compile("\n" * (block.line - 1) + block.text, str(path), "exec")
        exec(code, namespace)  # noqa: S102 - running the page's own code is the purpose


if __name__ == "__main__":
    run(Path(sys.argv[1]), os.environ.get("ZK_HOSTS", ""))
