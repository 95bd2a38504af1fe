"""Scripts of faults, and random faults that write one."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from embedded_client import Talker

from zk_testing import MemoryServer
from zk_testing.faults import DEFAULT_RATES, MemoryFaults
from zk_testing.faults.rules import RULES, parse_script
from zk_wire import OPEN_ACL_UNSAFE, CreateRequest, ExistsRequest, GetDataRequest, OpCode, SetDataRequest

# Scripts


@pytest.fixture
def faults() -> MemoryFaults:
    return MemoryFaults(MemoryServer())


def test_a_script_sets_each_of_its_rules(faults: MemoryFaults) -> None:
    first, second = faults.script("lose_reply create nth=2; delay 0.5 get_data direction=both")
    client = Talker(faults)  # type: ignore[arg-type]
    client.create("/a")
    exchange = client.exchange(GetDataRequest("/a", False))
    faults.advance(1.0)
    assert not client.closed and exchange.reply is not None
    client.exchange(CreateRequest("/b", b"", OPEN_ACL_UNSAFE, 0))
    assert client.closed
    assert (len(first.struck), len(second.struck)) == (1, 2)


def test_lines_and_semicolons_part_rules(faults: MemoryFaults) -> None:
    script = ["cut_before multi", "pause 1 sync ; chop 3"]
    assert [fault.line.split()[0] for fault in faults.script(script)] == ["cut_before", "pause", "chop"]


def test_a_bad_line_is_refused_before_any_is_set(faults: MemoryFaults) -> None:
    with pytest.raises(ValueError, match="the line 'lose_reply creat' is no rule: no kind of message 'creat'"):
        faults.script("lose_request create; lose_reply creat")
    client = Talker(faults)  # type: ignore[arg-type]
    assert client.create("/a") == "/a"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("lose create", "no rule 'lose' in 'lose create': known are chop, corrupt,"),
        ("lose_reply", "missing a required argument: 'kind'"),
        ("lose_reply create 1 2", "too many positional arguments"),
        ("lose_reply create of=reply", "unexpected keyword argument 'of'"),
        ("lose_reply create nth=0", "counted from 1"),
        ("lose_reply create then=explode", 'then is "cut", "reset" or "freeze", not \'explode\''),
        ("cut_before create of=answer", 'of is "request" or "reply"'),
        ("cut_after create how=rst", 'how is "fin" or "reset"'),
        ("cut_inside create after_bytes=0", "after 1 byte or more"),
        ("corrupt create damage=eat", 'damage is "flip", "truncate", "length" or "garbage"'),
        ("corrupt create of=request damage=length length=5", "a request's length is made negative"),
        ("delay -1", "0 seconds or more"),
        ("delay nan", "0 seconds or more"),
        ("pause 0", "more than 0 seconds"),
        ("slow 0", "more than 0 bytes per second"),
        ("slow inf", "more than 0 bytes per second"),
        ("chop 0", "1 byte or more"),
        ("chop 1 pause=-1", "0 seconds or more"),
        ("delay 1 direction=up", 'a direction is "both", "to_server" or "to_client"'),
        ("lose_request notification", "only servers send a notification"),
        ("cut", "no rule 'cut'"),
    ],
)
def test_what_is_no_rule_is_refused_with_the_reason(line: str, reason: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_script(line)
    assert reason in str(caught.value)


LINES = [
    "lose_reply create nth=2 then=freeze",
    "lose_request OpCode.CREATE2 nth=1 then=cut",
    "cut_before get_data nth=3 of=reply how=reset",
    "cut_after read nth=1 of=request how=fin",
    "cut_inside multi nth=1 of=reply after_bytes=7 how=fin",
    "corrupt get_data nth=1 damage=length of=reply at=-1 length=99",
    "delay 0.25 any direction=to_client",
    "delay 2.5 create nth=4 direction=both",
    "pause 0.125 write nth=2",
    "slow 1000 any direction=both",
    "chop 3 notification nth=1 pause=0.5 direction=to_client",
]


@pytest.mark.parametrize("line", LINES)
def test_a_rule_tells_its_own_line(line: str) -> None:
    (fault,) = parse_script(line)
    assert fault.line == line


def test_there_is_a_line_for_every_rule() -> None:
    assert {line.split()[0] for line in LINES} == set(RULES)


def test_an_opcode_in_a_script_is_exactly_that_opcode() -> None:
    (fault,) = parse_script("lose_reply OpCode.CREATE2")
    assert not fault.counts("to_client", "create", OpCode.CREATE)
    assert fault.counts("to_client", "create", OpCode.CREATE2)


# Chance


def traffic(faults: MemoryFaults, rounds: int = 60) -> list[str]:
    """The same requests every time, on new connections whenever one has ended; what became of each."""
    client = Talker(faults)  # type: ignore[arg-type]
    heard: list[str] = []
    for number in range(rounds):
        for request in (
            CreateRequest(f"/n{number}", b"", OPEN_ACL_UNSAFE, 0),
            SetDataRequest("/", b"", -1),
            GetDataRequest("/", False),
            ExistsRequest(f"/n{number}", False),
        ):
            exchange = client.exchange(request)  # type: ignore[var-annotated]
            faults.advance(1.0)
            if client.closed:
                heard.append(f"{'answered' if exchange.reply else 'lost'} and closed")
                client = Talker(faults)  # type: ignore[arg-type]
            else:
                heard.append(f"{exchange.error} after {faults.record[-1].time:.3f}")
    return heard


RATES = dict.fromkeys(DEFAULT_RATES, 0.03)


def test_the_same_seed_and_traffic_give_the_same_faults() -> None:
    runs = []
    for _ in range(2):
        faults = MemoryFaults(MemoryServer())
        run = faults.random(7, rates=RATES)
        runs.append((traffic(faults), run.script, faults.history))
    assert runs[0] == runs[1]
    assert len(runs[0][1].split(";")) > 20


def test_connections_before_the_chance_change_nothing() -> None:
    scripts = []
    for earlier in (0, 3):
        faults = MemoryFaults(MemoryServer())
        for _ in range(earlier):
            Talker(faults).close_session()  # type: ignore[arg-type]
        run = faults.random(7, rates=RATES)
        traffic(faults)
        scripts.append(run.script)
    assert scripts[0] == scripts[1]


def test_another_seed_gives_other_faults() -> None:
    scripts = set()
    for seed in range(3):
        faults = MemoryFaults(MemoryServer())
        run = faults.random(seed, rates=RATES)
        traffic(faults)
        scripts.add(run.script)
    assert len(scripts) == 3


@pytest.mark.parametrize("seed", range(5))
def test_the_script_of_a_random_run_does_the_same_again(seed: int) -> None:
    by_chance = MemoryFaults(MemoryServer())
    run = by_chance.random(seed, rates=RATES)
    heard = traffic(by_chance)

    by_script = MemoryFaults(MemoryServer())
    by_script.script(run.script)

    assert traffic(by_script) == heard
    assert by_script.record == by_chance.record
    assert by_script.history == by_chance.history


@pytest.mark.parametrize("name", sorted(DEFAULT_RATES))
def test_each_fault_is_drawn_as_often_as_asked(name: str) -> None:
    faults = MemoryFaults(MemoryServer())
    run = faults.random(1, rates={name: 0.25})
    traffic(faults)
    lines = run.script.split("; ")
    assert {line.split()[0] for line in lines} == {name}
    assert 35 < len(lines) < 85  # of 240 requests; 60 are expected


def test_without_rates_a_little_of_everything_is_drawn() -> None:
    faults = MemoryFaults(MemoryServer())
    run = faults.random(3)
    traffic(faults, 200)
    assert {line.split()[0] for line in run.script.split("; ")} == set(DEFAULT_RATES)


def test_only_the_kinds_asked_for_are_struck() -> None:
    faults = MemoryFaults(MemoryServer())
    faults.random(1, rates={"delay": 1.0}, kinds="set_data")
    traffic(faults, 5)
    assert {passed.kind for passed in faults.record if passed.fault} == {"set_data"}


def test_nothing_is_drawn_after_healing() -> None:
    faults = MemoryFaults(MemoryServer())
    run = faults.random(1, rates={"delay": 1.0})
    faults.heal()
    traffic(faults, 5)
    assert run.script == ""


@pytest.mark.parametrize(
    ("act", "reason"),
    [
        (lambda faults: faults.random(1, rates={"explode": 0.1}), "no random fault 'explode': known are lose_reply"),
        (lambda faults: faults.random(1, rates={"delay": -0.1}), "rates are 0 or more"),
        (lambda faults: faults.random(1, rates={"delay": 0.6, "pause": 0.6}), "together at most 1"),
        (lambda faults: faults.random(1, kinds=["reads"]), "no kind of message 'reads'"),
        (lambda faults: faults.random(1, longest=0.0), "the longest delay"),
    ],
)
def test_bad_chances_are_refused(faults: MemoryFaults, act: Callable[[MemoryFaults], object], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        act(faults)


# History


def test_the_history_tells_what_was_done_in_order(faults: MemoryFaults) -> None:
    client = Talker(faults)  # type: ignore[arg-type]
    faults.lose_reply("delete")  # never strikes
    faults.delay(0.0, "get_data")
    client.ask(GetDataRequest("/", False))
    client.ask(GetDataRequest("/", False))
    faults.freeze("to_client", seconds=1.0)
    faults.cut("reset")
    faults.refuse()
    faults.heal()
    assert faults.history == (
        "delay 0.0 get_data direction=to_client",
        "freeze to_client seconds=1.0",
        "cut reset",
        "refuse close",
        "heal",
    )
