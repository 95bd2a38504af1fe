"""Which servers a test runs on: the words of `--zk`, of the markers and of the unittest harness.

Rule: decides only, from text and names; finds and starts nothing.

| word | server |
|---|---|
| `embedded`, `embedded:3.8` | an embedded one, of the default version or of the named one |
| `real`, `real:3.8.4` | a real one, likewise |
| `3.8.4`, `3.9`, `newest` | a real one of that version |

Words are separated by commas or blanks. A version is a line ("3.9"), a release ("3.8.4") or "newest".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

__all__ = ["Choice", "DEFAULT_VERSION", "EMBEDDED", "REAL", "choose", "parse_choices", "parse_version"]

DEFAULT_VERSION = "3.9"
EMBEDDED = "embedded"
REAL = "real"

_VERSION = re.compile(r"\d+\.\d+(\.\d+)?|newest")


@dataclass(frozen=True, slots=True)
class Choice:
    """One kind of server.   kind: "embedded" or "real".   version: as asked for; None where nobody asked."""

    kind: str
    version: str | None = None

    def __str__(self) -> str:
        return self.kind if self.version is None else f"{self.kind}-{self.version}"

    @property
    def embedded(self) -> bool:
        """Whether the server lives in this process."""
        return self.kind == EMBEDDED

    @property
    def exact(self) -> str:
        """The version, the default one where nobody asked."""
        return self.version or DEFAULT_VERSION

    def with_version(self, version: str) -> Choice:
        """The same, of this version where none was asked for."""
        return self if self.version is not None else Choice(self.kind, version)


def parse_version(text: str) -> str:
    """Check a version. Raises ValueError with the forms that there are."""
    if not _VERSION.fullmatch(text):
        raise ValueError(f'a version is a release ("3.8.4"), a line ("3.9") or "newest", not {text!r}')
    return text


def parse_choices(words: str | Iterable[str]) -> tuple[Choice, ...]:
    """The choices that words name, each once, in order. Raises ValueError for a word that is none, and for no word."""
    texts = [words] if isinstance(words, str) else list(words)
    found: dict[Choice, None] = {}
    for word in re.split(r"[\s,]+", " ".join(texts).strip()):
        kind, colon, version = word.partition(":")
        if kind in (EMBEDDED, REAL) and (not colon or _VERSION.fullmatch(version)):
            found[Choice(kind, version or None)] = None
        elif _VERSION.fullmatch(word):
            found[Choice(REAL, word)] = None
        else:
            raise ValueError(
                f'a server is "embedded", "real" or a version of real ones, as "real", "embedded:3.8" or "3.8.4", '
                f"not {word!r}"
            )
    return tuple(found)


def choose(
    *,
    asked: Sequence[Choice] | None,
    default: Sequence[Choice] | None,
    marked: Sequence[Choice] | None,
    versions: Sequence[str] | None,
    version: str,
    fallback: str,
) -> tuple[Choice, ...]:
    """The servers of one test, every one with its version; none when the command line leaves none of the test's own.

    asked: what the command line names: it restricts what a test names, and never widens it.   default: what the
    settings name; a test's own choice goes before it.   marked, versions: what the test names.   version: the one to
    take where nobody names any.   fallback: the kind of server where nobody names any.
    """
    offered = asked or marked or default or (Choice(fallback),)
    if asked and marked:
        offered = tuple(filter(None, (_common(one, other) for one in asked for other in marked)))
    if versions:
        offered = tuple(filter(None, (_common(one, Choice(one.kind, v)) for one in offered for v in versions)))
    return tuple(dict.fromkeys(choice.with_version(version) for choice in offered))


def _common(one: Choice, other: Choice) -> Choice | None:
    """What fits both: the narrower version of two that agree."""
    if one.kind != other.kind:
        return None
    first, second = one.version, other.version
    if first is None or second is None or first == second:
        return Choice(one.kind, first or second)
    if first.startswith(f"{second}."):
        return one
    return other if second.startswith(f"{first}.") else None
