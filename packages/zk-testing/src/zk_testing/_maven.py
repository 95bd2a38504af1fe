"""Downloads pinned ZooKeeper releases into the cache.

Rule: only what `pins.json` lists is ever fetched, and a file gets its name in the cache only after its size and
SHA-256 were found right, by a rename; whoever reads the cache sees whole, verified files or none.

Processes that want the same release at the same time (pytest-xdist) wait for each other on a lock file, so that each
file is fetched once. `tools/pin.py` in this package's repository writes the pins.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Generator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

from .errors import ChecksumMismatchError, TestingError

__all__ = ["MAVEN_CENTRAL", "DownloadError", "PinnedJar", "Pins", "cache_directory", "cached", "download", "pins"]

MAVEN_CENTRAL = "https://repo1.maven.org/maven2"

_READ_TIMEOUT = 30.0  # seconds without a byte
_LOCK_TIMEOUT = 600.0  # seconds to wait for another process that fetches the same release
_PAUSES = (0.5, 2.0, 5.0)  # seconds before the second, third and fourth try
_CHUNK = 1 << 16


class DownloadError(TestingError):
    """A file could not be fetched, after all tries."""


@dataclass(frozen=True, slots=True)
class PinnedJar:
    """One file of a release: its path in the repository, its SHA-256 (hex) and its size in bytes."""

    path: str
    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class Pins:
    """The pinned releases, and the names ("3.9", "newest") that stand for one of them."""

    names: Mapping[str, str]
    releases: Mapping[str, tuple[PinnedJar, ...]]


@cache
def pins() -> Pins:
    """The list this version of the package was released with."""
    table = json.loads(files("zk_testing").joinpath("pins.json").read_text(encoding="utf-8"))
    releases = {
        version: tuple(PinnedJar(jar["path"], jar["sha256"], jar["size"]) for jar in jars)
        for version, jars in table["releases"].items()
    }
    return Pins(dict(table["names"]), releases)


def cache_directory() -> Path:
    """ZK_TESTING_CACHE, else zk-testing in XDG_CACHE_HOME, else in ~/.cache; it may not exist yet."""
    if chosen := os.environ.get("ZK_TESTING_CACHE"):
        return Path(chosen).expanduser().absolute()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "zk-testing"


def cached(jars: tuple[PinnedJar, ...], directory: Path) -> tuple[Path, ...] | None:
    """The files of a release if the cache holds all of them, whole; None otherwise."""
    paths = tuple(directory / jar.path for jar in jars)
    if all(_is_whole(path, jar) for path, jar in zip(paths, jars, strict=True)):
        return paths
    return None


def download(jars: tuple[PinnedJar, ...], directory: Path, base_url: str, *, label: str) -> tuple[Path, ...]:
    """Bring every file of a release into the cache and return their paths.

    label: names the lock file, so one release is fetched by one process at a time.
    Raises DownloadError, after which the files that did arrive stay; ChecksumMismatchError.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with _lock(directory / f".{label}.lock"):
        missing = [jar for jar in jars if not _is_whole(directory / jar.path, jar)]
        with ThreadPoolExecutor(max_workers=4, thread_name_prefix="zk-testing-download") as pool:
            for done in [pool.submit(_fetch, jar, directory, base_url) for jar in missing]:
                done.result()
    return tuple(directory / jar.path for jar in jars)


def _is_whole(path: Path, jar: PinnedJar) -> bool:
    try:
        if path.stat().st_size != jar.size:
            return False
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == jar.sha256
    except OSError:
        return False


def _fetch(jar: PinnedJar, directory: Path, base_url: str) -> None:
    url = f"{base_url.rstrip('/')}/{jar.path}"
    for pause in (*_PAUSES, None):
        try:
            _fetch_once(jar, directory, url)
            return
        except (OSError, http.client.HTTPException) as error:
            final = False
            if isinstance(error, urllib.error.HTTPError):
                error.close()  # it holds the connection
                final = 400 <= error.code < 500 and error.code != 429
            if final or pause is None:
                raise DownloadError(f"{url} could not be fetched: {error}") from error
            time.sleep(pause)


def _fetch_once(jar: PinnedJar, directory: Path, url: str) -> None:
    target = directory / jar.path
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=target.parent, prefix=".part-", delete=False) as part:
        try:
            digest, size = hashlib.sha256(), 0
            with urllib.request.urlopen(url, timeout=_READ_TIMEOUT) as reply:
                while chunk := reply.read(_CHUNK):
                    size += len(chunk)
                    if size > jar.size:
                        raise ChecksumMismatchError(url, f"{jar.size} bytes", "more")
                    digest.update(chunk)
                    part.write(chunk)
                expected_length = reply.headers.get("Content-Length")
            if expected_length is not None and size < int(expected_length):
                raise OSError(f"the connection ended after {size} of {expected_length} bytes")
            if digest.hexdigest() != jar.sha256:
                raise ChecksumMismatchError(url, f"SHA-256 {jar.sha256}", f"{digest.hexdigest()} ({size} bytes)")
            part.close()
            os.chmod(part.name, 0o644)
            os.replace(part.name, target)
        except BaseException:
            with suppress(OSError):
                os.unlink(part.name)
            raise


@contextmanager
def _lock(path: Path) -> Generator[None]:
    """Hold an exclusive lock on a file; the kernel lets go of it when the process dies. Windows has no such lock."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    deadline = time.monotonic() + _LOCK_TIMEOUT
    with path.open("ab") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise DownloadError(
                        f"{path} has been locked by another process for {_LOCK_TIMEOUT:.0f} s"
                    ) from None
                time.sleep(0.05)
        yield
