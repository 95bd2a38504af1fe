"""Scenes of what requests mean, for servers of the configuration "brief": identities, watches, quotas, time.

Rule: see conformance_stage.py. Every scene works below a node of its own and takes away what it has created.
"""

from __future__ import annotations

import time

from conformance_stage import Scene, Stage

from zk_wire import (
    ACL,
    OPEN_ACL_UNSAFE,
    AddWatchRequest,
    AuthPacket,
    CloseSessionRequest,
    CreateContainerRequest,
    CreateRequest,
    CreateTTLRequest,
    DeleteRequest,
    ExistsRequest,
    GetACLRequest,
    GetChildren2Request,
    GetChildrenRequest,
    GetDataRequest,
    GetEphemeralsRequest,
    Id,
    MultiRequest,
    ReconfigRequest,
    SaslRequest,
    SetACLRequest,
    SetDataRequest,
    SetWatches,
    SetWatches2,
    SyncRequest,
    WhoAmIRequest,
    make_digest_acl,
)

__all__ = ["SCENES"]

OPEN = list(OPEN_ACL_UNSAFE)


# Who


_ADDRESSES = (
    "127.0.0.5", "127.0.0.4/31", "127.0.0.6/31", "127.0.0.0/8", "0.0.0.0/0", "10.0.0.5/0", "127.0.0.5/32", "127.0.0.1",
    "128.0.0.0/1", "127.0.0.5/33", "127.0.0.5/-1", "127.0.0.5/", "127.0.0.5/x", "127.0.0", "127.0.0.5.6", "127.0.0.256",
    "localhost", "", "/8", "127.0.0.5/08", "+127.0.0.5", "127.0.0.5/+8", "127.0.0.5/8/8", " 127.0.0.5", "0127.0.0.5",
    "127..0.5", "127.0.0.5.", "127.0.0.5..", "-127.0.0.5", "::1", "::1/64", "::", "::ffff:127.0.0.5", "1:2", "::1/129",
    "::1/", "1::2::3", "::ffff:7f00:5/100", "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8:9", "::12345", "::g", "fe80::1%lo",
    "1:2:3:4:5:6:1.2.3.4", "::1.2.3.4", "::/0", "[::1]", ":::1", "1::", "0:0:0:0:0:ffff:1.2.3.4", "::1/+8", "::1/-1",
    "++127.0.0.5", "-0.0.0.0/0", "127.-0.0.5", "127.0.0.5/-0", "127.0.0.5/++8", "127.0.0.5/+", "+.0.0.1", "1_2.0.0.1",
    f"{'9' * 5000}.0.0.5", f"127.0.0.5/{'9' * 5000}", "0" * 5000 + "127.0.0.5", "\u0967\u0968\u096d.0.0.5",
    "127.0.0.5/\u0668", "::\uff21\uff46", "::\uff27", "::\u0660b", "::+\uff26",
    "\U0001d7cf.0.0.1", "127.0.0.5\n", "127.0.0.\t5", "::-0", "::+1", "::+", "::\u0967", "::1/-0", "::1/++3",
)  # fmt: skip


def addresses_are_matched_by_their_bits(stage: Stage) -> None:
    owner = stage.meet("owner", auth=b"super:test")
    friend = stage.meet("127.0.0.5", "127.0.0.5")
    owner.ask(CreateRequest("/ip", b"x", OPEN, 0))
    for name in _ADDRESSES:
        owner.note("ip", name)
        owner.ask(SetACLRequest("/ip", [ACL(1, Id("ip", name))], -1), GetACLRequest("/ip"))
        friend.ask(GetDataRequest("/ip", False))
    owner.ask(DeleteRequest("/ip", -1))


