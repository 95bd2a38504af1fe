"""Many threads, greenlets or tasks on one client."""

from __future__ import annotations

from live import (
    PATIENCE,
    Background,
)

from zk_client import (
    Client,
    SessionState,
)

SUSPENDED = SessionState.SUSPENDED


def test_many_threads_share_one_client(zk: Client) -> None:
    zk.create("/n")
    background = Background()

    def work(number: int) -> None:
        path = zk.create(f"/w{number}", b"%d" % number)
        for turn in range(10):
            assert zk.get(path)[0] == b"%d" % (number + turn)
            zk.set(path, b"%d" % (number + turn + 1), version=turn)
            assert len(zk.get_children("/")) >= 1
            assert zk.get_async(path).result(PATIENCE)[1].version == turn + 1

    for number in range(64):
        background(lambda number=number: work(number))
    background.join(60)
    assert len(zk.get_children("/")) == 65
