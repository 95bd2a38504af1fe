"""What the tests of zk_testing share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from zk_testing import _process
from zk_testing.cluster import live_clusters

pytest_plugins = ["pytester"]


@pytest.fixture
def nothing_left() -> Iterator[None]:
    """After the test no cluster of its own lives, and nothing is announced to the reaper but what lives on purpose."""
    before = set(live_clusters())
    yield
    assert set(live_clusters()) == before
    expected = {f"f{cluster.folder}" for cluster in before}
    expected |= {f"p{member.pid}" for cluster in before for member in cluster.members if member.running}
    assert _process.watched() == expected
