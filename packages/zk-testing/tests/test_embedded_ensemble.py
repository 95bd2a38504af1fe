"""An ensemble on sockets: it has the names of a real cluster, and survives what is done to it."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest
from embedded_client import OPEN

from zk_testing import AsyncEmbeddedEnsemble, EmbeddedEnsemble, VirtualClock
from zk_testing.errors import ClusterError
from zk_testing.rawclient import RawClient
from zk_wire import CreateRequest, ExistsRequest, GetDataRequest, NoNodeError, SyncRequest, parse_conf, parse_mntr


def exists(raw: RawClient, path: str) -> bool:
    try:
        raw.request(ExistsRequest(path, False))
    except NoNodeError:
        return False
    return True


def test_it_starts_in_under_thirty_milliseconds() -> None:
    times: list[float] = []
    for _ in range(5):
        begun = time.perf_counter()
        with EmbeddedEnsemble(3):
            times.append(time.perf_counter() - begun)
    assert min(times) < 0.030


def test_members_have_the_names_and_the_roles_of_a_real_cluster() -> None:
    with EmbeddedEnsemble(4, observers=1) as ensemble:
        assert [member.number for member in ensemble] == [1, 2, 3, 4]
        assert ensemble.hosts == ",".join(member.address for member in ensemble.members)
        assert ensemble.connection_string("/app") == ensemble.hosts + "/app"
        leader = ensemble.leader()
        assert sorted(str(member.role) for member in ensemble) == ["follower", "follower", "leader", "observer"]
        assert ensemble[3].role == "observer"
        assert set(ensemble.followers()) == {*ensemble} - {leader, ensemble[3]}
        assert [member.status().mode for member in ensemble] == [member.role for member in ensemble]
        assert ensemble.version == leader.version == "3.9.6"
        assert not ensemble.damaged


def test_nothing_is_left_after_stop_and_everything_is_there_after_another_start() -> None:
    threads = threading.active_count()
    ensemble = EmbeddedEnsemble(3)
    with ensemble:
        hosts = ensemble.hosts
        raw = RawClient(ensemble[0].address)
        raw.request(CreateRequest("/e", b"", OPEN, 1))
        raw.close()
    assert threading.active_count() == threads
    assert not ensemble.running
    with ensemble:
        assert ensemble.hosts == hosts
        with RawClient(ensemble[1].address, session=raw.session) as again:
            assert again.request(ExistsRequest("/e", False)).stat.ephemeral_owner == raw.session_id


@pytest.mark.parametrize("verb", ["stop", "kill", "pause"])
def test_the_others_elect_one_of_themselves_when_the_leader_fails(verb: str) -> None:
    with EmbeddedEnsemble(3, tick_ms=20, sync_limit=2) as ensemble:
        leader = ensemble.leader()
        getattr(leader, verb)()
        assert ensemble.damaged
        assert leader.role is None
        assert ensemble.leader(other_than=leader) is not leader
        ensemble.heal()
        assert not ensemble.damaged
        assert leader.role == "follower"


def test_a_member_restarts_with_its_data_and_a_replaced_one_gets_them_from_the_leader() -> None:
    with EmbeddedEnsemble(3) as ensemble, RawClient(ensemble.leader().address) as raw:
        raw.request(CreateRequest("/a", b"1", OPEN, 0))
        for turn, act in enumerate(("restart", "replace")):
            member = ensemble.followers()[turn]
            port = member.port
            getattr(member, act)()
            assert member.port == port
            with RawClient(member.address) as reader:
                assert reader.request(GetDataRequest("/a", False)).data == b"1"


def test_a_rolling_restart_loses_no_write() -> None:
    with EmbeddedEnsemble(3) as ensemble:
        with RawClient(ensemble[0].address) as raw:
            raw.request(CreateRequest("/a", b"1", OPEN, 0))
        ensemble.roll()
        for member in ensemble:
            with RawClient(member.address) as raw:
                assert raw.request(GetDataRequest("/a", False)).data == b"1"


def test_a_member_that_lags_answers_sync_when_it_knows_everything() -> None:
    with EmbeddedEnsemble(3) as ensemble:
        slow = ensemble.followers()[0]
        with RawClient(slow.address) as reader, RawClient(ensemble.leader().address) as writer:
            slow.hold()
            writer.request(CreateRequest("/a", b"", OPEN, 0))
            synced = reader.send(SyncRequest("/"))
            assert ensemble.damaged
            slow.let_go()
            reader.wait(synced)
            reader.request(ExistsRequest("/a", False))


def test_a_cut_off_member_reads_on_until_it_notices() -> None:
    with EmbeddedEnsemble(3, clock=VirtualClock()) as ensemble:
        follower = ensemble.followers()[0]
        raw = RawClient(follower.address)
        ensemble.isolate(follower)
        with RawClient(ensemble.leader().address) as writer:
            writer.request(CreateRequest("/a", b"", OPEN, 0))
        assert not exists(raw, "/a")
        ensemble.advance(2)
        raw.wait_closed()
        raw.close()
        assert follower.role is None
        ensemble.heal()
        assert follower.role == "follower"


def test_a_minority_serves_read_only_clients_when_told_so() -> None:
    with EmbeddedEnsemble(3, version="3.6", read_only_mode=True, clock=VirtualClock()) as ensemble:
        ensemble[0].stop()
        ensemble[1].stop()
        ensemble.advance(2)
        assert ensemble[2].role == "read-only"
        raw = RawClient(ensemble[2].address, read_only=True)
        raw.request(ExistsRequest("/", False))
        ensemble.heal()
        raw.wait_closed()
        raw.close()


def test_waiting_with_a_virtual_clock_takes_no_real_time() -> None:
    clock = VirtualClock()
    with EmbeddedEnsemble(3, clock=clock, election_time=600.0) as ensemble:
        begun, before = time.monotonic(), clock.now_ms()
        ensemble.leader().restart(timeout=2000)
        assert clock.now_ms() - before >= 600_000
        assert time.monotonic() - begun < 60


def test_waiting_for_what_cannot_happen_ends_with_an_error() -> None:
    with EmbeddedEnsemble(3, clock=VirtualClock()) as ensemble:
        ensemble[0].stop()
        ensemble[1].stop()
        with pytest.raises(ClusterError, match="nobody leads after"):
            ensemble.leader(timeout=5)
        with pytest.raises(ClusterError, match="member 3 does not serve"):
            ensemble[2].wait_until_serving(timeout=5)


def test_a_start_that_fails_leaves_nothing_behind() -> None:
    ensemble = EmbeddedEnsemble(3, clock=VirtualClock(), election_time=60.0)
    with ensemble:
        pass
    threads = threading.active_count()
    with pytest.raises(ClusterError, match="not every member serves"):
        ensemble.start(timeout=30)
    assert not ensemble.running
    assert threading.active_count() == threads


def test_sessions_can_be_found_expired_and_cut_off_from_outside() -> None:
    with EmbeddedEnsemble(3) as ensemble:
        raw = RawClient(ensemble[1].address)
        assert ensemble.sessions() == [raw.session_id]
        assert ensemble.member_of(raw.session_id) is ensemble[1]
        ensemble.drop_connections(raw.session_id)
        raw.wait_closed()
        raw.close()
        assert ensemble.member_of(raw.session_id) is None
        again = RawClient(ensemble[2].address, session=raw.session)
        assert ensemble.member_of(raw.session_id) is ensemble[2]
        ensemble.expire_session(raw.session_id)
        again.wait_closed()
        again.close()
        assert ensemble.sessions() == []


def test_unknown_members_are_refused_before_anything_happens() -> None:
    with EmbeddedEnsemble(3) as ensemble:
        for number in (0, 4, -1):
            with pytest.raises(ValueError, match="numbers 1 to 3"):
                ensemble.isolate(number)
        with pytest.raises(ValueError, match="in two groups"):
            ensemble.partition([1, 2], [2])
        assert not ensemble.damaged


@pytest.mark.parametrize(("size", "observers"), [(1, 0), (3, 2), (0, 0), (300, 0)])
def test_numbers_that_make_no_ensemble_are_refused(size: int, observers: int) -> None:
    with pytest.raises(ValueError, match="at least two members that vote"):
        EmbeddedEnsemble(size, observers=observers)


def test_the_words_tell_of_the_ensemble() -> None:
    with EmbeddedEnsemble(4, observers=1) as ensemble:
        leader, observer = ensemble.leader(), ensemble[3]
        assert "Proposal sizes" in leader.send_command("srvr")
        assert leader.status().proposal_sizes is not None
        assert observer.status().proposal_sizes is None
        conf = parse_conf(observer.send_command("conf"))
        assert (conf["serverId"], conf["peerType"], conf["syncLimit"]) == ("4", "1", "10")
        assert observer.server_line in observer.send_command("conf")
        measures = parse_mntr(leader.send_command("mntr"))
        assert (measures["zk_synced_followers"], measures["zk_synced_observers"]) == (2, 1)
        with RawClient(observer.address) as raw:
            dump = ensemble.followers()[0].send_command("dump")
            assert f"Global Sessions(1):\n0x{raw.session_id:x}\t10000ms\n" in dump


def test_a_client_of_zk_client_goes_through_a_rolling_restart() -> None:
    zk_client = pytest.importorskip("zk_client")
    with EmbeddedEnsemble(3) as ensemble, zk_client.Client(ensemble.hosts, 10.0) as client:
        client.create("/mine", ephemeral=True)
        session = client.session_id
        ensemble.roll()
        assert client.exists("/mine") is not None
        assert client.session_id == session


# In an asyncio loop


def test_an_ensemble_serves_in_an_asyncio_loop_through_a_rolling_restart() -> None:
    async def talk() -> None:
        async with AsyncEmbeddedEnsemble(3) as ensemble:
            raw = await asyncio.to_thread(RawClient, ensemble[0].address)
            await asyncio.to_thread(raw.request, CreateRequest("/e", b"", OPEN, 1))
            await ensemble.roll()
            await asyncio.to_thread(raw.wait_closed)
            raw.close()
            again = await asyncio.to_thread(lambda: RawClient(ensemble[1].address, session=raw.session))
            assert ensemble.member_of(raw.session_id) is ensemble[1]
            await asyncio.to_thread(again.request, ExistsRequest("/e", False))
            ensemble.expire_session(raw.session_id)
            await asyncio.to_thread(again.wait_closed)
            again.close()

    asyncio.run(talk())


def test_an_ensemble_in_a_loop_is_healed_of_everything() -> None:
    async def talk() -> None:
        async with AsyncEmbeddedEnsemble(3, tick_ms=20, sync_limit=2) as ensemble:
            leader = await ensemble.leader()
            leader.pause()
            new = await ensemble.leader(other_than=leader)
            ensemble.lag(new, 1)
            ensemble.isolate(new)
            await (ensemble.followers() or [new])[0].stop()
            assert ensemble.damaged
            await ensemble.heal()
            assert not ensemble.damaged
            assert leader.role == "follower"
        assert not ensemble.running

    asyncio.run(talk())


def test_an_ensemble_in_a_loop_keeps_its_data_and_virtual_time_from_one_life_to_the_next() -> None:
    async def talk() -> None:
        ensemble = AsyncEmbeddedEnsemble(3, clock=VirtualClock(), election_time=10)
        async with ensemble:
            hosts = ensemble.hosts
            raw = await asyncio.to_thread(RawClient, ensemble[0].address)
            await asyncio.to_thread(raw.request, CreateRequest("/a", b"", OPEN, 0))
            raw.close()
        async with ensemble:
            assert ensemble.hosts == hosts
            with pytest.raises(ClusterError, match="nobody leads"):
                await ensemble.leader(other_than=await ensemble.leader(), timeout=5)
            raw = await asyncio.to_thread(RawClient, ensemble[2].address)
            await asyncio.to_thread(raw.request, ExistsRequest("/a", False))
            await asyncio.to_thread(raw.close_session)

    asyncio.run(talk())
