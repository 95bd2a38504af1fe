"""The search for a seed that fails, and the making small of what it found.

Rule: seeds are tried in order, and the first that fails ends the search. Its faults are then taken away, by halves and
in the end one by one, as long as it fails in the same way; what is left is run once more with its timeline kept, and
raised.
"""

from __future__ import annotations

import functools
import inspect
import os
import shlex
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, TypeVar

from ..embedded.settings import EnsembleSettings, Settings
from .faults import FAULTS, Faults
from .world import Simulation, SimulationFailedError

__all__ = ["chosen", "search", "simulate"]

T = TypeVar("T")
Main = Callable[[Simulation], Coroutine[Any, Any, T]]

# What a failure is made smaller in: so many runs, and so many steps of them all, which is a minute or two.
_MOST_ATTEMPTS = 100
_MOST_STEPS = 2_000_000


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
    __tracebackhide__ = True
    return _search(main, seeds, "search(..., seeds=[{}])", servers, settings, faults, time_limit)


def _search(
    main: Main[Any],
    seeds: Iterable[int],
    again: str,
    servers: int,
    settings: Settings | EnsembleSettings | None,
    faults: Faults,
    time_limit: float,
) -> int:
    __tracebackhide__ = True  # pytest shows the user's code only
    count = 0
    for seed in seeds:
        runs = _Runs(main, seed, servers, settings, faults, time_limit)
        found = runs.failure(None)
        if found is not None:
            failure = _smallest(runs, found)
            failure.again = again.format(seed)
            raise failure.with_traceback(None) from failure.__cause__
        count += 1
    return count


class _Runs:
    """The runs of one seed.   steps: of all of them."""

    def __init__(
        self,
        main: Main[Any],
        seed: int,
        servers: int,
        settings: Settings | EnsembleSettings | None,
        faults: Faults,
        time_limit: float,
    ) -> None:
        self.steps = 0
        self._main = main
        self._make = functools.partial(
            Simulation, seed, servers=servers, settings=settings, faults=faults, time_limit=time_limit
        )

    def failure(self, only: frozenset[str] | None, *, recording: bool = False) -> SimulationFailedError | None:
        """Run once, with these faults alone; how it failed, if it did."""
        simulation = self._make(only=only, recording=recording)
        try:
            simulation.run(self._main)
        except SimulationFailedError as failure:
            return failure
        finally:
            self.steps += simulation.loop.steps
        return None


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
    `--zk-seeds N` so many instead of `seeds`. A method of a class of tests takes `self` before the Simulation.

    Raises TypeError for what is no such function, ValueError for less than one seed; otherwise as `search`.
    """
    if callable(seeds):
        raise TypeError("@simulate is called before it decorates: @simulate() or @simulate(seeds=1000)")
    if seeds < 1:
        raise ValueError(f"seeds is at least 1, not {seeds}")

    def decorate(function: Callable[..., Coroutine[Any, Any, Any]]) -> Callable[..., None]:
        if not inspect.iscoroutinefunction(function):
            raise TypeError(f"@simulate takes an async function, not {function!r}")
        signature = inspect.signature(function)
        parameters = list(signature.parameters.values())
        place = 1 if parameters and parameters[0].name == "self" else 0
        if len(parameters) <= place:
            raise TypeError(f"@simulate takes a function of a Simulation, and {function!r} has no parameter for it")

        @functools.wraps(function)
        def test(*arguments: Any, **options: Any) -> None:
            __tracebackhide__ = True
            _search(
                lambda sim: function(*arguments[:place], sim, *arguments[place:], **options),
                _asked_for(seeds),
                _command(),
                servers,
                settings,
                faults,
                time_limit,
            )

        del parameters[place]
        test.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        del test.__wrapped__  # where pytest would look for the parameters
        return test

    return decorate


def _asked_for(seeds: int) -> range:
    if chosen.seed is not None:
        return range(chosen.seed, chosen.seed + 1)
    return range(seeds if chosen.seeds is None else chosen.seeds)


def _command() -> str:
    """What runs this test again, with a place for the seed."""
    test = os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" (")[0]
    if test and os.path.exists(test.partition("::")[0]):
        return f"pytest {shlex.quote(test).replace('{', '{{').replace('}', '}}')} --zk-seed {{}}"
    return "pytest --zk-seed {}"


def _smallest(runs: _Runs, first: SimulationFailedError) -> SimulationFailedError:
    """The failure with the fewest faults, and its timeline.

    They are taken away by halves, then by quarters, in the end one by one, until none can be spared, or it has taken
    as much as it may.
    """
    failure = first
    attempts = 0

    def may_go_on() -> bool:
        return attempts < _MOST_ATTEMPTS and runs.steps < _MOST_STEPS

    needed = False  # each of those that are left
    size = max(1, len(first.faults) // 2)
    while failure.faults and not needed and may_go_on():
        spared = False
        place = len(failure.faults)
        while place > 0 and may_go_on():
            names = [name for name, _ in failure.faults]
            start = max(0, place - size)
            attempts += 1
            smaller = runs.failure(frozenset(names[:start] + names[place:]))
            if smaller is not None and _kind(smaller) == _kind(first):
                failure, spared = smaller, True
            place = min(start, len(failure.faults))
        needed = size == 1 and not spared and place <= 0
        size = max(1, size // 2)
    final = runs.failure(frozenset(name for name, _ in failure.faults), recording=True)
    if final is None or _kind(final) != _kind(first):
        final = failure
        final.repeated = False
    final.found_with = len(first.faults)
    final.fewest = needed or not failure.faults
    return final


def _kind(failure: SimulationFailedError) -> tuple[type[SimulationFailedError], type[BaseException | None]]:
    return type(failure), type(failure.__cause__)
