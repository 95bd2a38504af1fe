"""The one exception of the embedded server's inside: a request is refused with an error code.

Rule: it never leaves this package; the processor turns it into the reply's error.
"""

from __future__ import annotations

__all__ = ["Refused"]


class Refused(Exception):
    """A request cannot be done.   code: as on the wire."""

    def __init__(self, code: int) -> None:
        super().__init__(f"refused with the error code {int(code)}")
        self.code = int(code)
