"""The import of every module of an installed package."""

from __future__ import annotations

import subprocess
import venv
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parent.parent / "import_all.py"


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bare virtual environment; returns its interpreter."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False)
    return folder / "bin" / "python"


def install(environment: Path, name: str, files: dict[str, str]) -> None:
    """Write a package straight into the environment's site-packages."""
    asked = [str(environment), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    site_packages = Path(subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip())
    for path, text in files.items():
        target = site_packages / name / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")


def run(environment: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(environment), "-I", "-W", "error", str(SCRIPT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_every_module_is_imported_but_main(environment: Path) -> None:
    install(environment, "whole", {"__init__.py": "", "a.py": "", "sub/__init__.py": "", "sub/b.py": ""})
    install(environment, "whole", {"__main__.py": "raise SystemExit(3)"})

    outcome = run(environment, "whole")

    assert outcome.stdout.split() == ["whole", "whole.a", "whole.sub", "whole.sub.b"]
    assert outcome.returncode == 0


def test_an_undeclared_dependency_fails_by_name(environment: Path) -> None:
    install(environment, "undeclared", {"__init__.py": "", "a.py": "import not_installed_anywhere"})

    outcome = run(environment, "undeclared")

    assert outcome.returncode != 0
    assert "No module named 'not_installed_anywhere'" in outcome.stderr


def test_a_warning_at_import_fails(environment: Path) -> None:
    install(environment, "warns", {"__init__.py": "import warnings; warnings.warn('old', DeprecationWarning)"})

    assert run(environment, "warns").returncode != 0


def test_a_module_that_needs_an_extra_must_name_it_where_it_is_missing(environment: Path) -> None:
    install(environment, "extras", {"__init__.py": "", "plugin.py": "import missing_extra"})

    assert run(environment, "extras", "extras.plugin=missing_extra").stdout.split() == ["extras"]


def test_a_module_that_needs_an_extra_may_not_miss_anything_else(environment: Path) -> None:
    install(environment, "another", {"__init__.py": "", "plugin.py": "import another_missing"})

    outcome = run(environment, "another", "another.plugin=missing_extra")

    assert outcome.returncode != 0
    assert "No module named 'another_missing'" in outcome.stderr


def test_a_module_listed_as_needing_an_extra_that_imports_without_it_fails(environment: Path) -> None:
    install(environment, "independent", {"__init__.py": "", "plugin.py": ""})

    outcome = run(environment, "independent", "independent.plugin=missing_extra")

    assert outcome.returncode != 0
    assert "independent.plugin imports without `missing_extra`" in outcome.stderr


def test_a_package_from_outside_the_environment_is_refused(environment: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "__init__.py").write_text("", encoding="utf-8")
    install(environment, "linker", {"__init__.py": f"__file__ = {str(tmp_path / 'elsewhere' / '__init__.py')!r}"})

    outcome = run(environment, "linker")

    assert outcome.returncode != 0
    assert "expected a place below" in outcome.stderr
