"""The words of --zk, and what a test runs on."""

from __future__ import annotations

import pytest

from zk_testing._choice import Choice, choose, parse_choices, parse_version


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("embedded", [Choice("embedded")]),
        ("real", [Choice("real")]),
        ("3.8.4", [Choice("real", "3.8.4")]),
        ("newest", [Choice("real", "newest")]),
        ("embedded:3.8", [Choice("embedded", "3.8")]),
        ("embedded, real:3.6  newest", [Choice("embedded"), Choice("real", "3.6"), Choice("real", "newest")]),
        (["embedded,real", "real", "3.9"], [Choice("embedded"), Choice("real"), Choice("real", "3.9")]),
    ],
)
def test_words_name_servers(words: str | list[str], expected: list[Choice]) -> None:
    assert parse_choices(words) == tuple(expected)


@pytest.mark.parametrize(
    "words", ["", "fake", "embedded:", "embedded:3", "real:latest", "3", "3.8.4.1", "embedded real;"]
)
def test_other_words_are_refused(words: str) -> None:
    with pytest.raises(ValueError, match='a server is "embedded", "real" or a version'):
        parse_choices(words)


def test_a_version_that_is_none_is_refused() -> None:
    assert parse_version("newest") == "newest"
    with pytest.raises(ValueError, match="a version is a release"):
        parse_version("embedded")


def chosen(
    asked: str = "", marked: str = "", default: str = "", versions: tuple[str, ...] = (), fallback: str = "embedded"
) -> list[str]:
    choices = choose(
        asked=parse_choices(asked) if asked else None,
        marked=parse_choices(marked) if marked else None,
        default=parse_choices(default) if default else None,
        versions=versions,
        version="3.9",
        fallback=fallback,
    )
    return [str(choice) for choice in choices]


def test_where_nobody_says_anything_the_fixture_decides() -> None:
    assert chosen() == ["embedded-3.9"]
    assert chosen(fallback="real") == ["real-3.9"]


def test_the_setting_goes_before_the_fixture_and_the_marker_before_the_setting() -> None:
    assert chosen(default="real:3.6") == ["real-3.6"]
    assert chosen(default="real:3.6", marked="embedded") == ["embedded-3.9"]


def test_the_command_line_restricts_the_marker() -> None:
    assert chosen("embedded,real") == ["embedded-3.9", "real-3.9"]
    assert chosen("embedded,real", marked="real") == ["real-3.9"]
    assert chosen("embedded", marked="real") == []
    assert chosen("real:3.8", marked="3.8.4,3.6") == ["real-3.8.4"]
    assert chosen("3.8.4", marked="real") == ["real-3.8.4"]


def test_the_command_line_goes_before_the_setting() -> None:
    assert chosen("embedded", default="real") == ["embedded-3.9"]


def test_versions_are_of_every_kind_that_is_offered() -> None:
    assert chosen(versions=("3.6", "3.9")) == ["embedded-3.6", "embedded-3.9"]
    assert chosen("embedded,real", versions=("3.6",)) == ["embedded-3.6", "real-3.6"]
    assert chosen("3.8.4", versions=("3.8", "3.9")) == ["real-3.8.4"]
    assert chosen("3.8.4", versions=("3.6",)) == []
