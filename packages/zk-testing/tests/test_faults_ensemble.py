"""Sessions that move and expire through a proxy in front of one member of an ensemble."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from zk_testing.cluster import Cluster
from zk_testing.errors import ConversationError, SessionRefusedError
from zk_testing.faults import FaultProxy
from zk_testing.rawclient import RawClient
from zk_wire import (
    OPEN_ACL_UNSAFE,
    CreateMode,
    CreateRequest,
    ExistsRequest,
    NoNodeError,
    SyncRequest,
)

pytestmark = pytest.mark.zk("embedded", "real")


@pytest.fixture
def proxy(zk_cluster: Cluster) -> Iterator[FaultProxy]:
    """In front of the first follower."""
    with FaultProxy(zk_cluster.followers()[0]) as proxy:
        yield proxy


def test_a_session_moved_to_another_member_leaves_a_stale_connection(
    zk_cluster: Cluster, proxy: FaultProxy, zk_chroot: str
) -> None:
    raw = RawClient(proxy.address)
    assert proxy.move_session(to=zk_cluster.followers()[1]) == (raw.session_id,)
    raw.request(ExistsRequest("/", False))  # reads are answered
    with pytest.raises(ConversationError):
        raw.request(CreateRequest(f"{zk_chroot}/a", b"", OPEN_ACL_UNSAFE, 0))
    raw.close()
    with RawClient(proxy.address, session=raw.session) as again:
        again.request(SyncRequest(zk_chroot))
        with pytest.raises(NoNodeError):  # and the write was not done
            again.request(ExistsRequest(f"{zk_chroot}/a", False))


def is_refused(address: str, session: Any) -> bool:
    """Whether a member refuses a session. A real follower may close before its refusal is sent: it is asked again."""
    for _ in range(5):
        try:
            RawClient(address, session=session).close()
        except SessionRefusedError:
            return True
        except ConversationError:
            continue
        break
    return False


@pytest.mark.parametrize("how", ["now", "silence"])
def test_a_session_of_a_follower_expires_for_every_member(
    zk_cluster: Cluster, proxy: FaultProxy, zk_chroot: str, how: str
) -> None:
    raw = RawClient(proxy.address, session_timeout=1.0)
    raw.request(CreateRequest(f"{zk_chroot}/e", b"", OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL))
    assert proxy.expire_session(how=how) == (raw.session_id,)  # type: ignore[arg-type]
    raw.wait_closed()
    raw.close()
    for member in zk_cluster.members:
        assert is_refused(member.address, raw.session)
    with RawClient(zk_cluster.followers()[1].address) as witness:
        witness.request(SyncRequest(zk_chroot))
        with pytest.raises(NoNodeError):
            witness.request(ExistsRequest(f"{zk_chroot}/e", False))
