"""What is logged of the time without a server."""

from __future__ import annotations

from corepair import AUTH_FAILED, DATA, SESSION, CorePair

from zk_client._session.outage import BETWEEN, LOUD
from zk_wire import AuthPacket, CloseSessionRequest, GetDataRequest, PingRequest

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
    [first, again] = [log.message for log in pair.logs if " on h1:2181, timeout" in log.message]
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
    pair.wait_for(0.5)
    pair.refuse()
    assert lines(pair, INFO)[-1] == (
        f"session 0x{SESSION:x}: connection to h1:2181 lost after 0.0 s: closed by the server"
    )
    assert lines(pair, DEBUG)[-1] == "cannot use h1:2181: connection refused"


# Connections that are lost one after the other


def flap(pair: CorePair, times: int, pause: float = 0.0) -> None:
    """Lose a connection that has proved itself, and find the next one at once, again and again."""
    for _ in range(times):
        pair.submit(pair.operations.get("/a"))
        pair.reply(pair.next(GetDataRequest), DATA)
        pair.close("reset by peer")
        pair.reopen()
        pair.wait_for(pause)
        for ping in [request for request in pair.requests if isinstance(request.request, PingRequest)]:
            pair.requests.remove(ping)


def test_a_lost_connection_is_told_with_whose_it_was_and_how_long_it_served_and_why() -> None:
    pair = CorePair()
    pair.open()
    pair.wait_for(2.5)
    pair.submit(pair.operations.get("/a"))
    pair.reply(pair.next(GetDataRequest), DATA)
    pair.close("reset by peer")
    [line] = [log for log in pair.logs if "lost" in log.message]
    assert line == (INFO, f"session 0x{SESSION:x}: connection to h1:2181 lost after 2.5 s: reset by peer")


def test_a_connection_that_is_lost_a_thousand_times_is_told_in_a_few_lines() -> None:
    pair = CorePair()
    pair.open()
    flap(pair, 1000)
    told = [log for log in pair.logs if log.level >= INFO]
    assert len(told) <= 2 * LOUD + 2
    assert "more of them are summed up" in [log for log in told if "lost" in log.message][-1].message
    assert sum("lost" in log.message for log in pair.logs) == 1000


def test_what_goes_on_being_lost_is_summed_up_once_a_minute() -> None:
    pair = CorePair(timeout=60.0)
    pair.open()
    flap(pair, 600, pause=1.0)
    sums = lines(pair, WARNING)
    assert 8 <= len(sums) <= 10
    told = [int(line.rpartition("(")[2].split()[0]) for line in sums]
    assert all(50 <= number <= 60 for number in told)
    assert len(lines(pair, INFO)) <= 2 * LOUD + 2


def test_after_a_quiet_time_every_loss_is_told_again() -> None:
    pair = CorePair(timeout=60.0)
    pair.open()
    flap(pair, 20)
    pair.wait_for(0.0)
    before = len(lines(pair, INFO))
    pair.now += 2.5 * BETWEEN
    pair.core.timers.received = pair.core.timers.sent = pair.now
    flap(pair, 2)
    assert "(16 more in the last" in lines(pair, WARNING)[-1]
    assert len(lines(pair, INFO)) == before + 3


def test_a_connection_that_proved_nothing_is_told_once_and_not_as_a_failure_as_well() -> None:
    pair = CorePair()
    pair.open()
    pair.close("reset by peer")
    assert sum("reset by peer" in log.message for log in pair.logs) == 1


# The end


def test_the_last_line_says_what_becomes_of_the_session() -> None:
    def last(pair: CorePair) -> tuple[int, str]:
        pair.settle()
        return pair.logs[-1].level, pair.logs[-1].message

    closed, away, kept, refused, never = (CorePair() for _ in range(5))
    for pair in (closed, away, kept, refused):
        pair.open()
    closed.stop()
    closed.reply(closed.next(CloseSessionRequest))
    assert last(closed) == (INFO, f"session 0x{SESSION:x} closed")
    away.close()
    away.stop()
    assert last(away) == (INFO, f"session 0x{SESSION:x} left to expire, in 9.0 s at most: stopped")
    kept.stop(close_session=False)
    assert last(kept) == (INFO, f"session 0x{SESSION:x} left open for 9.0 s: stopped")
    refused.submit(refused.operations.add_auth("digest", b"user:tell-nobody"))
    refused.reply(refused.next(AuthPacket), err=AUTH_FAILED, zxid=0)
    level, line = last(refused)
    assert level == WARNING and "authentication refused by h1:2181 (scheme digest)" in line
    never.start()
    never.stop()
    assert last(never) == (INFO, "ended without a session: stopped")
