"""Four-letter words: what servers of 3.6 to 3.10 answer becomes values, everything else one typed error."""

from __future__ import annotations

import pickle
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zk_wire import (
    AdminCommandRefusedError,
    ConnectedClient,
    Latency,
    LocalProtocolError,
    ProposalSizes,
    RemoteProtocolError,
    ServerNotServingError,
    ZooKeeperError,
    encode_command,
    parse_conf,
    parse_cons,
    parse_isro,
    parse_mntr,
    parse_srvr,
    parse_stat,
    parse_text,
)

SRVR = """\
Zookeeper version: 3.8.0-5a02a05eddb59aee6ac762f7ea82e92a68eb9c0f, built on 2022-02-25 08:49 UTC
Latency min/avg/max: 0/1.4929/94
Received: 1042
Sent: 1041
Connections: 3
Outstanding: 2
Zxid: 0x100000201
Mode: standalone
Node count: 5
"""
LEADER = SRVR.replace("standalone", "leader") + "Proposal sizes last/min/max: 48/48/36052\n"
STAT = SRVR.replace(
    "UTC\n",
    "UTC\nClients:\n"
    " /127.0.0.1:53210[1](queued=0,recved=5,sent=4)\n"
    " /[0:0:0:0:0:0:0:1]:53212[0](queued=1,recved=2,sent=0)\n"
    " /0:0:0:0:0:0:0:1:53214[1](queued=0,recved=1,sent=1)\n"
    " null[0](queued=0,recved=1,sent=0)\n"
    "\n",
)
CONS = (
    " /127.0.0.1:53210[1](queued=0,recved=5,sent=5,sid=0x10005d2e4f80000,lop=ADDW,est=1669125600000,to=10000,"
    "lcxid=0x4,lzxid=0x201,lresp=1669125600042,llat=1,minlat=0,avglat=1,maxlat=3)\n"
    " /127.0.0.1:53212[0](queued=0,recved=1,sent=0)\n"
    "\n"
)
MNTR = (
    "zk_version\t3.9.4-7246445ec281f3dbf53dc54e970c914f39713903, built on 2025-08-19 19:53 UTC\n"
    "zk_server_state\tleader\n"
    "zk_ephemerals_count\t0\n"
    "zk_avg_latency\t0.4118\n"
    "zk_min_proposal_size\t-1\n"
    "zk_jvm_memory_pool_bytes_used\t1.2345E7\n"
    "zk_read_only\tNaN\n"
    "zk_my_app_sum_write_per_namespace\t17\n"
)
CONF = """\
clientPort=2181
secureClientPort=-1
dataDir=/data/version-2
dataDirSize=67109269
dataLogDir=/data/version-2
dataLogSize=67109269
tickTime=2000
maxClientCnxns=60
minSessionTimeout=4000
maxSessionTimeout=40000
clientPortListenBacklog=-1
serverId=0
"""
QUORUM_CONF = (
    CONF
    + "initLimit=10\nsyncLimit=5\nelectionAlg=3\nelectionPort=3888\nquorumPort=2888\npeerType=0\nmembership: \n"
    + "server.1=localhost:2888:3888:participant;0.0.0.0:2181\nserver.2=b:2888:3888:observer;0.0.0.0:2181\nversion=0"
)
NOT_SERVING = "This ZooKeeper instance is not currently serving requests\n"

PARSERS: list[tuple[str, Callable[[bytes | str], object]]] = [
    ("srvr", parse_srvr),
    ("stat", parse_stat),
    ("cons", parse_cons),
    ("mntr", parse_mntr),
    ("conf", parse_conf),
    ("isro", parse_isro),
    ("ruok", lambda answer: parse_text(answer, "ruok")),
]
each_parser = pytest.mark.parametrize(("word", "parse"), PARSERS, ids=[word for word, _ in PARSERS])


def test_a_word_is_sent_as_its_four_letters() -> None:
    assert encode_command("srvr") == b"srvr"


def test_the_trace_mask_follows_stmk_as_eight_bytes() -> None:
    assert encode_command("stmk", 306) == b"stmk\x00\x00\x00\x00\x00\x00\x01\x32"


@pytest.mark.parametrize("word", ["SRVR", "srv", "srvrx", "", "kill", "sr\n", "ruok "])
def test_a_word_no_server_knows_is_refused_before_it_is_sent(word: str) -> None:
    with pytest.raises(LocalProtocolError, match="no four-letter word"):
        encode_command(word)


@pytest.mark.parametrize(("word", "argument"), [("srvr", 1), ("stmk", None), ("stmk", 1 << 63)])
def test_a_wrong_argument_is_refused_before_it_is_sent(word: str, argument: int | None) -> None:
    with pytest.raises(LocalProtocolError, match="argument"):
        encode_command(word, argument)