def identities_are_proved_and_lost(stage: Stage) -> None:
    for scheme in ("world", "auth", "super", "sasl", "x509", "key", "ensemble", "nosuch", "", "Digest", "digest "):
        caller = stage.meet(f"scheme {scheme!r}")
        caller.ask(AuthPacket(scheme, b"user:password"))
        caller.close()
    caller = stage.meet("caller")
    for credential in (
        b"u:p",
        b"u:p",
        b"nocolon",
        b"",
        b":",
        b":p",
        b"u:",
        b"u:p:q",
        b"\xff:x",
        b"\xc3\xa9:p",
        b"\0:p",
    ):
        caller.ask(AuthPacket("digest", credential), SyncRequest("/"))
        caller.ask(WhoAmIRequest())
        if caller.ended:  # 3.6 does not know whoAmI
            caller = stage.call("again").resume(caller)
    caller.ask(CreateRequest("/mine", b"", [ACL(31, Id("auth", ""))], 0), GetACLRequest("/mine"))
    other = stage.call("other").resume(caller)
    other.ask(GetDataRequest("/mine", False), SetACLRequest("/mine", OPEN, -1))
    other.ask(AuthPacket("digest", b"u:p"), GetDataRequest("/mine", False), GetACLRequest("/mine"))
    other.ask(DeleteRequest("/mine", -1))
    empty = stage.meet("without data")
    empty.ask(AuthPacket("digest", None))
    empty.hear_end()
    address = stage.meet("address")
    address.ask(AuthPacket("ip", None), AuthPacket("ip", b"1.2.3.4"), AuthPacket("ip", b"x"))
    address.ask(SaslRequest(b"token"), SaslRequest(b""))


def the_super_user_may_do_everything(stage: Stage) -> None:
    plain, boss = stage.meet("plain"), stage.meet("boss", auth=b"super:test")
    secret = [make_digest_acl("somebody", "else", all=True)]
    boss.ask(CreateRequest("/secret", b"", secret, 0), CreateRequest("/secret/below", b"", secret, 0))
    for caller in (plain, boss):
        caller.ask(GetDataRequest("/secret", False), GetACLRequest("/secret"), SetDataRequest("/secret", b"", -1))
        caller.ask(SetDataRequest("/zookeeper/config", b"x", -1), SetACLRequest("/zookeeper/config", OPEN, 7))
        caller.ask(ReconfigRequest("server.1=a:1:2;3", None, None, -1), ReconfigRequest(None, "x", None, 5))
        caller.ask(ReconfigRequest(None, None, "", 0), DeleteRequest("/zookeeper/config", -1))
        caller.ask(DeleteRequest("/secret/below", -1), DeleteRequest("/secret", -1))
    boss.ask(SetDataRequest("/zookeeper/config", None, -1), GetDataRequest("/zookeeper/config", False))


def own_ephemerals_are_found_by_the_beginning_of_their_path(stage: Stage) -> None:
    caller = stage.meet("caller")
    caller.ask(CreateRequest("/own", b"", OPEN, 0), CreateRequest("/own/e", b"", OPEN, 1))
    for prefix in (
        "\xa0",
        "\x1f/",
        "\t/\n",
        "\u2003/",
        "\0",
        "\x85",
        "  /own",
        "/own",
        "own",
        "//",
        "/own/e",
        "/own/e/",
        " /",
    ):
        caller.note("prefix", prefix)
        caller.ask(GetEphemeralsRequest(prefix))
    caller.ask(DeleteRequest("/own/e", -1), DeleteRequest("/own", -1))


# Watches and quotas


