"""What the tests of zk_testing share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from zk_testing import _process
from zk_testing.cluster import live_clusters

pytest_plugins = ["pytester"]


@pytest.fixture
def nothing_left() -> Iterator[None]:
    """After the test no cluster of its own lives, and no process or folder is announced to the reaper."""
    before, watched = set(live_clusters()), _process.watched()
    yield
    assert set(live_clusters()) == before
    assert _process.watched() == watched
