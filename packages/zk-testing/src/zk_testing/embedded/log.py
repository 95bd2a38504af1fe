"""The history that all members of an ensemble share: what a quorum has agreed on, in its order.

Rule: only ever longer; an entry has the same index for everybody. The oldest entries may be forgotten, after which a
member that lacks them takes over another's state instead.
"""

from __future__ import annotations

from .transactions import Transaction

__all__ = ["Log"]


class Log:
    """Transactions by index, from 0."""

    def __init__(self) -> None:
        self._entries: list[Transaction] = []
        self.base = 0  # the index of the first entry that is kept
        self._forgotten_zxid = 0

    def __len__(self) -> int:
        return self.base + len(self._entries)

    def append(self, transaction: Transaction) -> None:
        """Add an entry."""
        self._entries.append(transaction)

    def __getitem__(self, index: int) -> Transaction:
        return self._entries[index - self.base]

    def since(self, index: int) -> list[Transaction]:
        """The entries from an index on, all of which are kept."""
        return self._entries[index - self.base :]

    def zxid_before(self, index: int) -> int:
        """The zxid of the last of so many entries; 0 for none."""
        return self._entries[index - self.base - 1].zxid if index > self.base else self._forgotten_zxid

    def forget(self, index: int) -> None:
        """Drop the entries before an index."""
        if index > self.base:
            self._forgotten_zxid = self.zxid_before(index)
            del self._entries[: index - self.base]
            self.base = index
