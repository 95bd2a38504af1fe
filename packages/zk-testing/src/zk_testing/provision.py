"""Finds a real ZooKeeper of a named version: what to run, and where it came from.

Rule: sources are asked in a fixed order, and one that holds another version than the asked one is passed over. The
answer always says which source it was; when none can serve, the error says why, source by source.

| order | source | which versions |
|---|---|---|
| 1 | `ZOOKEEPER_CLASSPATH` (verbatim), then `ZOOKEEPER_PATH` (a release, or a folder of jars) | the one there |
| 2 | the cache: `ZK_TESTING_CACHE`, else `zk-testing` in `XDG_CACHE_HOME` or `~/.cache` | the pinned ones |
| 3 | Debian's packages (`libzookeeper-java`): `/usr/share/java` | the one installed |
| 4 | Maven Central, by a pinned list with the SHA-256 of every file, into the cache | the pinned ones |

A version is an exact release ("3.8.4"), a line ("3.9": any release of it in sources 1 and 3, the pinned one in 2 and 4)
or "newest" (the newest pinned release or a later one). `ZK_TESTING_MAVEN_URL` names a mirror to use in place of Maven
Central; set to nothing it turns downloading off.

`python -m zk_testing.provision 3.8 3.9` fetches what is missing and prints what would be used, for example when an
image is built.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

from ._java import Java, find_java
from ._maven import MAVEN_CENTRAL, DownloadError, PinnedJar, cache_directory, cached, download, pins
from .errors import NoServerError, TestingError

__all__ = ["Distribution", "find_server", "known_versions"]

DEBIAN_JARS = Path("/usr/share/java")

# What Debian's server needs beside zookeeper.jar (netty-all.jar is an empty shell there). One logging backend only: the
# first of the two that is there.
_DEBIAN_NEEDS = (
    "zookeeper-jute.jar",
    "slf4j-api.jar",
    "metrics-core.jar",
    "snappy-java.jar",
    "commons-io.jar",
    "netty-handler.jar",
    "netty-common.jar",
    "netty-buffer.jar",
    "netty-codec.jar",
    "netty-resolver.jar",
    "netty-transport.jar",
    "netty-transport-native-epoll.jar",
    "netty-transport-native-unix-common.jar",
)
_DEBIAN_LOGGING = ("slf4j-simple.jar", "slf4j-nop.jar")

_VERSION = re.compile(r"\d+\.\d+(\.\d+)?")


@dataclass(frozen=True, slots=True)
class Distribution:
    """A ZooKeeper that can be run: its exact version, its class path, the Java for it, and where both came from."""

    version: str
    source: str
    classpath: str
    java: Java

    def __str__(self) -> str:
        return f"ZooKeeper {self.version} from {self.source}, Java {self.java.executable} from {self.java.source}"


def known_versions() -> tuple[str, ...]:
    """The exact releases that can be downloaded, oldest first."""
    return tuple(sorted(pins().releases, key=_numbers))


def find_server(version: str = "3.9") -> Distribution:
    """Find (downloading it if need be) a ZooKeeper server of a version.

    version: an exact release, a line such as "3.9", or "newest".
    Raises NoServerError when no source has one, or there is no Java; ChecksumMismatchError when a download is not what
    was pinned; ValueError for a version that is none of the three.
    """
    if version != "newest" and not _VERSION.fullmatch(version):
        raise ValueError(f'version is an exact release ("3.8.4"), a line ("3.9") or "newest", not {version!r}')
    java = find_java()
    if not isinstance(java, Java):
        raise NoServerError(version, ["no Java to run one"] + java)
    reasons: list[str] = []
    for source in (_from_environment, _from_cache, _from_debian, _from_maven):
        found = source(version)
        if isinstance(found, str):
            reasons.append(found)
        else:
            exact, where, classpath = found
            return Distribution(exact, where, classpath, java)
    raise NoServerError(version, reasons)


# The sources: each answers (exact version, where, class path), or the reason why not.


def _from_environment(version: str) -> tuple[str, str, str] | str:
    reasons: list[str] = []
    for variable in ("ZOOKEEPER_CLASSPATH", "ZOOKEEPER_PATH"):
        value = os.environ.get(variable)
        if not value:
            reasons.append(f"{variable} is not set")
            continue
        classpath = value if variable == "ZOOKEEPER_CLASSPATH" else _classpath_of_folder(Path(value))
        exact = _version_of(classpath)
        if exact is None:
            reasons.append(f"{variable} ({value}) holds no ZooKeeper server that names its version")
        elif _fits(exact, version):
            return exact, f"{variable} ({value})", classpath
        else:
            reasons.append(f"{variable} ({value}) holds {exact}")
    return ", ".join(reasons)


def _from_cache(version: str) -> tuple[str, str, str] | str:
    pinned = _pinned(version)
    if isinstance(pinned, str):
        return pinned
    exact, jars = pinned
    directory = cache_directory()
    paths = cached(jars, directory)
    if paths is None:
        return f"the cache {directory} has no {exact}"
    return exact, f"the cache {directory}", os.pathsep.join(map(str, paths))


def _from_debian(version: str) -> tuple[str, str, str] | str:
    server = DEBIAN_JARS / "zookeeper.jar"
    if not server.exists():
        return f"Debian's package libzookeeper-java is not installed (no {server})"
    exact = _version_of(str(server))
    if exact is None:
        return f"{server} does not name its version"
    if not _fits(exact, version):
        return f"Debian's package is {exact}"
    jars = [server, *(DEBIAN_JARS / name for name in _DEBIAN_NEEDS)]
    jars += [DEBIAN_JARS / name for name in _DEBIAN_LOGGING if (DEBIAN_JARS / name).exists()][:1]
    if missing := [jar.name for jar in jars if not jar.exists()]:
        return f"Debian's package is there, but not {', '.join(missing)} in {DEBIAN_JARS}"
    return exact, f"Debian's packages ({DEBIAN_JARS})", os.pathsep.join(map(str, jars))


def _from_maven(version: str) -> tuple[str, str, str] | str:
    base = os.environ.get("ZK_TESTING_MAVEN_URL", MAVEN_CENTRAL)
    if not base:
        return "downloading is turned off (ZK_TESTING_MAVEN_URL is empty)"
    pinned = _pinned(version)
    if isinstance(pinned, str):
        return "so it cannot be downloaded either"
    exact, jars = pinned
    try:
        paths = download(jars, cache_directory(), base, label=f"zookeeper-{exact}")
    except DownloadError as error:
        return str(error)
    except OSError as error:
        return f"the cache {cache_directory()} cannot be written: {error}"
    where = "Maven Central" if base == MAVEN_CENTRAL else base
    return exact, f"{where}, now in the cache {cache_directory()}", os.pathsep.join(map(str, paths))


# Versions


def _pinned(version: str) -> tuple[str, tuple[PinnedJar, ...]] | str:
    table = pins()
    exact = table.names.get(version, version)
    jars = table.releases.get(exact)
    if jars is None:
        return f"{version} is not pinned (pinned are {', '.join(known_versions())})"
    return exact, jars


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def _fits(exact: str, asked: str) -> bool:
    """Whether a found release is one that was asked for."""
    if asked == "newest":
        return _numbers(exact) >= _numbers(pins().names["newest"])
    return _numbers(exact)[: len(_numbers(asked))] == _numbers(asked)


def _version_of(classpath: str) -> str | None:
    """The version of the ZooKeeper server in a class path: what its manifest says, else what its file name says."""
    for path in _jars_of(classpath):
        if not re.fullmatch(r"zookeeper(-\d.*)?\.jar", path.name):
            continue
        if found := _version_in_manifest(path) or _version_in_name(path):
            return found
    return None


def _version_in_manifest(path: Path) -> str | None:
    try:
        with zipfile.ZipFile(path) as jar:
            manifest = jar.read("META-INF/MANIFEST.MF").decode("utf-8", "replace")
    except (OSError, KeyError, zipfile.BadZipFile):
        return None
    match = re.search(r"^(?:Implementation|Bundle)-Version:\s*(\d+\.\d+\.\d+)", manifest, re.MULTILINE)
    return match[1] if match else None


def _version_in_name(path: Path) -> str | None:
    """The version in a jar's own name, its target's, or (Debian) that of a link to it in the same folder."""
    links = [link for link in path.parent.glob("zookeeper-[0-9]*.jar") if link.resolve() == path.resolve()]
    for name in (path.name, path.resolve().name, *(link.name for link in links)):
        if match := re.search(r"-(\d+\.\d+\.\d+)", name):
            return match[1]
    return None


# Class paths


def _classpath_of_folder(folder: Path) -> str:
    """An unpacked release (jars in it and in lib/, its logging set-up in conf/) or a folder of jars."""
    entries = [folder / "conf"] if (folder / "conf").is_dir() else []
    for place in (folder, folder / "lib"):
        entries += sorted(place.glob("*.jar"))
    return os.pathsep.join(map(str, entries))


def _jars_of(classpath: str) -> list[Path]:
    jars: list[Path] = []
    for entry in classpath.split(os.pathsep):
        if entry.endswith("*"):  # Java's own wildcard: every jar of that folder
            jars += sorted(Path(entry[:-1] or ".").glob("*.jar"))
        else:
            jars.append(Path(entry))
    return jars


def main(arguments: list[str] | None = None) -> int:
    """The command line: fetch the named versions and print what would be used. Returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m zk_testing.provision", description="Find or fetch real ZooKeeper servers for tests."
    )
    parser.add_argument("versions", nargs="*", default=["3.9"], help='for example 3.8, 3.9.5 or newest (default "3.9")')
    status = 0
    for version in parser.parse_args(arguments).versions:
        try:
            print(find_server(version))
        except (TestingError, ValueError) as error:
            print(error, file=sys.stderr)
            status = 1
    return status


if __name__ == "__main__":
    raise SystemExit(main())
