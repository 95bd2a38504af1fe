"""Cutting a stream into frames without losing a byte."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from zk_testing.faults.splitter import FrameSplitter

frames = st.binary(max_size=40).map(lambda body: len(body).to_bytes(4, "big") + body)


def portions(data: bytes, cuts: list[int]) -> list[bytes]:
    points = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[a:b] for a, b in pairwise(points)]


@given(st.lists(frames), st.lists(st.integers(0, 10_000)))
def test_frames_come_out_as_they_went_in_whatever_the_portions(sent: list[bytes], cuts: list[int]) -> None:
    splitter = FrameSplitter()
    got = [frame for portion in portions(b"".join(sent), cuts) for frame in splitter.feed(portion)]
    assert got == sent
    assert splitter.rest() == b""
    assert not splitter.raw


@given(st.binary(max_size=200), st.lists(st.integers(0, 10_000)))
def test_any_bytes_come_out_all_and_in_order(data: bytes, cuts: list[int]) -> None:
    splitter = FrameSplitter()
    got = [piece for portion in portions(data, cuts) for piece in splitter.feed(portion)]
    assert b"".join(got) + splitter.rest() == data


def test_from_an_absurd_length_on_bytes_pass_at_once() -> None:
    splitter = FrameSplitter()
    assert splitter.feed(b"\0\0\0\1x" + b"\xff\xff\xff\xffab") == [b"\0\0\0\1x", b"\xff\xff\xff\xffab"]
    assert splitter.raw
    assert splitter.feed(b"\0") == [b"\0"]
