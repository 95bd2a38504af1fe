"""What is logged of the time without a server."""

from __future__ import annotations

from corepair import CorePair

DEBUG, INFO, WARNING = 10, 20, 30


def fail_for(pair: CorePair, seconds: float) -> int:
    """Refuse every attempt for so long; returns how many there were."""
    end, attempts = pair.now + seconds, 0
    while pair.now < end:
        asked = len(pair.connects)
        pair.refuse()
        attempts += 1
        while len(pair.connects) == asked:
            pair.wait_for(0.05)
    return attempts


def lines(pair: CorePair, level: int) -> list[str]:
    """The messages of a level, without the ones on each attempt's beginning."""
    return [log.message for log in pair.logs if log.level == level and not log.message.startswith("connecting")]


def test_each_hosts_first_failure_is_told_and_a_sum_once_a_minute() -> None:
    pair = CorePair("h1:2181,h2:2181")
    pair.start()
    fail_for(pair, 600)
    assert lines(pair, INFO) == [f"cannot use h{n}:2181: connection refused" for n in (1, 2)]
    assert 8 <= len(lines(pair, WARNING)) <= 10
    assert lines(pair, WARNING)[0].startswith("no server for 6")
    assert "attempts failed: cannot use h" in lines(pair, WARNING)[0]
    assert len(lines(pair, DEBUG)) > 100


def test_the_sum_tells_since_when_and_how_often() -> None:
    pair = CorePair("h1:2181")
    pair.start()
    attempts = fail_for(pair, 66)
    [told] = lines(pair, WARNING)
    seconds, failed = int(told.split()[3]), int(told.split()[5])
    assert 60 <= seconds <= 66
    assert attempts - 2 <= failed <= attempts


def test_the_line_of_a_session_tells_how_long_there_was_no_server() -> None:
    pair = CorePair("h1:2181")
    pair.start()
    pair.connect()
    pair.grant()
    pair.close()  # which counts as a failure, because nothing had been answered
    pair.wait_for(1.0)
    pair.connect()
    pair.grant()
    [first, again] = [log.message for log in pair.logs if log.message.startswith("session 0x")]
    assert first.endswith("after 0.0 s without a server (failed attempts: 0)")
    assert again.endswith("after 1.0 s without a server (failed attempts: 1)")


def test_another_outage_is_told_from_the_beginning() -> None:
    pair = CorePair("h1:2181")
    pair.start()
    pair.refuse()
    pair.wait_for(1.0)
    pair.connect()
    pair.grant()
    pair.close()
    assert lines(pair, INFO)[-2:] == [
        "connection to h1:2181 lost: closed by the server",
        "cannot use h1:2181: closed by the server",
    ]
