"""Build one package: sdist, wheel from the sdist, and the proof that the tree gives the same wheel.

Rule: what is published is the wheel built from the sdist, so nothing can be missing from the sdist.
Both builds use one SOURCE_DATE_EPOCH (the last commit's time, unless the caller has set it): equal byte for byte.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from tools.workspace import ROOT, Package, read_packages


def build(package: Package, destination: Path) -> list[Path]:
    """Build the package into `destination`; returns the sdist and the wheel.

    Raises ValueError when the wheel from the sdist and the wheel from the tree differ, and CalledProcessError, after
    the builder's own output, when a build fails.
    """
    destination.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f"{package.name}-build-") as name:
        scratch = Path(name)
        sdist = _run_builder(package.folder, "--sdist", scratch / "sdist")
        with tarfile.open(sdist) as archive:
            archive.extractall(scratch / "unpacked", filter="data")
        (unpacked,) = (scratch / "unpacked").iterdir()
        from_sdist = _run_builder(unpacked, "--wheel", scratch / "from-sdist")
        from_tree = _run_builder(package.folder, "--wheel", scratch / "from-tree")
        compare(from_sdist, from_tree)
        return [Path(shutil.copy2(built, destination)) for built in (sdist, from_sdist)]


def compare(from_sdist: Path, from_tree: Path) -> None:
    """Raise ValueError naming both files and hashes unless they are equal."""
    hashes = {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in (from_sdist, from_tree)}
    if hashes[from_sdist] != hashes[from_tree]:
        message = (
            f"{from_sdist.name}: the wheel from the sdist ({hashes[from_sdist][:16]}) differs from the wheel "
            f"from the tree ({hashes[from_tree][:16]})"
        )
        raise ValueError(message)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="build", description="Build packages, from the bottom up, into one folder.")
    parser.add_argument("packages", nargs="*", help="names of packages (default: all)")
    parser.add_argument("--into", type=Path, default=ROOT / "dist", help="destination (default: dist)")
    options = parser.parse_args(arguments)
    os.environ.setdefault("SOURCE_DATE_EPOCH", _time_of_last_commit())
    shutil.rmtree(options.into, ignore_errors=True)
    for package in read_packages():
        if not options.packages or package.name in options.packages:
            for path in build(package, options.into):
                print(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}", flush=True)
    return 0


def _time_of_last_commit() -> str:
    asked = subprocess.run(["git", "log", "-1", "--format=%ct"], cwd=ROOT, capture_output=True, text=True, check=False)
    return asked.stdout.strip() or "1580601600"  # hatchling's own default, where there is no repository


def _run_builder(source: Path, kind: str, destination: Path) -> Path:
    command = [sys.executable, "-m", "build", "--no-isolation", kind, "--outdir", str(destination), str(source)]
    outcome = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if outcome.returncode != 0:
        print(outcome.stdout, file=sys.stderr)
        outcome.check_returncode()
    (built,) = destination.iterdir()
    return built


if __name__ == "__main__":
    sys.exit(main())