def set_watches_compares_with_every_zxid(stage: Stage) -> None:
    caller = stage.meet("caller")
    paths = ["/sw", "/sw/a", "/sw/b", "/sw/gone"]
    caller.ask(*(CreateRequest(path, b"", OPEN, 0) for path in paths))
    caller.ask(SetDataRequest("/sw/a", b"", -1), DeleteRequest("/sw/gone", -1), CreateRequest("/sw/b/c", b"", OPEN, 0))
    caller.ask(DeleteRequest("/sw/b/c", -1), SetACLRequest("/sw/a", OPEN, -1), SetDataRequest("/sw", b"", -1))
    for ago in range(-2, 14):
        watcher = stage.meet(f"{ago} ago")
        since = stage.ear.last_zxid - ago
        watcher.ask(SetWatches(since, [*paths, "/sw/a"], paths, [*paths, ""]))
        watcher.ask(SetWatches2(since, paths, ["", *paths], paths, ["/sw"], ["/sw", "/sw"]))
        watcher.ask(SetDataRequest("/sw/a", b"", -1), CreateRequest("/sw/gone", b"", OPEN, 1))
        watcher.leave()
    caller.ask(*(DeleteRequest(path, -1) for path in ("/sw/a", "/sw/b", "/sw")))


# Only texts that every release can read: with others a server ends at the next write below the path, for good.
_LIMITS = (
    b"count=2,bytes=10", b"count=-1,bytes=3", b"count=3,bytes=-1", b"count=0,bytes=0", b"count=-1,bytes=-1",
    b"count=-1,bytes=-1=;byteHardLimit=5;countHardLimit=2", b"count=1,bytes=1=;byteHardLimit=-1;countHardLimit=3",
    b"count=2,bytes=2=;byteHardLimit=0;countHardLimit=0", b"count=1,bytes=9=;byteHardLimit=12;countHardLimit=-1",
)  # fmt: skip


def quotas_count_and_refuse(stage: Stage) -> None:
    caller = stage.meet("caller")
    root = "/zookeeper/quota/q"
    for limits in _LIMITS:
        caller.note("limits", limits)
        caller.ask(CreateRequest("/q", b"1", OPEN, 0), CreateRequest("/q/a", b"22", OPEN, 0))
        caller.ask(CreateRequest(root, b"", OPEN, 0), CreateRequest(f"{root}/zookeeper_limits", limits, OPEN, 0))
        caller.ask(CreateRequest(f"{root}/zookeeper_stats", b"count=0,bytes=0", OPEN, 0))
        stats = GetDataRequest(f"{root}/zookeeper_stats", True)
        for request in (
            CreateRequest("/q/b", b"", OPEN, 0),
            CreateRequest("/q/c", b"333", OPEN, 1),
            SetDataRequest("/q/a", b"333", -1),
            SetDataRequest("/q/a", b"4444444", -1),
            SetDataRequest("/q/a", None, 9),
            CreateRequest("/qq", b"4444", OPEN, 0),
            MultiRequest([CreateRequest("/q/m", b"1", OPEN, 0), CreateRequest("/q/n", b"1", OPEN, 0)]),
            SetDataRequest(f"{root}/zookeeper_stats", b"count=1,bytes=1", -1),
            CreateRequest("/q/d", b"55555", OPEN, 0),
            SetDataRequest(f"{root}/zookeeper_limits", b"count=1,bytes=1", -1),
            SetDataRequest("/q/a", b"1", -1),
        ):
            caller.ask(request)
            caller.ask(stats)
        for path in ("/q/a", "/q/b", "/q/c", "/q/d", "/q/m", "/q/n", "/q", "/qq", f"{root}/zookeeper_limits"):
            caller.ask(DeleteRequest(path, -1))
        caller.ask(stats, DeleteRequest(f"{root}/zookeeper_stats", -1), DeleteRequest(root, -1))


# Time


def a_silent_session_ends_with_its_nodes(stage: Stage) -> None:
    watcher = stage.meet("watcher", timeout_ms=60_000)
    watcher.ask(CreateRequest("/life", b"", OPEN, 0), GetChildrenRequest("/life", True))
    for timeout_ms, loses in ((200, False), (350, True), (400, False)):
        silent = stage.meet(f"silent for {timeout_ms}", timeout_ms=timeout_ms)
        silent.ask(CreateRequest("/life/e", b"", OPEN, 1), CreateRequest("/life/f", b"", OPEN, 1))
        began = time.monotonic()
        watcher.ask(GetDataRequest("/life/e", True), ExistsRequest("/life/f", True), GetChildrenRequest("/life", True))
        if loses:
            silent.close()
        length = len(stage.record)
        watcher.hear_events(3)
        stage.record[length:] = sorted(stage.record[length:], key=repr)  # the order of two ephemerals is free
        stage.within(began, timeout_ms / 1000 - 0.01, timeout_ms / 1000 + 0.7)
        if not loses:
            silent.hear_end()
        watcher.ping()
        stage.call("too late").resume(silent)
    watcher.ask(DeleteRequest("/life", -1))


