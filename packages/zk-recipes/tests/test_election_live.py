"""Elections on running servers, in each world: one leads, is told when it is cut off, and hears that it should go."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest

from zk_client import AsyncClient, Client, SessionState
from zk_recipes import AsyncElection, Election, LockLostError, LockTimeout, Term
from zk_testing import EmbeddedServer
from zk_testing.faults import FaultProxy

MakeClient = Callable[..., Client]
PATH = "/election"
PATIENCE = 20.0


def wait_for_contenders(client: Client, count: int) -> None:
    """Wait until that many stand, told by watches."""
    client.ensure_path(PATH)
    while True:
        watch = client.watcher()
        if len(client.get_children(PATH, watch=watch)) == count:
            watch.close()
            return
        assert watch.wait(PATIENCE) is not None


def test_threads_lead_one_after_the_other(make_client: MakeClient) -> None:
    elections = [Election(make_client(), PATH, f"client-{number}") for number in range(2)]
    leading: list[int] = []
    tokens: list[int] = []
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for _ in range(3):
                with elections[number % 2].lead() as term:
                    leading.append(number)
                    assert leading == [number] and term.is_leader and term.token is not None
                    tokens.append(term.token)
                    leading.remove(number)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE * 2)
    assert failures == [] and not any(thread.is_alive() for thread in threads)
    assert len(tokens) == 12 and tokens == sorted(tokens)
    assert elections[0].contenders() == []


def test_run_leads_and_a_cancelled_run_returns(make_client: MakeClient) -> None:
    client = make_client()
    mine, other = Election(client, PATH, "mine"), Election(make_client(), PATH, "other")
    calls: list[tuple[object, ...]] = []

    def lead(*args: object, **kwargs: object) -> None:
        thread = threading.Thread(target=other.run, args=(calls.append, ("other",)))
        thread.start()
        wait_for_contenders(client, 2)
        other.cancel()
        thread.join(PATIENCE)
        assert not thread.is_alive()
        wait_for_contenders(client, 1)
        calls.append((args, kwargs, mine.contenders()))

    mine.run(lead, 1, two=2)
    assert calls == [((1,), {"two": 2}, ["mine"])]


@pytest.mark.parametrize("how", ["freeze", "cut"])
def test_a_leader_that_is_cut_off_is_told_before_the_next_one_leads(
    how: str, make_client: MakeClient, zk_faults: FaultProxy
) -> None:
    known = threading.Event()
    first = Election(make_client(zk_faults.hosts, 2.0), PATH, "first")
    second = Election(make_client(), PATH, "second")
    with first.lead(PATIENCE, on_lost=known.set) as term:
        token = term.token
        if how == "freeze":
            zk_faults.freeze()
        else:
            zk_faults.refuse()
            zk_faults.cut()
        with second.lead(PATIENCE) as next_term:
            assert known.is_set() and not term.is_leader
            assert term.wait() is True
            assert token is not None and next_term.token is not None and next_term.token > token
            with pytest.raises(LockLostError):
                term.guard()
            zk_faults.heal()
    with first.lead(PATIENCE) as term:
        assert term.is_leader


def test_a_run_whose_function_did_not_hear_of_the_loss_says_so() -> None:
    with EmbeddedServer() as server, Client(server.hosts, timeout=10.0) as client:
        over = threading.Event()
        client.add_listener(lambda state: over.set() if state is SessionState.EXPIRED else None)

        def work() -> None:
            session = client.session_id
            assert session is not None
            server.expire_session(session)
            assert over.wait(PATIENCE)

        with pytest.raises(LockLostError, match="while the function ran"):
            Election(client, PATH).run(work)


def test_a_leader_steps_down_when_it_is_asked(make_client: MakeClient) -> None:
    client, other = make_client(), make_client()
    mine, asker = Election(client, PATH, "mine"), Election(other, PATH, "asker")
    told = threading.Event()
    started = threading.Event()
    terms: list[Term] = []

    def lead() -> None:
        with mine.lead(on_step_down=told.set) as term:
            terms.append(term)
            started.set()
            assert term.wait(PATIENCE)
            assert term.should_step_down and term.is_leader
            term.check()

    thread = threading.Thread(target=lead)
    thread.start()
    assert started.wait(PATIENCE)
    assert asker.request_step_down(token=1) is False
    assert asker.request_step_down(token=terms[0].token) is True
    with asker.lead(PATIENCE) as term:
        assert term.is_leader and not term.should_step_down
    thread.join(PATIENCE)
    assert told.is_set() and not thread.is_alive()
    assert asker.request_step_down() is False


@pytest.mark.parametrize("lose", ["lose_reply", "lose_request"])
@pytest.mark.parametrize("kind", ["create", "get_children", "get_data", "delete"])
def test_a_lost_message_of_an_election_leaves_one_leader_and_then_none(
    kind: str, lose: str, make_client: MakeClient, zk_faults: FaultProxy
) -> None:
    client, other = make_client(zk_faults.hosts), make_client()
    other.ensure_path(PATH)
    fault = getattr(zk_faults, lose)(kind)
    with Election(client, PATH).lead(PATIENCE) as term:
        with pytest.raises(LockTimeout), Election(other, PATH).lead(0.1):
            pass
        wait_for_contenders(other, 1)
        term.check()
        if kind == "get_data":
            fault.wait()
    fault.wait()
    wait_for_contenders(other, 0)


def test_a_tasks_block_is_cancelled_when_its_session_ends() -> None:
    async def main(server: EmbeddedServer) -> None:
        async with AsyncClient(server.hosts, 2.0) as zk, AsyncClient(server.hosts, 2.0) as other:
            cancelled = False

            async def lead() -> None:
                nonlocal cancelled
                async with AsyncElection(zk, PATH).lead():
                    assert zk.session_id is not None
                    server.expire_session(zk.session_id)
                    try:
                        await asyncio.Event().wait()
                    finally:
                        cancelled = True

            async with asyncio.timeout(PATIENCE):
                with pytest.raises(LockLostError, match="the block was cancelled"):
                    await lead()
                assert cancelled
                async with AsyncElection(other, PATH).lead() as term:
                    assert await AsyncElection(zk, PATH).request_step_down()
                    assert await term.wait(PATIENCE) and term.should_step_down
                calls: list[int] = []

                async def work(number: int) -> None:
                    await asyncio.sleep(0)
                    calls.append(number)

                await AsyncElection(zk, PATH).run(work, 7)
                assert calls == [7]
        assert asyncio.all_tasks() == {asyncio.current_task()}

    with EmbeddedServer() as server:
        asyncio.run(main(server), debug=True)


def test_greenlets_lead_one_after_the_other() -> None:
    gevent = pytest.importorskip("gevent")
    with EmbeddedServer() as server, Client(server.hosts, runtime="gevent") as zk, gevent.Timeout(30):
        election = Election(zk, PATH)
        leading = 0

        def work() -> None:
            nonlocal leading
            with election.lead() as term:
                leading += 1
                assert leading == 1
                assert election.request_step_down(term.token)
                assert term.wait(10) and term.should_step_down
                leading -= 1

        gevent.joinall([gevent.spawn(work) for _ in range(4)], raise_error=True)
        assert election.contenders() == []