def test_srvr_tells_everything_a_standalone_server_says() -> None:
    status = parse_srvr(SRVR)

    assert status.version.startswith("3.8.0-5a02")
    assert status.mode == "standalone"
    assert status.zxid == 0x100000201
    assert status.latency == Latency(0.0, 1.4929, 94.0)
    assert (status.received, status.sent, status.connections, status.outstanding) == (1042, 1041, 3, 2)
    assert status.node_count == 5
    assert status.read_only is False
    assert status.clients == ()
    assert status.proposal_sizes is None


def test_srvr_may_come_as_bytes_with_other_line_ends() -> None:
    assert parse_srvr(SRVR.replace("\n", "\r\n").encode()) == parse_srvr(SRVR)


def test_srvr_of_a_leader_tells_its_proposal_sizes() -> None:
    assert parse_srvr(LEADER).proposal_sizes == ProposalSizes(48, 48, 36052)


def test_srvr_of_an_old_server_with_whole_latencies_is_read() -> None:
    assert parse_srvr(SRVR.replace("1.4929", "1")).latency.avg_ms == 1.0


def test_srvr_of_a_read_only_server_says_so() -> None:
    text = SRVR.replace("UTC\n", "UTC\nREAD-ONLY mode; serving only read-only clients\n")

    assert parse_srvr(text).read_only is True


def test_a_zxid_above_the_signed_range_is_negative() -> None:
    assert parse_srvr(SRVR.replace("0x100000201", "0xffffffffffffffff")).zxid == -1


def test_a_line_this_version_does_not_know_is_passed_over() -> None:
    assert parse_srvr(SRVR + "Something new: 1\n") == parse_srvr(SRVR)


def test_stat_lists_clients_of_both_address_families_and_of_none() -> None:
    assert parse_stat(STAT).clients == (
        ConnectedClient("127.0.0.1", 53210, 1, 0, 5, 4, {}),
        ConnectedClient("0:0:0:0:0:0:0:1", 53212, 0, 1, 2, 0, {}),
        ConnectedClient("0:0:0:0:0:0:0:1", 53214, 1, 0, 1, 1, {}),
        ConnectedClient(None, None, 0, 0, 1, 0, {}),
    )


def test_stat_goes_on_with_the_status_after_its_clients() -> None:
    assert parse_stat(STAT)._replace(clients=()) == parse_srvr(SRVR)


def test_cons_keeps_the_details_of_a_session() -> None:
    first, second = parse_cons(CONS)

    assert (first.details["sid"], first.details["lop"], first.details["maxlat"]) == ("0x10005d2e4f80000", "ADDW", "3")
    assert second.details == {}


def test_mntr_turns_numbers_into_numbers_and_leaves_text() -> None:
    values = parse_mntr(MNTR)

    assert values["zk_server_state"] == "leader"
    assert values["zk_ephemerals_count"] == 0
    assert isinstance(values["zk_ephemerals_count"], int)
    assert values["zk_avg_latency"] == 0.4118
    assert values["zk_min_proposal_size"] == -1
    assert values["zk_jvm_memory_pool_bytes_used"] == 12345000.0
    assert values["zk_my_app_sum_write_per_namespace"] == 17
    assert values["zk_read_only"] != values["zk_read_only"]


def test_conf_of_a_standalone_server_is_a_plain_mapping() -> None:
    values = parse_conf(CONF)

    assert (values["clientPort"], values["dataDir"], values["serverId"]) == ("2181", "/data/version-2", "0")


def test_conf_of_an_ensemble_names_its_members() -> None:
    values = parse_conf(QUORUM_CONF)

    assert values["server.2"] == "b:2888:3888:observer;0.0.0.0:2181"
    assert values["version"] == "0"
    assert "membership: " not in values


@pytest.mark.parametrize(("text", "expected"), [("ro", True), ("rw", False), ("null", None), ("rw\n", False)])
def test_isro_tells_read_only_read_write_and_not_serving_apart(text: str, expected: bool | None) -> None:
    assert parse_isro(text) is expected


@pytest.mark.parametrize("text", ["imok", "2 connections watching 3 paths\nTotal watches:4\n"])
def test_an_answer_without_a_parser_comes_back_as_its_text(text: str) -> None:
    assert parse_text(text.encode(), "wchs") == text


def test_a_server_without_digests_has_an_empty_hash() -> None:
    assert parse_text(b"", "hash") == ""


