"""WorkQueue on threads on a running server: a job has its effect once, with lost replies and workers that freeze."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from zk_client import Client
from zk_recipes import WorkQueue
from zk_testing.faults import FaultProxy
from zk_wire import CreateMode, CreateRequest

MakeClient = Callable[..., Client]
PATH = "/work"
PATIENCE = 20.0


def effect(job_id: str) -> CreateRequest:
    return CreateRequest(f"/effects/{job_id}-", b"", (), CreateMode.PERSISTENT_SEQUENTIAL)


@pytest.mark.parametrize("lose", ["lose_reply", "lose_request"])
def test_a_job_has_its_effect_once_although_messages_were_lost(
    lose: str, make_client: MakeClient, zk_faults: FaultProxy
) -> None:
    client, other = make_client(zk_faults.hosts), make_client()
    other.ensure_path("/effects")
    queue = WorkQueue(client, PATH)
    fault = getattr(zk_faults, lose)("multi")
    job_id = queue.put(b"x")
    fault.wait()
    assert queue.depth() == 1
    fault = getattr(zk_faults, lose)("multi")
    job = queue.claim(PATIENCE)
    fault.wait()
    assert job is not None and job.id == job_id
    fault = getattr(zk_faults, lose)("multi")
    assert job.complete(b"done", [effect(job_id)]) is True
    fault.wait()
    assert WorkQueue(other, PATH).result(job_id, PATIENCE) == b"done"
    assert len(other.get_children("/effects")) == 1 and queue.depth() == 0


def test_a_worker_that_froze_completes_nothing_when_it_thaws(make_client: MakeClient, zk_faults: FaultProxy) -> None:
    frozen, other = make_client(zk_faults.hosts, 2.0), make_client()
    other.ensure_path("/effects")
    theirs = WorkQueue(other, PATH)
    job_id = theirs.put(b"x")
    job = WorkQueue(frozen, PATH).claim(PATIENCE)
    assert job is not None
    zk_faults.freeze()
    again = theirs.claim(PATIENCE)
    assert again is not None and again.tries == 2 and again.token > job.token and not job.is_held
    zk_faults.heal()
    assert job.complete(b"late", [effect(job_id)]) is False
    assert again.complete(b"in time", [effect(job_id)]) is True
    assert theirs.result(job_id) == b"in time"
    assert len(other.get_children("/effects")) == 1


def test_workers_in_threads_share_the_jobs(make_client: MakeClient) -> None:
    clients = [make_client() for _ in range(3)]
    queue = WorkQueue(clients[0], PATH)
    ids = [queue.put(str(number).encode()) for number in range(12)]

    def work(client: Client) -> None:
        mine = WorkQueue(client, PATH)
        while (job := mine.claim(timeout=0.5)) is not None:
            assert job.complete(job.data * 2)

    threads = [threading.Thread(target=work, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    results = [queue.result(job_id, PATIENCE) for job_id in ids]
    for thread in threads:
        thread.join(60)
    assert results == [str(number).encode() * 2 for number in range(12)]
    assert all(queue.forget(job_id) for job_id in ids)
