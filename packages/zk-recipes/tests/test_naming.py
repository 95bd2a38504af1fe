"""Names of contenders: made as others make them, recognised as the server prints them, read by others as by us."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sim_world import PATH, World, lock
from simulated import Simulation

from zk_recipes import AsyncLock, Naming
from zk_recipes._sequence import Contender, before
from zk_recipes.naming import ELECTIONS, LOCKS, READ_WRITE_LOCKS

numbers = st.integers(-(2**31), 2**31 - 1)
KAZOO = LOCKS["kazoo"]
GUID = "0123456789abcdef0123456789abcdef"
HEX32 = "[0-9a-f]{32}"
UUID = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"

SHAPES = [
    (LOCKS["kazoo"], f"{HEX32}__lock__"),
    (LOCKS["curator"], f"_c_{UUID}-lock-"),
    (LOCKS["go"], f"_c_{HEX32}-lock-"),
    (LOCKS["java"], f"x-{HEX32}-"),
    (ELECTIONS["curator-latch"], f"_c_{UUID}-latch-"),
    (READ_WRITE_LOCKS["kazoo"].read, f"{HEX32}__rlock__"),
    (READ_WRITE_LOCKS["kazoo"].write, f"{HEX32}__lock__"),
    (READ_WRITE_LOCKS["curator"].read, f"_c_{UUID}-__READ__"),
    (READ_WRITE_LOCKS["curator"].write, f"_c_{UUID}-__WRIT__"),
]


@pytest.mark.parametrize(("naming", "shape"), SHAPES)
def test_names_have_the_shape_that_others_make(naming: Naming, shape: str) -> None:
    assert re.fullmatch(shape, naming.prefix(GUID))
    assert naming.prefix(GUID).startswith(naming.head(GUID))
    assert naming.head(GUID).replace("-", "").endswith(GUID)


@pytest.mark.parametrize(("naming", "shape"), SHAPES)
@given(number=numbers)
def test_every_number_the_server_prints_is_recognised(naming: Naming, shape: str, number: int) -> None:
    name = f"{naming.prefix(GUID)}{number:010d}"
    assert naming.parse(name) == Contender(name, number)


@pytest.mark.parametrize("text", ["-2147483648", "-000000001", "2147483647", "0000000000"])
def test_the_counters_extremes_are_recognised_after_a_marker_that_ends_in_a_dash(text: str) -> None:
    found = Naming("x", ["-lock-"]).parse(f"_c_1-lock-{text}")
    assert found is not None and found.number == int(text)


@pytest.mark.parametrize(
    "name",
    [
        "lease_holder",
        "__lock__",
        "a__lock__123",
        "a__lock__00000000001",
        "a__lock__000000000١",
        "a__rlock__0000000001",
        "a__lock__0000000001\n",
    ],
)
def test_other_names_are_not_recognised(name: str) -> None:
    assert KAZOO.parse(name) is None


def test_extra_markers_are_literal_text() -> None:
    naming = KAZOO.also([".lock."])
    assert naming.parse("a.lock.0000000001") is not None
    assert naming.parse("axlockx0000000001") is None


@pytest.mark.parametrize("others", [["", "x"], [b"-lock-"], [None]])
def test_an_empty_or_foreign_marker_is_refused(others: list[str]) -> None:
    with pytest.raises(TypeError, match="must hold non-empty strings"):
        KAZOO.also(others)


def test_a_naming_that_no_node_can_have_is_refused() -> None:
    with pytest.raises(ValueError, match="marker must not be empty"):
        Naming("")
    with pytest.raises(ValueError, match="before must be a part of a node's name, without a slash"):
        Naming("-", before="a/b")
    with pytest.raises(TypeError, match="marker must be a str, not bytes"):
        Naming(b"__lock__")  # type: ignore[arg-type]


def test_an_unknown_naming_is_refused_with_the_known_ones() -> None:
    client = World().clients[0]
    with pytest.raises(ValueError, match="must be one of kazoo, curator, go, java, or a Naming: not 'rust'"):
        AsyncLock(client, PATH, naming="rust")
    with pytest.raises(TypeError, match="must be a str or a Naming, not int"):
        AsyncLock(client, PATH, naming=3)  # type: ignore[arg-type]


# How the others read a queue. Each returns the name that holds; written from the table of who orders how.


def curator_reads(children: Sequence[str]) -> str:
    """By the text after the last "lock-", or by the whole name."""
    return min(children, key=lambda name: name.rpartition("lock-")[2])


def go_reads(children: Sequence[str]) -> str:
    """By the number after "lock-", or else after "__"; a name with neither is an error."""

    def number(name: str) -> int:
        return int(name.rsplit("lock-", maxsplit=1)[-1] if "lock-" in name else name.rsplit("__", maxsplit=1)[-1])

    return min(children, key=number)


def java_reads(children: Sequence[str]) -> str:
    """By the number after the last dash; a name without one comes after all that have one."""

    def number(name: str) -> tuple[bool, int]:
        text = name.rpartition("-")[2]
        return (not text.isdigit(), int(text) if text.isdigit() else 0)

    return min(children, key=number)


def kazoo_reads(*patterns: str) -> Callable[[Sequence[str]], str]:
    """By the text of the number, among names of its own kind and of the extra patterns."""
    kind = re.compile(rf"(?:{'|'.join(('__lock__', *patterns))})(-?\d{{10}})$")

    def read(children: Sequence[str]) -> str:
        found = [(match[1], name) for name in children if (match := kind.search(name))]
        return min(found)[1]

    return read


THEIRS = {
    "kazoo": "{:032x}__lock__{:010d}",
    "curator": "_c_{:08x}-1111-2222-3333-444444444444-lock-{:010d}",
    "go": "_c_{:032x}-lock-{:010d}",
    "java": "x-{:d}-{:010d}",
}


@pytest.mark.parametrize(
    ("naming", "peer", "reads"),
    [
        ("kazoo", "kazoo", kazoo_reads()),
        ("curator", "curator", curator_reads),
        ("go", "go", go_reads),
        ("java", "java", java_reads),
        ("kazoo", "go", go_reads),  # ours: with extra_lock_patterns=["-lock-"]
        ("curator", "go", go_reads),
        ("go", "curator", curator_reads),
        ("curator", "kazoo", kazoo_reads("-lock-")),  # kazoo's: with extra_lock_patterns=["-lock-"]
        ("go", "kazoo", kazoo_reads("-lock-")),
    ],
)
@given(
    queue=st.lists(st.booleans(), min_size=1, max_size=8),
    first=st.integers(0, 2**30),
    guids=st.randoms(use_true_random=False),
)
def test_their_reading_of_a_queue_agrees_with_ours(
    naming: str, peer: str, reads: Callable[[Sequence[str]], str], queue: list[bool], first: int, guids: object
) -> None:
    ours = LOCKS[naming].also(["-lock-"] if (naming, peer) == ("kazoo", "go") else [])
    sim = Simulation(guids.getrandbits(32))  # type: ignore[attr-defined]
    names = [
        f"{ours.prefix(sim.guid())}{first + place:010d}"
        if is_ours
        else THEIRS[peer].format(int(sim.guid()[:8], 16), first + place)
        for place, is_ours in enumerate(queue)
    ]
    contenders = ours.contenders(names)
    assert [contender.name for contender in contenders] == names
    assert [contender.name for contender in contenders if before(contender, contenders)[0] is None] == [reads(names)]


def test_curator_does_not_respect_a_kazoo_name_which_is_why_the_naming_can_be_chosen() -> None:
    held = f"{'f' * 32}__lock__0000000000"
    waiting = f"_c_{'0' * 8}-1111-2222-3333-444444444444-lock-0000000001"
    assert curator_reads([held, waiting]) == waiting


def test_none_of_the_others_survives_the_overflow_of_the_counter() -> None:
    older, younger = "_c_1-lock-2147483647", "_c_2-lock--2147483648"
    assert curator_reads([older, younger]) == younger
    assert kazoo_reads("-lock-")([older, younger]) == younger
    assert before(*_both(LOCKS["curator"], older, younger))[0] is None


def _both(naming: Naming, one: str, other: str) -> tuple[Contender, list[Contender]]:
    found = naming.contenders([one, other])
    return found[0], found


# In a lock


@pytest.mark.parametrize("naming", [*LOCKS, Naming("-mine-", ["__lock__"], before="app.")], ids=str)
def test_a_lock_creates_and_finds_again_nodes_of_its_naming(naming: str | Naming) -> None:
    world = World(3)

    async def body() -> None:
        first, second = lock(world, 0, naming=naming), lock(world, 1, naming=naming)
        async with first:
            (node,) = world.queue()
            assert (LOCKS[naming] if isinstance(naming, str) else naming).parse(node.rpartition("/")[2])
            assert await second.acquire(blocking=False) is False
            waiting = world.sim.spawn(second.acquire(), "waiter")
            await world.sim.sleep(1)
            assert await first.contenders() == ["client-0", "client-1"]
            # The connection goes as it leaves: what the client removes afterwards is found by the head of its name.
            world.clients[0].cut(1.0)
        assert await waiting.join()
        await second.release()

    world.run(body())
