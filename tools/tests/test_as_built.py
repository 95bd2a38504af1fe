"""What is installed is what was built."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parent.parent / "as_built.py"


@pytest.fixture
def site_packages(tmp_path: Path) -> Path:
    """An empty folder that is looked at as if it were an environment's."""
    folder = tmp_path / "site-packages"
    folder.mkdir()
    return folder


@pytest.fixture
def dist(tmp_path: Path) -> Path:
    folder = tmp_path / "dist"
    folder.mkdir()
    return folder


def build(dist: Path, name: str, text: str, version: str = "1.0") -> Path:
    wheel = dist / f"{name}-{version}-py3-none-any.whl"
    about = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(f"{name}/__init__.py", text)
        archive.writestr(f"{name}/py.typed", "")
        archive.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        archive.writestr(f"{about}/RECORD", "as built")
    return wheel


def install(wheel: Path, site_packages: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site_packages)
    (record,) = site_packages.glob(f"{wheel.name.partition('-')[0]}-*/RECORD")
    record.write_text("as installed", encoding="utf-8")


def compare(dist: Path, site_packages: Path) -> subprocess.CompletedProcess[str]:
    looking = f"import sys, runpy; sys.path.append({str(site_packages)!r}); sys.argv = ['as_built', {str(dist)!r}]"
    command = [sys.executable, "-I", "-c", f"{looking}; runpy.run_path({str(SCRIPT)!r}, run_name='__main__')"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_what_was_installed_from_dist_is_as_built_and_what_is_not_installed_does_not_matter(
    dist: Path, site_packages: Path
) -> None:
    install(build(dist, "one", "new = True"), site_packages)
    build(dist, "other", "")

    outcome = compare(dist, site_packages)

    assert (outcome.returncode, outcome.stderr) == (0, "")


def test_the_files_of_an_earlier_build_are_named(dist: Path, site_packages: Path) -> None:
    install(build(dist, "one", "new = False"), site_packages)
    (site_packages / "one" / "py.typed").unlink()
    build(dist, "one", "new = True")

    outcome = compare(dist, site_packages)

    assert outcome.returncode == 1
    assert outcome.stderr.splitlines() == [
        "installed otherwise than built: one: one/__init__.py",
        "installed otherwise than built: one: one/py.typed",
    ]


def test_another_version_is_named(dist: Path, site_packages: Path) -> None:
    install(build(dist, "one", ""), site_packages)
    (dist / "one-1.0-py3-none-any.whl").unlink()
    build(dist, "one", "", "1.1")

    outcome = compare(dist, site_packages)

    assert outcome.returncode == 1
    assert "one: version 1.0 is installed, 1.1 was built" in outcome.stderr


def test_nothing_to_compare_is_no_success(dist: Path, site_packages: Path) -> None:
    build(dist, "one", "")

    outcome = compare(dist, site_packages)

    assert outcome.returncode != 0
    assert "no wheel of" in outcome.stderr
