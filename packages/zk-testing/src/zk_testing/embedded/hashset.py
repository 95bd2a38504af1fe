"""Names and paths in the order in which a real server lists them.

Rule: pure. The order is that of Java's HashSet: it looks arbitrary, is the same each time, and is not that of creation,
so that a client which forgot to sort is found out here and not in production.

Source: DataNode.java and DataTree.java (where the sets are made and copied), java.util.HashMap. Buckets that Java turns
into trees, which takes nine names of one bucket, are not imitated.
"""

from __future__ import annotations

from zk_wire import encode_ustring

__all__ = ["HashSet", "hash_of", "spread"]


class HashSet(dict[str, int]):
    """Strings, each with its hash; within a bucket the oldest comes first, which is why the order of the dict counts.

    buckets: how many there are at first, a power of two.
    """

    __slots__ = ("_buckets", "_encoded")

    def __init__(self, buckets: int) -> None:
        super().__init__()
        self._buckets = buckets
        self._encoded: bytes | None = None

    def add(self, text: str) -> None:
        """Add a string that is not there."""
        self[text] = spread(hash_of(text))
        if 4 * len(self) > 3 * self._buckets:
            self._buckets *= 2  # and never fewer again, however many go
        self._encoded = None

    def discard(self, text: str) -> None:
        """Take a string away, if it is there."""
        self.pop(text, None)
        self._encoded = None

    def clone(self) -> HashSet:
        """Another one that is the same."""
        other = HashSet(self._buckets)
        other.update(self)
        return other

    def listed(self) -> list[str]:
        """The strings in their order."""
        return self._sorted(list(self), self._buckets)

    def listed_by_copy(self) -> list[str]:
        """The strings in the order of a copy, which has as many buckets as it needs."""
        return self._sorted(self.listed(), 1 << (4 * len(self) // 3).bit_length())

    def encoded(self) -> bytes:
        """`listed` as a vector of strings, kept until one comes or goes."""
        encoded = self._encoded
        if encoded is None:
            encoded = len(self).to_bytes(4, "big") + b"".join([encode_ustring(text) for text in self.listed()])
            self._encoded = encoded
        return encoded

    def _sorted(self, texts: list[str], buckets: int) -> list[str]:
        last = buckets - 1
        return sorted(texts, key=lambda text: self[text] & last)


def hash_of(text: str) -> int:
    """String.hashCode, without its sign. For characters up to U+FFFF, as in every path that was checked."""
    value = 0
    for character in text:
        value = (31 * value + ord(character)) & 0xFFFFFFFF
    return value


def spread(value: int) -> int:
    """A hash as Java's maps take their buckets from it."""
    return value ^ value >> 16
