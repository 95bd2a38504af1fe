"""Which paths the embedded server takes, and what its own nodes are safe from."""

from __future__ import annotations

import pytest
from embedded_client import OPEN, one

from zk_wire import (
    CheckVersionRequest,
    CreateRequest,
    DeleteRequest,
    ErrorResult,
    ExistsRequest,
    GetChildren2Request,
    GetChildrenRequest,
    GetDataRequest,
    MultiRequest,
    SetACLRequest,
    SetDataRequest,
    SyncRequest,
    WhoAmIRequest,
)


@pytest.mark.parametrize(
    "path", ["/a/", "//a", "/./a", "/a/..", "/a\x00", "/\x01", "/\x7f", "/\ue000", "/\ufff0", "/😀"]
)
def test_bad_paths_are_refused(path: str) -> None:
    me = one()
    me.create("/a")
    assert me.code(SetDataRequest(path, b"", -1)) == -8
    assert me.code(SetACLRequest(path, OPEN, -1)) == -8
    assert me.ask(MultiRequest([CheckVersionRequest(path, -1)])).results == [ErrorResult(-8)]
    expected = -101 if path == "/./a" else -8
    assert me.code(CreateRequest(path, b"", OPEN, 0)) == expected


@pytest.mark.parametrize("path", ["/...", "/.a", "/a..", "/a b", "/\xa0", "/\u200b", "/\uf900", "/\uffef", "/é"])
def test_odd_paths_are_accepted(path: str) -> None:
    assert one().create(path) == path


@pytest.mark.parametrize("path", ["", "nopath", "/\x00"])
def test_create_needs_a_slash_and_no_zero(path: str) -> None:
    assert one().code(CreateRequest(path, b"", OPEN, 0)) == -8


def test_reads_look_up_any_string_and_take_the_empty_path_for_the_root() -> None:
    me = one()
    for kind in (GetDataRequest, GetChildrenRequest, GetChildren2Request, ExistsRequest):
        assert me.code(kind("nopath", False)) == -101
        assert me.code(kind("", False)) == 0
    assert me.code(ExistsRequest("/\0", False)) == -8
    assert me.code(SetDataRequest("", b"", -1)) == -8
    assert me.ask(SyncRequest(None)).path is None


@pytest.mark.parametrize("path", ["/", "/zookeeper", "/zookeeper/quota", "/zookeeper/config"])
def test_system_nodes_are_neither_deleted_nor_created(path: str) -> None:
    me = one()
    assert me.code(DeleteRequest(path, -1)) == -8
    assert me.code(CreateRequest(path, b"", OPEN, 0)) == -110


def test_the_config_node_is_written_by_the_super_user_only() -> None:
    me = one()
    assert me.code(SetDataRequest("/zookeeper/config", b"x", -1)) == -102
    assert me.auth("digest", b"super:test") == 0
    assert me.code(SetDataRequest("/zookeeper/config", b"x", -1)) == 0
    assert [tuple(info._comparable()) for info in me.ask(WhoAmIRequest()).client_info] == [
        ("super", ""),
        ("ip", "127.0.0.1"),
        ("digest", "super"),
    ]
