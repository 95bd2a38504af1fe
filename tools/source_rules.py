"""Rules of the sources that no linter knows, checked on their syntax trees.

1. A package imports itself only relatively, so that a copy of its folder works under another name.
2. Of a sibling it imports only the top level (`from zk_wire import NoNodeError`, `import zk_wire`): same reason.
3. Nothing reads distribution metadata: a vendored copy has none.
4. No async generator in a body: when one is cancelled half-way, its clean-up runs whenever the garbage collector likes.

Rule 4 covers `zk_recipes` and `zk_client`; the other two packages have no bodies.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

from tools.workspace import ROOT, Package, read_packages

PACKAGES_WITH_BODIES = {"zk_client", "zk_recipes"}
_METADATA_MODULES = {"importlib.metadata", "importlib_metadata", "pkg_resources"}


def problems_in(source: str, *, module: str, siblings: set[str], bodies: bool) -> Iterator[tuple[int, str]]:
    """Line number and sentence for every broken rule in one file.

    module: the import name of the package the file belongs to.   siblings: those of the other packages.
    bodies: whether rule 4 applies.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _import_problems(node.lineno, alias.name, module, siblings)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module is not None:
            yield from _import_problems(node.lineno, node.module, module, siblings)
            if node.module == "importlib" and any(alias.name == "metadata" for alias in node.names):
                yield node.lineno, "reads distribution metadata (`importlib.metadata`), which a vendored copy lacks"
        elif bodies and isinstance(node, ast.AsyncFunctionDef) and _yields(node):
            yield node.lineno, f"`{node.name}` is an async generator; a body returns values or takes a callback"
        elif bodies and isinstance(node, ast.GeneratorExp) and any(part.is_async for part in node.generators):
            yield node.lineno, "asynchronous generator expression; use a list"


def check(root: Path = ROOT) -> list[str]:
    """Every broken rule in the sources of every package, as `file:line: sentence`."""
    packages = read_packages(root)
    found: list[str] = []
    for package in packages:
        siblings = {other.module for other in packages} - {package.module}
        for path in sorted(package.source.rglob("*.py")):
            for line, sentence in problems_in(
                path.read_text(encoding="utf-8"), module=package.module, siblings=siblings, bodies=_has_bodies(package)
            ):
                found.append(f"{path.relative_to(root)}:{line}: {sentence}")
    return found


def main() -> int:
    problems = check()
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


def _has_bodies(package: Package) -> bool:
    return package.module in PACKAGES_WITH_BODIES


def _import_problems(line: int, imported: str, module: str, siblings: set[str]) -> Iterator[tuple[int, str]]:
    top = imported.partition(".")[0]
    if top == module:
        yield line, f"imports its own package by name (`{imported}`); use a relative import"
    elif top in siblings and imported != top:
        yield line, f"imports a module of a sibling (`{imported}`); import the name from `{top}`"
    elif imported in _METADATA_MODULES:
        yield line, f"reads distribution metadata (`{imported}`), which a vendored copy lacks"


def _yields(function: ast.AsyncFunctionDef) -> bool:
    """Whether the function itself yields; functions and classes defined inside it do not count."""
    to_visit: list[ast.AST] = list(function.body)
    while to_visit:
        node = to_visit.pop()
        if isinstance(node, ast.Yield):
            return True
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
            to_visit += ast.iter_child_nodes(node)
    return False


if __name__ == "__main__":
    sys.exit(main())
