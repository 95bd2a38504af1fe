"""The search for a seed that fails, and the making small of what it found.

Rule: seeds are tried in order, and the first that fails ends the search. Its faults are then taken away one by one, as
long as it fails in the same way; what is left is run once more with its timeline kept, and raised.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, TypeVar

from ..embedded.settings import EnsembleSettings, Settings
from .faults import FAULTS, Faults
from .world import Simulation, SimulationFailedError

__all__ = ["chosen", "search", "simulate"]

T = TypeVar("T")
Main = Callable[[Simulation], Coroutine[Any, Any, T]]

_MOST_ATTEMPTS = 100  # runs that a failure is made smaller in


class Chosen:
    """What the command line asks for instead of what a test does.   seed: this one only.   seeds: so many."""

    def __init__(self) -> None:
        self.seed: int | None = None
        self.seeds: int | None = None


chosen = Chosen()


def search(
    main: Main[Any],
    seeds: Iterable[int] = range(1000),
    *,
    servers: int = 1,
    settings: Settings | EnsembleSettings | None = None,
    faults: Faults = FAULTS,
    time_limit: float = 3600.0,
) -> int:
    """Run `main` in a simulated world under each seed; return how many were tried.

    The parameters are those of Simulation. Raises SimulationFailedError, or StuckError, for the first seed that fails:
    with the fewest faults that still make it fail in the same way, and the timeline of that run.
    """
    count = 0
    for seed in seeds:

        def run(only: frozenset[str] | None, *, recording: bool = False, seed: int = seed) -> None:
            Simulation(
                seed,
                servers=servers,
                settings=settings,
                faults=faults,
                only=only,
                time_limit=time_limit,
                recording=recording,
            ).run(main)

        try:
            run(None)
        except SimulationFailedError as failure:
            _explain(run, failure)
        count += 1
    return count


def simulate(
    seeds: int = 1000,
    *,
    servers: int = 1,
    settings: Settings | EnsembleSettings | None = None,
    faults: Faults = FAULTS,
    time_limit: float = 3600.0,
) -> Callable[[Callable[..., Coroutine[Any, Any, Any]]], Callable[..., None]]:
    """Make a test of an `async def` that takes a Simulation first: it is run under seeds 0, 1, 2, ... in turn.

    Further parameters of the function are the test's own, as pytest's fixtures are. `pytest --zk-seed N` runs one seed,
    `--zk-seeds N` so many instead of `seeds`. Raises TypeError for what is no async function; otherwise as `search`.
    """

    def decorate(function: Callable[..., Coroutine[Any, Any, Any]]) -> Callable[..., None]:
        if not inspect.iscoroutinefunction(function):
            raise TypeError(f"@simulate takes an async function, not {function!r}")

        @functools.wraps(function)
        def test(*arguments: Any, **options: Any) -> None:
            search(
                lambda sim: function(sim, *arguments, **options),
                _asked_for(seeds),
                servers=servers,
                settings=settings,
                faults=faults,
                time_limit=time_limit,
            )

        signature = inspect.signature(function)
        _, *parameters = signature.parameters.values()
        test.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        del test.__wrapped__  # where pytest would look for the parameters
        return test

    return decorate


def _asked_for(seeds: int) -> range:
    if chosen.seed is not None:
        return range(chosen.seed, chosen.seed + 1)
    return range(seeds if chosen.seeds is None else chosen.seeds)


def _explain(run: Callable[..., None], failure: SimulationFailedError) -> None:
    """Raise the failure with the fewest faults and its timeline."""
    first = failure
    attempts = 0
    shrinking = True
    while shrinking and attempts < _MOST_ATTEMPTS:
        shrinking = False
        names = [name for name, _ in failure.faults]
        for name in reversed(names):
            attempts += 1
            smaller = _failure(run, frozenset(names) - {name})
            if smaller is not None and _kind(smaller) == _kind(first):
                failure, shrinking = smaller, True
                break
            if attempts >= _MOST_ATTEMPTS:
                break
    final = _failure(run, frozenset(name for name, _ in failure.faults), recording=True) or failure
    final.found_with = len(first.faults)
    raise final from final.__cause__


def _failure(
    run: Callable[..., None], only: frozenset[str], *, recording: bool = False
) -> SimulationFailedError | None:
    try:
        run(only, recording=recording)
    except SimulationFailedError as failure:
        return failure
    return None


def _kind(failure: SimulationFailedError) -> tuple[type[SimulationFailedError], type[BaseException | None]]:
    return type(failure), type(failure.__cause__)
