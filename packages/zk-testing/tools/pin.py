"""Writes the pinned list of ZooKeeper releases that `zk_testing.provision` may download.

    python packages/zk-testing/tools/pin.py 3.6.4 3.7.2 3.8.4 3.8.7 3.9.5 3.9.6

Rule: a pin is written only for bytes that were downloaded, hashed here, and compared with the checksum the repository
publishes beside them. The versions of the libraries are the ones the release's own parent POM names, so a pinned server
runs with what it was released with; where that POM is missing (3.8.7 and 3.9.6, when this list was made), the nearest
earlier one of the same line is used, and the output says so. The newest patch release of each line gets the line's name
("3.9"), and the newest of all is "newest".

Only what a server needs is listed: the server and its records, one logging backend (slf4j-simple writes to standard
error, which is the log the cluster shows), the metrics and compression classes it loads, and Netty for TLS. Netty's
native transports are left out, so that one list serves every platform; its classes stay, for the server asks them
whether a native transport is there.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import sys
import urllib.error
import urllib.request
from pathlib import Path

BASE = "https://repo1.maven.org/maven2"
PINS = Path(__file__).resolve().parent.parent / "src" / "zk_testing" / "pins.json"

# (group, artifact, the POM property that holds its version; "" is ZooKeeper's own version)
_JARS = [
    ("org.apache.zookeeper", "zookeeper", ""),
    ("org.apache.zookeeper", "zookeeper-jute", ""),
    ("org.slf4j", "slf4j-api", "slf4j.version"),
    ("org.slf4j", "slf4j-simple", "slf4j.version"),
    ("io.dropwizard.metrics", "metrics-core", "dropwizard.version"),
    ("org.xerial.snappy", "snappy-java", "snappy.version"),
    ("commons-io", "commons-io", "commons-io.version"),
    ("commons-cli", "commons-cli", "commons-cli.version"),
    ("io.netty", "netty-handler", "netty.version"),
    ("io.netty", "netty-common", "netty.version"),
    ("io.netty", "netty-buffer", "netty.version"),
    ("io.netty", "netty-codec", "netty.version"),
    ("io.netty", "netty-resolver", "netty.version"),
    ("io.netty", "netty-transport", "netty.version"),
    ("io.netty", "netty-transport-native-unix-common", "netty.version"),
    ("io.netty", "netty-transport-classes-epoll", "netty.version"),
]
# Not every release's POM names these; a release that does not name them does not use them.
_OPTIONAL = {"commons-io"}


def fetch(path: str) -> bytes:
    """The bytes of one file of the repository."""
    with urllib.request.urlopen(f"{BASE}/{path}", timeout=60) as reply:
        body = reply.read()
    if not isinstance(body, bytes):
        raise TypeError(f"{path}: the repository answered {type(body).__name__}, not bytes")
    return body


def jar_path(group: str, artifact: str, version: str) -> str:
    """Where the repository keeps a jar."""
    return f"{group.replace('.', '/')}/{artifact}/{version}/{artifact}-{version}.jar"


def published_sha1(path: str) -> str:
    """The checksum the repository publishes beside a file (every file has at least SHA-1)."""
    return fetch(path + ".sha1").decode("ascii").split()[0].lower()


def pin(path: str) -> dict[str, str | int]:
    """Download one jar, compare it with the published checksum, and describe it."""
    body = fetch(path)
    sha1 = hashlib.sha1(body, usedforsecurity=False).hexdigest()
    if (published := published_sha1(path)) != sha1:
        raise SystemExit(f"{path}: the repository publishes SHA-1 {published}, the bytes have {sha1}")
    return {"path": path, "sha256": hashlib.sha256(body).hexdigest(), "size": len(body)}


def parent_properties(version: str) -> dict[str, str]:
    """The properties of a release's parent POM, or of the nearest earlier release of its line that has one."""
    line, _, patch = version.rpartition(".")
    for candidate in (f"{line}.{number}" for number in range(int(patch), -1, -1)):
        try:
            pom = fetch(f"org/apache/zookeeper/parent/{candidate}/parent-{candidate}.pom").decode("utf-8")
        except urllib.error.HTTPError as error:
            if error.code != 404:
                raise
            continue
        if candidate != version:
            print(f"  no parent POM of {version}: libraries as in {candidate}", file=sys.stderr)
        return dict(re.findall(r"<([\w.-]+)>([^<]*)</\1>", pom))
    raise SystemExit(f"ZooKeeper {version}: no parent POM in the whole {line} line")


def pin_release(version: str, known: dict[str, dict[str, str | int]]) -> list[dict[str, str | int]]:
    """Describe every jar that one release needs; known jars (by path) are not fetched twice."""
    properties = parent_properties(version)
    jars: list[dict[str, str | int]] = []
    for group, artifact, key in _JARS:
        if key and key not in properties:
            if artifact in _OPTIONAL:
                continue
            raise SystemExit(f"ZooKeeper {version}: the parent POM names no {key}")
        path = jar_path(group, artifact, properties[key] if key else version)
        if path not in known:
            known[path] = pin(path)
            print(f"  {path} {known[path]['size']}", file=sys.stderr)
        jars.append(known[path])
    return jars


def numbers(version: str) -> tuple[int, ...]:
    """A version as numbers, for comparing."""
    return tuple(int(part) for part in version.split("."))


def main() -> None:
    """Pin the named releases and write the list."""
    parser = argparse.ArgumentParser(description="Pin ZooKeeper releases for zk_testing.provision.")
    parser.add_argument("versions", nargs="+", help='releases, for example "3.9.6"')
    versions = sorted(set(parser.parse_args().versions), key=numbers)
    known: dict[str, dict[str, str | int]] = {}
    releases = {}
    for version in versions:
        print(version, file=sys.stderr)
        releases[version] = pin_release(version, known)
    names = {".".join(version.split(".")[:2]): version for version in versions}  # ascending: the last one stays
    names["newest"] = versions[-1]
    PINS.write_text(json.dumps({"names": names, "releases": releases}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    try:
        main()
    except urllib.error.URLError as error:
        raise SystemExit(f"the repository could not be read: {error}") from error
