"""Which servers pytest runs a test on: the option, the setting, the markers, and the parameter they become.

Rule: the parameter is `_zk_choice`, and every fixture that needs a server asks for it. What wins is said in plugin.py.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TypeVar

import pytest

from ._choice import DEFAULT_VERSION, EMBEDDED, REAL, Choice, choose, parse_choices, parse_version

__all__ = ["choice_without_parameter"]

T = TypeVar("T")

_MARKERS = (
    "cluster: needs an ensemble of real ZooKeeper servers",
    'zk(*servers): what the test runs on, in the words of --zk: "real", "embedded", "3.8.4", "embedded:3.8"',
    'zk_versions(*versions): the versions the test runs on, as "3.6", "3.8.4" or "newest"',
)

_asked = pytest.StashKey["tuple[Choice, ...] | None"]()  # by the command line
_default = pytest.StashKey["tuple[Choice, ...] | None"]()  # by the configuration file
_version = pytest.StashKey[str]()
_choices = pytest.StashKey[dict[Choice, Choice]]()  # pytest asks whether two parameters are the same object


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options and settings."""
    group = parser.getgroup("zk-testing", "ZooKeeper servers")
    group.addoption(
        "--zk",
        action="append",
        metavar="SERVERS",
        help='what the tests run on: "embedded", "real", "3.8.4", "embedded:3.8", "newest"; several by commas',
    )
    group.addoption(
        "--zk-version",
        metavar="VERSION",
        help='the version where --zk names none, as "3.8.4" or "newest" (default: ZK_TESTING_VERSION, else 3.9)',
    )
    parser.addini("zk", "what the tests run on, in the words of --zk, where neither it nor a marker says", default="")


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers; refuse options that say nothing."""
    for marker in _MARKERS:
        config.addinivalue_line("markers", marker)
    asked: list[str] | None = config.getoption("--zk")
    default: str = config.getini("zk")
    version: str = config.getoption("--zk-version") or os.environ.get("ZK_TESTING_VERSION") or DEFAULT_VERSION
    try:
        config.stash[_asked] = parse_choices(asked) if asked else None
        config.stash[_default] = parse_choices(default) if default.strip() else None
        config.stash[_version] = parse_version(version)
    except ValueError as error:
        raise pytest.UsageError(f"zk-testing: {error}") from None
    config.stash[_choices] = {}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that uses a server once on each of its servers."""
    if "_zk_choice" not in metafunc.fixturenames:
        return
    choices = _choices_of(metafunc)
    known = metafunc.config.stash[_choices]
    parameters = [pytest.param(known.setdefault(choice, choice), id=str(choice)) for choice in choices]
    if len(choices) == 1 and hasattr(pytest, "HIDDEN_PARAM"):  # since pytest 8.4
        # A name that tells nothing new is better not said.
        parameters = [pytest.param(*parameters[0].values, id=pytest.HIDDEN_PARAM)]
    if not parameters:
        asked: list[str] = metafunc.config.getoption("--zk") or []
        reason = f"--zk={','.join(asked)} leaves none of the servers that this test is for"
        parameters = [pytest.param(None, marks=pytest.mark.skip(reason=reason), id="none")]
    metafunc.parametrize("_zk_choice", parameters, indirect=True, scope="session")


def _choices_of(metafunc: pytest.Metafunc) -> tuple[Choice, ...]:
    config, names = metafunc.config, metafunc.fixturenames
    asked, default = config.stash[_asked], config.stash[_default]
    try:
        marked = _marked(metafunc, "zk", parse_choices)
        versions = _marked(metafunc, "zk_versions", lambda words: [parse_version(word) for word in words])
    except (ValueError, TypeError) as error:
        pytest.fail(f"the marker of {metafunc.function.__name__}: {error}", pytrace=False)
    if _only_embedded(names):
        asked, marked, default = (_embedded_of(choices) for choices in (asked, marked, default))
    return choose(
        asked=asked,
        default=default,
        marked=marked,
        versions=versions,
        version=config.stash[_version],
        fallback=_fallback(names),
    )


def _embedded_of(choices: Sequence[Choice] | None) -> tuple[Choice, ...]:
    return tuple(choice for choice in choices or () if choice.embedded)


def _marked(metafunc: pytest.Metafunc, name: str, parse: Callable[[list[str]], Sequence[T]]) -> Sequence[T] | None:
    marker = metafunc.definition.get_closest_marker(name)
    return None if marker is None else parse(list(marker.args))


def _names_server(names: Sequence[str]) -> bool:
    return "zk_server" in names or "zk_cluster" in names


def _only_embedded(names: Sequence[str]) -> bool:
    return "zk_embedded" in names and not _names_server(names)


def _fallback(names: Sequence[str]) -> str:
    return REAL if _names_server(names) else EMBEDDED


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of real ensembles, so that `-m "not cluster"` leaves them out."""
    for item in items:
        if "zk_cluster" not in getattr(item, "fixturenames", ()) or item.get_closest_marker("cluster") is not None:
            continue
        call = getattr(item, "callspec", None)
        choice = None if call is None else call.params.get("_zk_choice")
        if choice is None or not choice.embedded:
            item.add_marker("cluster")


def choice_without_parameter(config: pytest.Config, fallback: str) -> Choice:
    """The server of a test that pytest does not parametrize: the first one of those that were asked for."""
    choices = choose(
        asked=config.stash[_asked],
        default=config.stash[_default],
        marked=None,
        versions=None,
        version=config.stash[_version],
        fallback=fallback,
    )
    return choices[0]
