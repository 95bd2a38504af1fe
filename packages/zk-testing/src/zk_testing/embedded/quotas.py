"""Quotas: how much of the tree a path may hold, and how much it does.

Rule: the text of the two nodes is the only state; what a server cannot parse there counts as nothing set.

A quota of /a is in the data of /zookeeper/quota/a/zookeeper_limits, its usage in .../zookeeper_stats beside it.
Source: Quotas.java, StatsTrack.java, PathTrie.java.
"""

from __future__ import annotations

import re
from typing import NamedTuple

__all__ = ["LIMITS", "QUOTA_ROOT", "STATS", "QuotaIndex", "Usage"]

QUOTA_ROOT = "/zookeeper/quota"
LIMITS = "zookeeper_limits"
STATS = "zookeeper_stats"


class Usage(NamedTuple):
    """Numbers of nodes and of bytes: limits, where -1 is none, or what is used."""

    nodes: int = -1
    size: int = -1
    hard_count: int = -1
    hard_size: int = -1

    @classmethod
    def parse(cls, data: bytes | None) -> Usage:
        """Read "count=1,bytes=2=;byteHardLimit=3;countHardLimit=4" and its shorter forms."""
        numbers: dict[str, int] = {}
        for pair in re.split("[,;]+", (data or b"").decode("utf-8", "replace")):
            key, _equals, value = pair.partition("=")
            try:
                numbers[key] = int(value.rstrip("=") or "-1")
            except ValueError:
                continue
        return cls(
            numbers.get("count", -1),
            numbers.get("bytes", -1),
            numbers.get("countHardLimit", -1),
            numbers.get("byteHardLimit", -1),
        )

    def grown(self, count: int, size: int) -> Usage:
        """The same with so many more nodes and bytes."""
        return self._replace(nodes=self.nodes + count, size=self.size + size)

    def encode(self) -> bytes:
        """The text servers write."""
        text = f"count={self.nodes},bytes={self.size}"
        if self.hard_count > -1 or self.hard_size > -1:
            text += f"=;byteHardLimit={self.hard_size};countHardLimit={self.hard_count}"
        return text.encode()

    def exceeded_by(self, used: Usage, count: int, size: int) -> bool:
        """Whether these limits forbid so many more nodes and bytes; only hard ones do."""
        if count and -1 < self.hard_count < used.nodes + count:
            return True
        return bool(size) and -1 < self.hard_size < used.size + size


class QuotaIndex:
    """Which paths have a quota."""

    def __init__(self) -> None:
        self._roots: set[str] = set()

    def copy(self) -> QuotaIndex:
        """Another one of the same paths."""
        other = QuotaIndex()
        other._roots = set(self._roots)
        return other

    @staticmethod
    def root_of(folder: str) -> str:
        """The path whose quota is kept in a folder below /zookeeper/quota."""
        return folder if folder == QUOTA_ROOT else folder[len(QUOTA_ROOT) :]

    def add(self, folder: str) -> None:
        """A limits node was created in this folder."""
        self._roots.add(self.root_of(folder))

    def remove(self, folder: str) -> None:
        """The limits node of this folder is gone."""
        self._roots.discard(self.root_of(folder))

    @property
    def exist(self) -> bool:
        """Whether there are any."""
        return bool(self._roots)

    def covering(self, path: str) -> str | None:
        """The longest path with a quota that is `path` or an ancestor of it."""
        if not self._roots:
            return None
        while path and path != "/":
            if path in self._roots:
                return path
            path = path.rpartition("/")[0]
        return None
