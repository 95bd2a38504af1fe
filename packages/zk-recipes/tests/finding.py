"""How a search shows what it is worth: wrong versions fail in it, and everything it is for comes up."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest
from simulated import SimulationFailedError


def finds(
    run: Callable[[int], object], symptoms: str = "", *, seeds: int = 200, besides: tuple[type[Exception], ...] = ()
) -> None:
    """Run with one seed after the other until one fails for a reason with one of the "symptoms|in|it".

    besides: errors of the wrong version itself, which say nothing.   Fails when no seed below *seeds* does.
    """
    others: list[str] = []
    for seed in range(seeds):
        try:
            run(seed)
        except (SimulationFailedError, AssertionError) as failure:
            reason = failure.reason if isinstance(failure, SimulationFailedError) else str(failure)
            if any(word in reason for word in symptoms.split("|")):
                return
            others.append(f"seed {seed}: {reason}")
        except besides:
            continue
    pytest.fail(f"not found with {seeds} seeds; instead: {others[:3]}")


def meets(run: Callable[[int], Iterable[str]], wanted: set[str], *, seeds: int = 200) -> None:
    """Run with one seed after the other until all that is wanted has come up. Fails when it has not with *seeds*."""
    missing = set(wanted)
    for seed in range(seeds):
        missing.difference_update(run(seed))
        if not missing:
            return
    pytest.fail(f"never met with {seeds} seeds: {', '.join(sorted(missing))}")
