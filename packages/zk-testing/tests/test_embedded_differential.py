"""The embedded server against real ones: the same operations, and everything they say compared.

`CONFORMANCE_OPERATIONS` is how many operations to play for each version (default: a few hundred),
`CONFORMANCE_VERSIONS` the versions, separated by spaces, `CONFORMANCE_SEED` the first seed. A difference is reported
with its seed and with a script that was made as short as possible.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from conformance import DifferenceError, Pair, Step
from conformance_scripts import script_of

from zk_testing.cluster import start_cluster
from zk_testing.embedded import Settings
from zk_testing.errors import NoServerError

OPERATIONS = int(os.environ.get("CONFORMANCE_OPERATIONS", "400"))
VERSIONS = os.environ.get("CONFORMANCE_VERSIONS", "3.9").split()
SEED = int(os.environ.get("CONFORMANCE_SEED", "1"))
LENGTH = 80  # steps of one script


@pytest.fixture(scope="module", params=VERSIONS)
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    version: str = request.param
    # A real server's sweep for containers comes when it likes; other tests compare what it does.
    properties = {"znode.container.checkIntervalMs": 10**9, "zookeeper.enforceQuota": "true"}
    try:
        cluster = start_cluster(1, version, java_properties=properties)
    except NoServerError as error:
        if os.environ.get("ZK_TESTING_REQUIRE_REAL") == "1":
            raise
        pytest.skip(str(error))
    with cluster:
        made = Pair(cluster, Settings(version=cluster.version, enforce_quotas=True))
        yield made
        print(f"{cluster.version}: {made.played} operations compared: {dict(made.kinds.most_common())}")


@pytest.mark.cluster
def test_the_embedded_server_says_what_the_real_one_says(pair: Pair) -> None:
    seed = SEED
    while pair.played < OPERATIONS:
        script = script_of(seed, LENGTH)
        try:
            pair.play(script)
        except DifferenceError as error:
            steps, shortest = _shortened(pair, script, error)
            shown = "\n".join(f"    {step}" for step in steps)
            pytest.fail(f"version {pair.cluster.version}, seed {seed}:\n{shown}\n{shortest}", pytrace=False)
        seed += 1


def _shortened(pair: Pair, script: list[Step], error: DifferenceError) -> tuple[list[Step], DifferenceError]:
    """Leave out what is not needed for a difference, in ever smaller parts."""
    part = len(script) // 2
    while part:
        start = 0
        while start < len(script):
            shorter = script[:start] + script[start + part :]
            try:
                pair.play(shorter)
                start += part
            except DifferenceError as again:
                script, error = shorter, again
        part //= 2
    return script, error
