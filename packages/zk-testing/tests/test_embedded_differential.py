"""The embedded server against real ones: the same operations, and everything they say compared.

`CONFORMANCE_OPERATIONS` is how many operations to play in all (default 10,000), `CONFORMANCE_VERSIONS` the versions,
separated by spaces (default: all that are pinned), `CONFORMANCE_SEED` the first seed. `nox -s conformance` plays a
hundred times as many.

A difference is told with its seed and its shortest script. That becomes a test of what the real server does, named as
the promise, in one of the `test_embedded_*.py`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import cast
from unittest.mock import ANY

import conformance_steps
import pytest
from conformance import Pair
from conformance_play import play
from conformance_scripts import BASE, OPEN, scripts
from conformance_servers import SCENES, VERSIONS, play_scenes, started
from conformance_steps import Ask, Step, as_code, is_harmless
from conformance_told import DifferenceError
from hypothesis import given, settings

import zk_wire
from zk_testing.cluster import Cluster
from zk_testing.embedded import Settings
from zk_testing.errors import NoServerError
from zk_testing.stopwatch import Stopwatch
from zk_wire import AuthPacket, CheckVersionRequest, CreateRequest, CreateTTLRequest, DeleteRequest, MultiRequest

CHOSEN = os.environ.get("CONFORMANCE_VERSIONS", "").split() or list(VERSIONS)
OPERATIONS = int(os.environ.get("CONFORMANCE_OPERATIONS", "10000")) // len(CHOSEN) + 1
_MODULES = (conformance_steps, zk_wire)
_REQUEST = re.compile(r"request=(\w+)\(")
SEED = int(os.environ.get("CONFORMANCE_SEED", "1"))


@pytest.fixture(scope="module", params=CHOSEN)
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    try:
        with started(request.param) as made:
            yield made
    except NoServerError as error:
        if os.environ.get("ZK_TESTING_REQUIRE_REAL") == "1":
            raise
        pytest.skip(str(error))


@pytest.mark.cluster
def test_the_embedded_server_says_what_the_real_one_says(pair: Pair) -> None:
    played = play(pair, OPERATIONS, SEED)

    if played.difference:
        pytest.fail(played.difference, pytrace=False)
    assert played.operations >= OPERATIONS


A_TICK = 0.2  # seconds, of the scenes' servers


@pytest.mark.cluster
@pytest.mark.parametrize("name", [*SCENES, "read-only"])
def test_the_scenes_written_by_hand_go_alike(name: str) -> None:
    version = CHOSEN[-1]
    try:
        begun = Stopwatch()
        found = play_scenes(version, name)
        if any(found.values()) and begun.short > A_TICK:
            # A session of two ticks ends on the real server when the machine stands still; a difference comes again.
            again = play_scenes(version, name)
            found = {scene: difference and again[scene] for scene, difference in found.items()}
    except NoServerError as error:
        if os.environ.get("ZK_TESTING_REQUIRE_REAL") == "1":
            raise
        pytest.skip(str(error))

    differences = [f"{scene}: {difference}" for scene, difference in found.items() if difference]
    assert not differences, f"version {version}:\n" + "\n".join(differences)
    assert found


class PairWithOneDifference(Pair):
    """Two servers that differ only when a node is deleted that was read before."""

    def __init__(self) -> None:
        super().__init__(cast(Cluster, SimpleNamespace(version="9.9.9")), Settings())
        self.scripts: list[list[Step]] = []

    def play(self, steps: list[Step]) -> None:
        self.played += len(steps)
        self.scripts.append(steps)
        names = [type(step.request).__name__ for step in steps if isinstance(step, Ask)]
        if "GetDataRequest" in names and "DeleteRequest" in names[names.index("GetDataRequest") :]:
            raise DifferenceError("one and the other")


def test_a_difference_is_told_with_its_seed_and_the_shortest_script() -> None:
    played = play(PairWithOneDifference(), 20_000, SEED, length=12)

    title, _bracket, *steps = played.difference.splitlines()
    assert title == f"version 9.9.9, seed {SEED}:"
    # The two steps that every script begins with, and the two that tell the servers apart.
    assert [name for step in steps for name in _REQUEST.findall(step)] == [
        *("CreateRequest", "CreateRequest", "GetDataRequest", "DeleteRequest"),
    ]
    assert steps[-1] == "one and the other"


def test_the_same_seed_is_the_same_play() -> None:
    first, second = PairWithOneDifference(), PairWithOneDifference()

    assert play(first, 200, 7, length=5) == replace(play(second, 200, 7, length=5), seconds=ANY)
    assert first.scripts == second.scripts


@pytest.mark.cluster
def test_a_written_script_is_played_as_it_stands(pair: Pair) -> None:
    steps: list[Step] = [Ask(0, CreateRequest(BASE, b"", OPEN, 0)), Ask(1, DeleteRequest(BASE, 0))]

    pair.play(steps)

    assert pair.kinds["DeleteRequest"]


@settings(max_examples=30, database=None)
@given(scripts(20))
def test_a_script_is_written_down_so_that_it_reads_back(script: list[Step]) -> None:
    names = {name: value for module in _MODULES for name, value in vars(module).items()}

    assert eval(as_code(script), names) == script  # what we wrote ourselves


def test_a_secret_is_written_down_in_code() -> None:
    assert as_code(Ask(1, AuthPacket("digest", b"u:p"))) == "Ask(slot=1, request=AuthPacket('digest', b'u:p', 0))"


def test_what_destroys_a_real_server_is_never_sent() -> None:
    assert not is_harmless(CheckVersionRequest("/a", -1))
    assert not is_harmless(CreateTTLRequest("/a", b"", OPEN, 0, -1))
    assert not is_harmless(MultiRequest([CreateTTLRequest("/a", b"", OPEN, 5, 0)]))
    assert is_harmless(MultiRequest([CheckVersionRequest("/a", -1), CreateTTLRequest("/a", b"", OPEN, 5, 1)]))
