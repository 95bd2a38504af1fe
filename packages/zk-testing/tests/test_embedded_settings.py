"""What an embedded server cannot be told: settings that make no server, and time that does not pass."""

from __future__ import annotations

from typing import Any

import pytest

from zk_testing import EmbeddedEnsemble, EmbeddedServer, MemoryServer, Settings, VirtualClock
from zk_testing.embedded import MemoryEnsemble
from zk_testing.faults import MemoryFaults


@pytest.mark.parametrize(
    ("settings", "rule"),
    [
        ({"max_client_connections": -1}, "max_client_connections and never_used_ms are at least 0"),
        ({"never_used_ms": -1}, "max_client_connections and never_used_ms are at least 0"),
        ({"max_frame": 63}, "max_frame is at least 64 bytes, for connect requests, not 63"),
        ({"server_id": 256}, "server_id is 0 to 255"),
        ({"admin_words": frozenset(["srvr", "rouk"])}, "admin_words are any of .*, not rouk"),
    ],
)
def test_settings_that_no_server_could_have_are_refused(settings: dict[str, Any], rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        Settings(**settings)


def test_limits_may_be_as_low_as_the_words_say() -> None:
    Settings(max_client_connections=0, never_used_ms=0, max_frame=64, server_id=255, admin_words=frozenset(["ruok"]))


@pytest.mark.parametrize("seconds", [-0.001, float("nan"), float("inf")])
def test_time_passes_by_a_number_of_seconds_or_not_at_all(seconds: float) -> None:
    server, ensemble = MemoryServer(), MemoryEnsemble()
    with EmbeddedServer(clock=VirtualClock()) as one, EmbeddedEnsemble(3, clock=VirtualClock()) as three:
        before = server.now_ms, ensemble.now_ms
        for advance in (server.advance, ensemble.advance, MemoryFaults(server).advance, one.advance, three.advance):
            with pytest.raises(ValueError, match="time passes by 0 seconds or more, not by"):
                advance(seconds)
    assert before == (server.now_ms, ensemble.now_ms)


@pytest.mark.parametrize("seconds", [-1.0, float("nan"), float("inf")])
def test_a_lag_is_a_number_of_seconds(seconds: float) -> None:
    with EmbeddedEnsemble(3) as ensemble:
        with pytest.raises(ValueError, match="a lag is 0 seconds or more, not"):
            ensemble.lag(1, seconds)
        assert not ensemble.damaged
