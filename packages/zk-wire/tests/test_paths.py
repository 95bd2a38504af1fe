"""Which paths are legal, and how they are put together and taken apart."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zk_wire import (
    InvalidPathError,
    ZooKeeperError,
    add_chroot,
    check_path,
    is_below,
    join_path,
    parent_path,
    split_path,
    strip_chroot,
)

LEGAL = [
    "/",
    "/a",
    "/a/b",
    "/...",
    "/.a/a../..a",
    "/a b",
    "/\u00a0",
    "/\u200b",
    "/\uf900",
    "/\uffef",
    "/\u00ff/ö/日本",
    "/~!@#$%^&*()",
    "/a/.../b",
]
ILLEGAL = [
    ("", "empty path", None),
    ("a", "does not start with /", 0),
    ("a/b", "does not start with /", 0),
    ("/a/", "ends with /", 2),
    ("//", "empty segment", 1),
    ("/a//b", "empty segment", 3),
    ("//a", "empty segment", 1),
    ("/.", 'relative segment "."', 1),
    ("/a/..", 'relative segment ".."', 3),
    ("/a/./b", 'relative segment "."', 3),
    ("/\0", "character U+0000 is not allowed", 1),
    ("/a\x1f", "character U+001F is not allowed", 2),
    ("/\x7f", "character U+007F is not allowed", 1),
    ("/\x9f", "character U+009F is not allowed", 1),
    ("/\ud800", "character U+D800 is not allowed", 1),
    ("/\ue000", "character U+E000 is not allowed", 1),
    ("/\uf8ff", "character U+F8FF is not allowed", 1),
    ("/\ufff0", "character U+FFF0 is not allowed", 1),
    ("/\uffff", "character U+FFFF is not allowed", 1),
    ("/a\N{GRINNING FACE}", "character U+1F600 is not allowed", 2),
]


@pytest.mark.parametrize("path", LEGAL, ids=ascii)
def test_a_legal_path_passes(path: str) -> None:
    check_path(path)
    check_path(path, sequential=True)


@pytest.mark.parametrize(("path", "rule", "position"), ILLEGAL, ids=ascii)
def test_an_illegal_path_is_refused_with_rule_and_position(path: str, rule: str, position: int | None) -> None:
    with pytest.raises(InvalidPathError) as caught:
        check_path(path)
    assert (caught.value.path, caught.value.rule, caught.value.position) == (path, rule, position)


def test_the_error_says_where() -> None:
    with pytest.raises(InvalidPathError, match=r'^invalid path "/a//b": empty segment at position 3$'):
        check_path("/a//b")


def test_the_error_can_be_printed_whatever_the_path() -> None:
    with pytest.raises(InvalidPathError) as caught:
        check_path("/\ud800\n")
    assert str(caught.value) == r'invalid path "/\ud800\n": character U+D800 is not allowed at position 1'


def test_an_invalid_path_is_a_value_error_and_one_of_ours() -> None:
    assert issubclass(InvalidPathError, ValueError)
    assert issubclass(InvalidPathError, ZooKeeperError)


@pytest.mark.parametrize("path", ["/a/", "/", "/a/.", "/a/..", "/a/b-"])
def test_a_sequential_path_is_checked_with_its_number(path: str) -> None:
    check_path(path, sequential=True)


@pytest.mark.parametrize("path", ["", "a", "//", "/a//", "/a/./b", "/\0"])
def test_a_number_does_not_heal_every_path(path: str) -> None:
    with pytest.raises(InvalidPathError):
        check_path(path, sequential=True)


@pytest.mark.parametrize("path", [None, b"/a", 7, ["/a"]])
def test_only_a_str_is_a_path(path: object) -> None:
    with pytest.raises(TypeError, match="a path must be a str, not"):
        check_path(path)  # type: ignore[arg-type]


def test_every_character_below_65536_is_judged_as_the_server_does() -> None:
    def server_refuses(code: int) -> bool:  # PathUtils.validatePath, on one UTF-16 unit
        return (
            code == 0
            or 0x01 <= code <= 0x1F
            or 0x7F <= code <= 0x9F
            or 0xD800 <= code <= 0xF8FF
            or 0xFFF0 <= code <= 0xFFFF
        )

    for code in range(0x10000):
        if chr(code) in "/.":
            continue
        try:
            check_path("/" + chr(code))
        except InvalidPathError:
            assert server_refuses(code), hex(code)
        else:
            assert not server_refuses(code), hex(code)


names = st.text(st.characters(exclude_characters="/"), min_size=1, max_size=8)
paths = st.lists(names, max_size=4).map(lambda parts: "/" + "/".join(parts))


@given(paths)
def test_quick_and_thorough_checks_agree(path: str) -> None:
    components = path[1:].split("/") if path != "/" else []
    bad = any(c in (".", "..") for c in components) or any(
        unicodedata.category(c) in ("Cc", "Cs", "Co") or ord(c) >= 0xFFF0 for c in path
    )
    try:
        check_path(path)
    except InvalidPathError:
        assert bad
    else:
        assert not bad


# Taking apart and putting together


@given(paths.filter(lambda path: path != "/"))
def test_a_split_path_can_be_joined_again(path: str) -> None:
    parent, name = split_path(path)
    assert join_path(parent, name) == path
    assert parent_path(path) == parent


def test_the_root_is_its_own_parent() -> None:
    assert split_path("/") == ("/", "")
    assert parent_path("/") == parent_path("/a") == "/"


@pytest.mark.parametrize(
    ("parts", "path"),
    [(("/",), "/"), (("/", "a"), "/a"), (("/a", "b", "c"), "/a/b/c"), (("/a", ""), "/a/"), (("/", ""), "/")],
)
def test_names_are_joined_below_their_parent(parts: tuple[str, ...], path: str) -> None:
    assert join_path(*parts) == path


@pytest.mark.parametrize(
    ("path", "ancestor", "below"),
    [
        ("/app", "/app", True),
        ("/app/x", "/app", True),
        ("/app2", "/app", False),
        ("/app", "/app/x", False),
        ("/", "/", True),
        ("/a", "/", True),
        ("/", "/a", False),
    ],
)
def test_ancestors_are_compared_by_component(path: str, ancestor: str, below: bool) -> None:
    assert is_below(path, ancestor) is below


@pytest.mark.parametrize(
    ("chroot", "client", "server"),
    [("", "/", "/"), ("", "/a", "/a"), ("/app", "/", "/app"), ("/app", "/a", "/app/a"), ("/a/b", "/c/d", "/a/b/c/d")],
)
def test_a_chroot_is_added_and_stripped(chroot: str, client: str, server: str) -> None:
    assert add_chroot(chroot, client) == server
    assert strip_chroot(chroot, server) == client


@pytest.mark.parametrize("path", ["/app2", "/app2/x", "/", "/ap"])
def test_a_path_outside_of_the_chroot_is_none(path: str) -> None:
    assert strip_chroot("/app", path) is None
