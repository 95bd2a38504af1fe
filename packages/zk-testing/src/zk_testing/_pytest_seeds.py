"""Which seeds simulated tests are run under, where the command line says so.

Rule: the simulation is only imported when it is asked for something.
"""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("zk-testing", "ZooKeeper servers")
    group.addoption("--zk-seed", type=int, metavar="N", help="run tests made by @simulate under this seed only")
    group.addoption("--zk-seeds", type=int, metavar="N", help="run tests made by @simulate under so many seeds each")


def pytest_configure(config: pytest.Config) -> None:
    """Hand what was asked for to the simulation."""
    seed: int | None = config.getoption("--zk-seed")
    seeds: int | None = config.getoption("--zk-seeds")
    if seed is None and seeds is None:
        return
    if (seed is not None and seed < 0) or (seeds is not None and seeds < 1):
        raise pytest.UsageError(f"--zk-seed is at least 0 and --zk-seeds at least 1, not {seed} and {seeds}")
    from .sim.searching import chosen

    chosen.seed, chosen.seeds = seed, seeds


def pytest_unconfigure() -> None:
    """Forget it: another run in this process asks for its own."""
    import sys

    searching = sys.modules.get(f"{__package__}.sim.searching")
    if searching is not None:
        searching.chosen.seed = searching.chosen.seeds = None
