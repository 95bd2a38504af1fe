"""Lets hypothesis make scripts, plays them, and tells a difference as a script that is as short as it could be made.

Rule: a seed is one run of hypothesis, which depends on nothing else; so a play goes on with the next seed where an
earlier one has stopped, and a difference is found again from its seed.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from conformance import Pair
from conformance_scripts import scripts
from conformance_steps import Step, as_code
from conformance_told import DifferenceError
from hypothesis import HealthCheck, Phase, Verbosity, given, settings
from hypothesis import seed as seeded
from hypothesis.errors import Flaky

__all__ = ["Played", "play"]

LENGTH = 80  # steps of one script
_SCRIPTS = 60  # of one seed


@dataclass(frozen=True)
class Played:
    """What came of it.   next_seed: where to go on.   difference: the shortest script and what was said, if any."""

    version: str
    operations: int
    seconds: float
    next_seed: int
    difference: str = ""


def play(pair: Pair, operations: int, seed: int, *, length: int = LENGTH) -> Played:
    """Play so many operations at least, or until the first difference.   length: steps of one script."""
    began, before = time.monotonic(), pair.played
    difference = ""
    while pair.played - before < operations and not difference:
        difference = _play_seed(pair, seed, before + operations, length)
        seed += 1
    return Played(pair.cluster.version, pair.played - before, time.monotonic() - began, seed, difference)


def _play_seed(pair: Pair, seed: int, enough: int, length: int) -> str:
    failed: list[tuple[list[Step], DifferenceError]] = []

    @seeded(f"{pair.cluster.version} {seed}")  # other scripts for each version: more of them are played
    @settings(
        max_examples=_SCRIPTS,
        database=None,
        deadline=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
        print_blob=False,
        report_multiple_bugs=False,
        verbosity=Verbosity.quiet,
    )
    @given(scripts(length))
    def run(script: list[Step]) -> None:
        if pair.played >= enough and not failed:
            return
        try:
            pair.play(script)
        except DifferenceError as error:
            failed.append((script, error))
            raise

    try:
        run()
    except (DifferenceError, Flaky) as last:
        script, error = failed[-1]  # hypothesis plays the shortest one last
        shown = "\n".join(f"    {as_code(step)}," for step in script)
        note = ", once and not again" if isinstance(last, Flaky) else ""
        return f"version {pair.cluster.version}, seed {seed}{note}:\n[\n{shown}\n]\n{error}"
    return ""
