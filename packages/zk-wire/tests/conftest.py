"""How much hypothesis tries (little on a developer's machine, more where CI is set), and a pair of connections."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings
from pairs import Pair, connected_pair

settings.register_profile("ci", max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("local", max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ci" if os.environ.get("CI") else "local")


@pytest.fixture
def pair() -> Pair:
    """The two ends of an open connection."""
    return connected_pair()
