"""The servers that the fixtures have started, and healing them between tests.

Rule: those that tests start themselves are none of our business.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING

import pytest

from ._pytest_report import note_used

if TYPE_CHECKING:
    from ._serving import Owned

__all__ = ["disown", "heal_servers", "own"]

_owned = pytest.StashKey["list[Owned]"]()


def pytest_configure(config: pytest.Config) -> None:
    """No server runs yet."""
    config.stash[_owned] = []


def own(config: pytest.Config, server: Owned) -> None:
    """A fixture has started a server (or an ensemble)."""
    config.stash[_owned].append(server)
    distribution = getattr(server, "distribution", None)
    if distribution is not None:
        note_used(config, str(distribution))


def disown(config: pytest.Config, server: Owned) -> None:
    """A fixture is about to stop it."""
    if server in config.stash[_owned]:
        config.stash[_owned].remove(server)


def heal_servers(config: pytest.Config) -> bool:
    """Bring back what a test stopped, killed or paused; tell whether there was anything to heal."""
    damaged = [server for server in config.stash[_owned] if server.damaged]
    for server in damaged:
        server.heal()
    return bool(damaged)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None]:
    """Heal what the test has damaged; servers of finished modules are gone by then."""
    result = yield
    heal_servers(item.config)
    return result
