"""A fresh node for each test, to be used as its chroot, and taken away with all below it.

Rule: works on any server, by a connection of its own, as the super user, so that no ACL of a test stands in the way.
"""

from __future__ import annotations

import uuid

from zk_wire import (
    OPEN_ACL_UNSAFE,
    CreateRequest,
    DeleteRequest,
    GetChildrenRequest,
    NoNodeError,
    NotEmptyError,
)

from .rawclient import RawClient

__all__ = ["create_chroot", "remove_chroot"]

_SUPER_USER = b"super:test"  # of every server that this package starts, unless a test's settings say otherwise


def create_chroot(address: str) -> str:
    """Create a new node in the root of a server, and return its path."""
    path = f"/test-{uuid.uuid4().hex}"
    with RawClient(address) as raw:
        raw.auth("digest", _SUPER_USER)  # the server may want some identity
        raw.request(CreateRequest(path, b"", OPEN_ACL_UNSAFE, 0))
    return path


def remove_chroot(address: str, path: str) -> None:
    """Delete a node and everything below it, as long as it takes other clients to stop creating there."""
    with RawClient(address) as raw:
        raw.auth("digest", _SUPER_USER)  # whatever ACLs the test has set
        _delete_tree(raw, path)


def _delete_tree(raw: RawClient, path: str) -> None:
    while True:
        try:
            for child in raw.request(GetChildrenRequest(path, False)).children or ():
                _delete_tree(raw, f"{path}/{child}")
            raw.request(DeleteRequest(path, -1))
        except NoNodeError:
            return  # ephemeral, and its session ended meanwhile
        except NotEmptyError:
            continue  # somebody is still creating
        return
