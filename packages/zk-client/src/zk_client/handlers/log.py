"""The one logger of the package, made when the first line is written.

Rule: everything is logged below "zk_client"; levels are the application's business. Importing `logging` costs
5 ms, so it is imported when a client starts, not with the package.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from logging import Logger

_NAME = __name__.partition(".")[0]


def logger() -> Logger:
    """The package's logger."""
    import logging

    return logging.getLogger(_NAME)