def test_bytes_of_another_locale_are_escaped_not_refused() -> None:
    assert parse_conf(CONF.encode().replace(b"/data", b"/d\xe4ta"))["dataDir"] == "/d\\xe4ta/version-2"


@each_parser
def test_a_word_outside_the_whitelist_is_a_refusal(word: str, parse: Callable[[bytes | str], object]) -> None:
    with pytest.raises(AdminCommandRefusedError) as refusal:
        parse(f"{word} is not executed because it is not in the whitelist.\n")

    assert refusal.value.word == word


@each_parser
def test_a_server_that_does_not_serve_is_told_apart(word: str, parse: Callable[[bytes | str], object]) -> None:
    with pytest.raises(ServerNotServingError) as refusal:
        parse(NOT_SERVING)

    assert refusal.value.word == word


@each_parser
def test_no_answer_at_all_is_a_protocol_error(word: str, parse: Callable[[bytes | str], object]) -> None:
    with pytest.raises(RemoteProtocolError, match=f"empty answer to '{word}'"):
        parse(b"")


@pytest.mark.parametrize("error", [AdminCommandRefusedError("srvr"), ServerNotServingError("stat")])
def test_a_refusal_survives_pickling(error: AdminCommandRefusedError | ServerNotServingError) -> None:
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes

    assert (type(copy), copy.word, str(copy)) == (type(error), error.word, str(error))


@pytest.mark.parametrize(
    ("parse", "text"),
    [(parse_srvr, SRVR), (parse_stat, STAT), (parse_mntr, MNTR), (parse_conf, CONF), (parse_conf, QUORUM_CONF)],
    ids=["srvr", "stat", "mntr", "conf", "conf-of-an-ensemble"],
)
def test_an_answer_cut_inside_a_line_is_never_taken_for_whole(parse: Callable[[str], object], text: str) -> None:
    # The last line of an ensemble's conf has no newline in a whole answer, so only a cut before its value shows.
    end = text.index("version=0") + len("version") if text is QUORUM_CONF else len(text) - 1
    for length in range(1, end + 1):
        if text[length - 1] != "\n":
            with pytest.raises(RemoteProtocolError):
                parse(text[:length])


@pytest.mark.parametrize("end", [i + 1 for i, c in enumerate(SRVR[:-1]) if c == "\n"])
def test_srvr_cut_between_two_lines_misses_a_line(end: int) -> None:
    with pytest.raises(RemoteProtocolError, match="is missing"):
        parse_srvr(SRVR[:end])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Zookeeper version: ", "Version: "),
        ("0x100000201", "0x"),
        ("0x100000201", "0x1_0"),
        ("0x100000201", "201"),
        ("0x100000201", "0x11111111111111111"),
        ("1041", "1_041"),
        ("1041", "many"),
        ("1041", "9" * 400),
        ("0/1.4929/94", "0/94"),
        ("0/1.4929/94", "0/x/94"),
        ("Mode: standalone", "standalone"),
    ],
)
def test_srvr_with_a_broken_field_is_a_protocol_error(old: str, new: str) -> None:
    with pytest.raises(RemoteProtocolError, match="bad answer to 'srvr'"):
        parse_srvr(SRVR.replace(old, new))


@pytest.mark.parametrize(
    "line", [" /1.2.3.4:5[1]", " /1.2.3.4[1](queued=0,recved=1,sent=1)", " /1.2.3.4:5[1](queued=0)", " x"]
)
def test_a_broken_client_line_is_a_protocol_error(line: str) -> None:
    with pytest.raises(RemoteProtocolError, match="bad answer to 'cons': a client's"):
        parse_cons(line + "\n")


def test_a_line_of_mntr_without_a_tab_is_a_protocol_error() -> None:
    with pytest.raises(RemoteProtocolError, match="zk_key<TAB>value"):
        parse_mntr(MNTR + "zk_more 1\n")


def test_a_long_bad_answer_is_shortened_in_the_message() -> None:
    with pytest.raises(RemoteProtocolError) as error:
        parse_isro("x" * 10_000)

    assert len(str(error.value)) < 300


@each_parser
@given(answer=st.one_of(st.binary(max_size=200), st.text(max_size=200)))
def test_any_answer_is_a_value_or_a_typed_error(
    word: str, parse: Callable[[bytes | str], object], answer: bytes | str
) -> None:
    try:
        parse(answer)
    except ZooKeeperError:
        pass


@given(at=st.integers(0, len(STAT) - 1), new=st.characters())
def test_a_changed_character_of_stat_is_a_value_or_a_typed_error(at: int, new: str) -> None:
    try:
        parse_stat(STAT[:at] + new + STAT[at + 1 :])
    except ZooKeeperError:
        pass
