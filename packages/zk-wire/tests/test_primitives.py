"""Strings, in both directions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zk_wire import LocalProtocolError, RemoteProtocolError, encode_ustring
from zk_wire.primitives import (
    decode_reply_text,
    decode_request_text,
    encode_reply_ustring,
    read_reply_ustring,
)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_server_reads_what_a_client_wrote(text: str) -> None:
    assert decode_request_text(encode_ustring(text)[4:]) == text


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_client_reads_what_a_server_wrote(text: str) -> None:
    encoded = encode_reply_ustring(text)
    assert read_reply_ustring(encoded, 0, len(encoded)) == (text, len(encoded))


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_client_reads_proper_utf8_as_well(text: str) -> None:
    assert decode_reply_text(text.encode()) == text


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_server_writes_each_utf16_unit_by_itself(text: str) -> None:
    units = memoryview(text.encode("utf-16-le")).cast("H")
    assert encode_reply_ustring(text)[4:] == b"".join(chr(unit).encode("utf-8", "surrogatepass") for unit in units)


def test_a_client_writes_proper_utf8() -> None:
    assert encode_ustring("/\N{GRINNING FACE}") == bytes.fromhex("000000052ff09f9880")


def test_a_lone_surrogate_from_a_server_is_kept() -> None:
    assert decode_reply_text(b"a\xed\xa0\xbdb") == "a\ud83db"


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"/\xff", "/\ufffd"),
        (b"/\xc3(", "/\ufffd("),
        (b"/\xe2\x82", "/\ufffd"),
        (b"/\xed\xa0\xbd\xed\xb8\x80", "/\ufffd\ufffd"),
        (b"\xed\xa0a", "\ufffda"),
        (b"\xed\xbf", "\ufffd"),
        (b"\xed\xff", "\ufffd\ufffd"),
        (b"\xc0\x80", "\ufffd\ufffd"),
        (b"\xf4\x90\x80\x80", "\ufffd\ufffd\ufffd\ufffd"),
        (b"\xf0\x9f\x98a", "\ufffda"),
    ],
)
def test_what_is_no_utf8_in_a_request_becomes_the_replacement_character(raw: bytes, text: str) -> None:
    """Each expectation is what OpenJDK 17 answers."""
    assert decode_request_text(raw) == text


@given(st.binary())
def test_bytes_of_a_server_are_text_or_an_error(raw: bytes) -> None:
    try:
        assert isinstance(decode_reply_text(raw), str)
    except RemoteProtocolError as error:
        assert "not UTF-8" in str(error)  # noqa: PT017


@given(st.binary())
def test_bytes_of_a_client_are_always_text(raw: bytes) -> None:
    text = decode_request_text(raw)
    assert not any("\ud800" <= c <= "\udfff" for c in text)


def test_a_lone_surrogate_cannot_be_sent() -> None:
    with pytest.raises(LocalProtocolError, match=r"character U\+D83D at position 2: surrogates have no UTF-8"):
        encode_ustring("/a\ud83d")


@pytest.mark.parametrize("wrong", [b"/a", None, 7])
def test_only_a_str_is_a_string(wrong: object) -> None:
    with pytest.raises(TypeError, match="must be a str"):
        encode_ustring(wrong)  # type: ignore[arg-type]
