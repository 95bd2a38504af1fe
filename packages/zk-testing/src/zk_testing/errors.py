"""What can go wrong with the servers, proxies and tools of this package.

Rule: an error says what was asked, the rule, and what was seen; the facts are attributes.

    ZooKeeperError                   (zk_wire)
      TestingError                   everything of this package
        NoServerError                no ZooKeeper of that version can be had on this machine: a test skips
        ChecksumMismatchError        what was downloaded is not what was pinned: never a skip
        ClusterError                 a server did not do what was asked, with the end of its log
        NotSeenError                 what a test waited for did not pass the proxy in time (also a TimeoutError)
        ConversationError            the raw client's server closed, or stayed silent
          SessionRefusedError        it has no session of that id and password, or none any more
"""

from __future__ import annotations

from zk_wire import ZooKeeperError

__all__ = [
    "ChecksumMismatchError",
    "ClusterError",
    "ConversationError",
    "NoServerError",
    "NotSeenError",
    "SessionRefusedError",
    "TestingError",
]


class TestingError(ZooKeeperError):
    """Something of zk_testing failed."""

    __test__ = False  # the name begins with "Test", and pytest would take it for a test class


class NoServerError(TestingError):
    """No ZooKeeper of the asked version can be had here; `reasons` says why, one line for each source."""

    def __init__(self, version: str, reasons: list[str]) -> None:
        super().__init__(f"no ZooKeeper {version} can be had here: " + "; ".join(reasons))
        self.version = version
        self.reasons = tuple(reasons)


class ChecksumMismatchError(TestingError):
    """A downloaded file has another SHA-256 (or size) than the pinned one; it was thrown away."""

    def __init__(self, url: str, expected: str, actual: str) -> None:
        super().__init__(f"{url} does not match its pin: expected {expected}, got {actual}; nothing was kept")
        self.url = url
        self.expected = expected
        self.actual = actual


class ClusterError(TestingError):
    """A server did not do what was asked in time; `log` holds the last lines it wrote."""

    def __init__(self, message: str, *, log: str = "") -> None:
        super().__init__(f"{message}\n{log}" if log else message)
        self.log = log


class NotSeenError(TestingError, TimeoutError):
    """What a test waited for did not pass a proxy in time."""


class ConversationError(TestingError):
    """The server ended a raw conversation, or did not answer in time."""


class SessionRefusedError(ConversationError):
    """The server has no session of that id and password, or has it no more."""
