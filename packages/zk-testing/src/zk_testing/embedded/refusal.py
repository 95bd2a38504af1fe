"""The exceptions of the embedded server's inside: a request is refused, or breaks the server's own code.

Rule: they never leave this package; the core turns them into the reply's error.
"""

from __future__ import annotations

__all__ = ["BrokenRequestError", "RefusedError"]


class RefusedError(Exception):
    """A request cannot be done.   code: as on the wire."""

    def __init__(self, code: int) -> None:
        super().__init__(f"refused with the error code {int(code)}")
        self.code = int(code)


class BrokenRequestError(Exception):
    """A real server stumbles over the request: the answer is -5, and a multi has no results then."""