def pings_keep_a_session_and_auth_packets_do_not(stage: Stage) -> None:
    pinging = stage.meet("pinging", timeout_ms=300)
    proving = stage.meet("proving", timeout_ms=300)
    began = time.monotonic()
    while not proving.ended and time.monotonic() < began + 5:
        length = len(stage.record)
        pinging.ping()
        proving.ask(AuthPacket("ip", b""))
        del stage.record[length:]  # how often is no matter
    stage.note("ended", proving.ended, pinging.ended)
    pinging.ping()
    stage.call("too late").resume(proving)


def containers_and_ttl_nodes_are_swept(stage: Stage) -> None:
    watcher = stage.meet("watcher", timeout_ms=60_000)
    watcher.ask(CreateRequest("/sweep", b"", OPEN, 0), AddWatchRequest("/sweep", 1))
    watcher.ask(CreateContainerRequest("/sweep/c", b"", OPEN, 4), GetDataRequest("/sweep/c", False))
    watcher.ask(CreateRequest("/sweep/c/x", b"", OPEN, 0), DeleteRequest("/sweep/c/x", -1))
    watcher.hear_events(1)
    watcher.ping()
    watcher.ask(CreateContainerRequest("/sweep/never", b"", OPEN, 4))
    watcher.hear_events(1)
    watcher.ask(CreateTTLRequest("/sweep/t", b"", OPEN, 5, 300), GetDataRequest("/sweep/t", False))
    began = time.monotonic()
    watcher.hear_events(1)
    stage.within(began, 0.29, 1.5)
    watcher.ask(CreateTTLRequest("/sweep/p", b"", OPEN, 5, 1), CreateRequest("/sweep/p/child", b"", OPEN, 0))
    watcher.ask(CreateTTLRequest("/sweep/q-", b"", OPEN, 6, 300))
    watcher.hear_events(1)  # q goes, and p stays for its child
    watcher.ask(GetChildren2Request("/sweep", False), DeleteRequest("/sweep/p/child", -1))
    watcher.hear_events(1)
    watcher.ask(GetChildren2Request("/sweep", False), DeleteRequest("/sweep", -1))


def a_closing_session_takes_its_nodes_along(stage: Stage) -> None:
    watcher = stage.meet("watcher", timeout_ms=60_000)
    watcher.ask(CreateRequest("/bye", b"", OPEN, 0), AddWatchRequest("/bye", 0), AddWatchRequest("/bye/e", 0))
    leaving = stage.meet("leaving")
    leaving.ask(CreateRequest("/bye/e", b"", OPEN, 1), ExistsRequest("/bye/e", True), GetChildrenRequest("/bye", True))
    leaving.ask(CloseSessionRequest())
    leaving.hear_end()
    watcher.ping()
    watcher.ask(DeleteRequest("/bye", -1))


SCENES: tuple[Scene, ...] = (
    addresses_are_matched_by_their_bits,
    identities_are_proved_and_lost,
    the_super_user_may_do_everything,
    own_ephemerals_are_found_by_the_beginning_of_their_path,
    set_watches_compares_with_every_zxid,
    quotas_count_and_refuse,
    a_silent_session_ends_with_its_nodes,
    pings_keep_a_session_and_auth_packets_do_not,
    containers_and_ttl_nodes_are_swept,
    a_closing_session_takes_its_nodes_along,
)
