"""Error codes, their classes, and what they tell."""

from __future__ import annotations

import copy
import pickle

import pytest

import zk_wire
from zk_wire import (
    ConnectionLostError,
    ErrorCode,
    NoNodeError,
    OperationTimeoutError,
    Outcome,
    ProtocolError,
    RequestTimeoutError,
    ServerError,
    SessionExpiredError,
    ZooKeeperError,
    error_for_code,
)

CODES = [*range(-15, -9 + 1), *range(-8, 1), *range(-127, -99)]
KNOWN = [code for code in CODES if code not in (-10, -11, -104, -105, -106, -107, -109, -126)]


@pytest.mark.parametrize("code", KNOWN)
def test_every_code_of_the_protocol_has_its_class(code: int) -> None:
    error = error_for_code(code, "/a")
    assert type(error) is not ServerError
    assert error.code == code == ErrorCode(code)
    assert type(error).__name__ in zk_wire.__all__
    assert "/a" in str(error)
    assert str(code) in str(error)


def test_there_are_no_more_classes_than_codes() -> None:
    assert sorted(kind.code for kind in ServerError.__subclasses__()) == sorted(KNOWN)
    assert {int(code) for code in ErrorCode} == set(KNOWN)


@pytest.mark.parametrize("code", [-126, -9999, 1, 2**31 - 1])
def test_an_unknown_code_is_a_plain_error_that_keeps_it(code: int) -> None:
    error = error_for_code(code)
    assert type(error) is ServerError
    assert error.code == code
    assert str(code) in str(error)


def test_what_a_server_refuses_was_not_applied() -> None:
    unknown = {ConnectionLostError, OperationTimeoutError, RequestTimeoutError, SessionExpiredError}
    for kind in ServerError.__subclasses__():
        assert kind().outcome is (Outcome.UNKNOWN if kind in unknown else Outcome.NOT_APPLIED)


def test_what_is_known_better_can_be_said() -> None:
    error = ConnectionLostError("/a", outcome=Outcome.APPLIED, message="the reply was lost")
    assert (error.outcome, str(error), error.path) == (Outcome.APPLIED, "the reply was lost", "/a")
    assert ConnectionLostError("/a").outcome is Outcome.UNKNOWN


@pytest.mark.parametrize("duplicate", [copy.copy, lambda error: pickle.loads(pickle.dumps(error))])  # noqa: S301
def test_an_error_survives_copying(duplicate: object) -> None:
    assert callable(duplicate)
    error = duplicate(ServerError("/a", code=-999, message="m", outcome=Outcome.UNKNOWN))
    assert (error.path, error.code, str(error), error.outcome) == ("/a", -999, "m", Outcome.UNKNOWN)


def test_every_error_is_one_of_ours() -> None:
    assert issubclass(ServerError, ZooKeeperError)
    assert issubclass(ProtocolError, ZooKeeperError)
    assert not issubclass(ProtocolError, ServerError)


def test_a_repr_says_what_the_error_says() -> None:
    assert repr(NoNodeError("/a")) == """NoNodeError('the node does not exist: "/a" (error -101)')"""
