"""Connection strings, and the order in which hosts are tried."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zk_client import ConfigurationError, Host, parse_hosts
from zk_client.hosts import HostList

A, B, C = Host("a", 1), Host("b", 2), Host("c", 3)


@pytest.mark.parametrize(
    ("text", "hosts", "chroot"),
    [
        ("h", [("h", 2181)], ""),
        ("h:1", [("h", 1)], ""),
        ("h1:1,h2", [("h1", 1), ("h2", 2181)], ""),
        (" h1:1 , h2:2 ", [("h1", 1), ("h2", 2)], ""),
        ("H1:1", [("h1", 1)], ""),
        ("h:1/", [("h", 1)], ""),
        ("h:1/app", [("h", 1)], "/app"),
        ("h1,h2/app/sub", [("h1", 2181), ("h2", 2181)], "/app/sub"),
        ("[::1]:2182", [("::1", 2182)], ""),
        ("[::1]", [("::1", 2181)], ""),
        ("[fe80::1%eth0]:1,127.0.0.1:2/x", [("fe80::1%eth0", 1), ("127.0.0.1", 2)], "/x"),
        (["h1:1", "[::1]:2/app"], [("h1", 1), ("::1", 2)], "/app"),
        (("h1", "h2"), [("h1", 2181), ("h2", 2181)], ""),
    ],
)
def test_a_connection_string_says_hosts_and_chroot(
    text: str | list[str], hosts: list[tuple[str, int]], chroot: str
) -> None:
    assert parse_hosts(text) == (tuple(hosts), chroot)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("", "empty host"),
        ("h1,,h2", "empty host"),
        ("h1,", "empty host"),
        ("/app", "empty host"),
        ("::1", r"write it as \[::1\]:port"),
        ("[::1", "not of the form"),
        ("[::1]2181", "not of the form"),
        ("[]:1", "not a host name"),
        (":2181", "not a host name"),
        ("h 1:2181", "not a host name"),
        ("user@h:1", "not a host name"),
        ("h:0", "from 1 to 65535"),
        ("h:65536", "from 1 to 65535"),
        ("h:-1", "from 1 to 65535"),
        ("h:x", "from 1 to 65535"),
        ("h:２", "from 1 to 65535"),
        ("h:1//app", "bad chroot"),
        ("h:1/app/", "bad chroot"),
        ("h:1/a/../b", "bad chroot"),
        ([], "not empty"),
        (["h", None], "list of str"),
        (b"h:1", "must be a str"),
        (["h1/app", "h2"], "only the last part"),
    ],
)
def test_a_bad_connection_string_is_refused_with_the_rule_it_breaks(text: object, rule: str) -> None:
    with pytest.raises(ConfigurationError, match=rule):
        parse_hosts(text)  # type: ignore[arg-type]


def test_a_configuration_error_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="hosts 'h:x'"):
        parse_hosts("h:x")


@given(st.lists(st.tuples(st.sampled_from(["h", "10.0.0.1", "::1", "fe80::2"]), st.integers(1, 65535)), min_size=1))
def test_a_host_reads_back_from_how_it_is_shown(parts: list[tuple[str, int]]) -> None:
    hosts = tuple(Host(*part) for part in parts)
    assert parse_hosts(",".join(map(str, hosts))) == (hosts, "")


def test_hosts_are_tried_in_the_order_given_round_after_round() -> None:
    hosts = HostList([A, B, C])
    assert [hosts.next() for _ in range(7)] == [A, B, C, A, B, C, A]


def test_a_host_given_twice_is_tried_once_a_round() -> None:
    hosts = HostList([A, B, A])
    assert [hosts.next() for _ in range(4)] == [A, B, A, B]


def test_each_round_is_shuffled_anew_and_holds_every_host_once() -> None:
    shuffled: list[list[Host]] = []

    def shuffle(hosts: list[Host]) -> None:
        hosts.sort(reverse=len(shuffled) % 2 == 0)
        shuffled.append(list(hosts))

    hosts = HostList([A, B, C], shuffle)
    assert [hosts.next() for _ in range(6)] == [C, B, A, A, B, C]
    assert len(shuffled) == 2


def test_a_round_ends_with_its_last_host() -> None:
    hosts = HostList([A, B])
    ended = []
    for _ in range(4):
        hosts.next()
        ended.append(hosts.round_ended)
    assert ended == [False, True, False, True]


def test_a_preferred_host_is_next_and_the_round_goes_on_behind_it() -> None:
    hosts = HostList([A, B, C])
    hosts.next()
    hosts.prefer(C)
    assert not hosts.round_ended
    assert [hosts.next() for _ in range(3)] == [C, B, C]


def test_after_a_loss_a_new_round_begins_with_the_lost_host_last() -> None:
    hosts = HostList([A, B, C])
    assert hosts.next() == A
    hosts.restart(A)
    assert [hosts.next() for _ in range(3)] == [B, C, A]


def test_an_only_host_is_tried_again_after_a_loss() -> None:
    hosts = HostList([A])
    hosts.next()
    hosts.restart(A)
    assert not hosts.round_ended
    assert hosts.next() == A


def test_a_list_of_no_hosts_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="no hosts"):
        HostList([])
