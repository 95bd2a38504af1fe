"""A bound of time is strict on a machine that has time, and gives way where it has not."""

from __future__ import annotations

import pytest

from zk_testing import stopwatch
from zk_testing.stopwatch import Stopwatch


class Machine:
    """Clocks that stand still until they are moved."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        self.short = 7.0
        monkeypatch.setattr(stopwatch.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(stopwatch, "short_of_processors", lambda: self.short)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(monkeypatch)


def test_a_bound_is_as_strict_as_it_says_where_nobody_waits(machine: Machine) -> None:
    watch = Stopwatch()
    machine.now += 1.49
    assert watch.within(1.5)
    machine.now += 0.02
    assert not watch.within(1.5)
    assert repr(watch) == "<Stopwatch at 1.510 s, in 0.000 s of which processors were short>"


def test_what_the_machine_was_short_of_is_added(machine: Machine) -> None:
    watch = Stopwatch()
    machine.now += 1.9
    machine.short += 0.5
    assert watch.within(1.5)
    assert not watch.within(1.3)
    assert (watch.seconds, watch.short) == (pytest.approx(1.9), pytest.approx(0.5))


def test_a_machine_that_is_busy_throughout_gets_four_times_the_bound_and_no_more(machine: Machine) -> None:
    watch = Stopwatch()
    machine.now += 5.9
    machine.short += 5.9
    assert watch.within(1.5)
    machine.now += 0.2
    machine.short += 0.2
    assert not watch.within(1.5)


def test_a_moment_in_between_can_be_meant(machine: Machine) -> None:
    watch = Stopwatch()
    machine.now += 9.0
    assert watch.within(1.5, until=101.0)
    assert not watch.within(1.5, until=102.0)


def test_the_shortage_never_falls_and_is_never_more_than_all_processors_lost() -> None:
    first = stopwatch.short_of_processors()
    second = stopwatch.short_of_processors()
    assert 0 <= first <= second
