"""Import every module of an installed package and say where it came from.

Rule: standard library only, and run by itself as `python -I -W error import_all.py <module> [<module>=<needs>...]`,
before any test tool is installed, so that an undeclared dependency has nowhere to hide.

`zk_testing.plugin=pytest` says that a module needs an extra: it must import where the extra is installed, and
must fail by naming exactly that extra where it is not.
"""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
import sys
import sysconfig
from pathlib import Path
from types import ModuleType


def import_all(name: str, needs: dict[str, str]) -> list[str]:
    """Import `name` and everything below it except `__main__`; returns the names that were imported.

    needs: module name to the top-level module of the extra it needs.
    Raises ImportError, with the module's own cause, for one that does not import or comes from a wrong place.
    """
    top = importlib.import_module(name)
    imported = [_installed(top)]
    for info in pkgutil.walk_packages(top.__path__, f"{name}."):
        if info.name.rpartition(".")[2] == "__main__":
            continue
        extra = needs.get(info.name)
        if extra is not None and importlib.util.find_spec(extra) is None:
            _expect_missing(info.name, extra)
        else:
            imported.append(_installed(importlib.import_module(info.name)))
    return imported


def _expect_missing(name: str, extra: str) -> None:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.partition(".")[0] == extra:
            return
        raise
    message = f"{name} imports without `{extra}`: take it off the list of modules that need an extra"
    raise ImportError(message)


def _installed(module: ModuleType) -> str:
    site_packages = Path(sysconfig.get_path("purelib")).resolve()
    origin = module.__file__
    if origin is None or not Path(origin).resolve().is_relative_to(site_packages):
        message = f"{module.__name__} was imported from {origin}, expected a place below {site_packages}"
        raise ImportError(message)
    return module.__name__


def main(arguments: list[str]) -> int:
    name, *pairs = arguments
    needs = dict(pair.split("=", 1) for pair in pairs)
    for imported in import_all(name, needs):
        print(imported)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
