"""No password and no credential shows in a repr, a log line or an error, whatever happens to them."""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterator
from typing import Any

import pytest
from corepair import AUTH_FAILED, CorePair

from zk_client import Client, ConfigurationError
from zk_client.transactions import Draft
from zk_wire import AuthPacket, EmptyResponse, GetDataRequest, make_digest_acl

SECRET, PASSWORD_HEX = "tell-nobody", "00736978"
CREDENTIAL = f"user:{SECRET}"


def hidden(*values: object) -> None:
    """Look for the secrets in what people see of these values."""
    for value in values:
        for text in (repr(value), str(value)):
            assert SECRET not in text
            assert "sixteen bytes" not in text


def errors(pair: CorePair) -> Iterator[BaseException]:
    """The errors of every call, with their causes."""
    for call in pair.done:
        error: BaseException | None = call.exception()
        while error is not None:
            yield error
            error = error.__cause__


def inspect(pair: CorePair) -> None:
    """Everything a user may see of a pair."""
    core = pair.core
    hidden(core, core.config, core.timers, core.connection, core.reason, core.host)
    hidden(*pair.logs, *pair.reasons, *pair.connects, *pair.submitted, *pair.hellos, *errors(pair))
    if core.connection is not None:
        hidden(*core.connection.in_flight, *core.connection.auth_in_flight)
    hidden(core.auth_error(core.reason), core.no_connection())


def begin() -> CorePair:
    pair = CorePair()
    pair.core.add_identity(("digest", CREDENTIAL.encode()))
    pair.open()
    inspect(pair)
    return pair


def test_presenting_an_identity_shows_nothing() -> None:
    pair = begin()
    pair.submit(pair.operations.add_auth("digest", CREDENTIAL))
    inspect(pair)
    hidden(*pair.requests)
    for request in list(pair.requests):
        pair.reply(request, EmptyResponse(), zxid=0)
    pair.submit(pair.operations.add_auth("digest", CREDENTIAL))
    inspect(pair)


@pytest.mark.parametrize("when", ["replayed", "added"])
def test_a_refused_identity_shows_only_its_scheme(when: str) -> None:
    pair = begin()
    if when == "added":
        pair.reply(pair.next(AuthPacket), zxid=0)
        pair.submit(pair.operations.add_auth("digest", CREDENTIAL))
    waiting = pair.submit(pair.operations.get("/a"))
    pair.reply(pair.next(AuthPacket), err=AUTH_FAILED, zxid=0)
    inspect(pair)
    assert "scheme digest" in str(waiting.exception())


def test_an_answer_to_auth_that_cannot_be_read_shows_nothing() -> None:
    pair = begin()
    pair.send(pair.server.reply(-4, 0, None) + b"\0\0\0\x02xx")  # type: ignore[union-attr]
    inspect(pair)


def test_losing_resuming_and_expiring_a_session_shows_no_password() -> None:
    pair = begin()
    pair.reply(pair.next(AuthPacket), zxid=0)
    pair.submit(pair.operations.get("/a"))
    pair.send(pair.server.reply(1, 5, EmptyResponse()))  # type: ignore[union-attr]
    inspect(pair)
    pair.reopen()
    inspect(pair)
    pair.close()
    pair.wait_for(1)
    pair.connect()
    pair.gone()
    inspect(pair)
    assert isinstance(pair.logs[-1].message, str)


@pytest.mark.parametrize(
    ("scheme", "credential"),
    [(("digest", CREDENTIAL), ""), ([CREDENTIAL], "x"), ("digest", [CREDENTIAL]), ("digest", (CREDENTIAL,))],
)
def test_a_credential_in_the_wrong_place_is_not_shown_by_the_refusal(scheme: Any, credential: Any) -> None:
    with pytest.raises(TypeError) as caught:
        CorePair().operations.add_auth(scheme, credential)
    hidden(caught.value)


def test_the_client_shows_no_credential() -> None:
    client = Client("h:1", auth_data=[("digest", CREDENTIAL)], client_id=(1, b"sixteen bytes ok"))
    hidden(client, client.handler, client.operations, client.port, client._core, client._core.config)


@pytest.mark.parametrize("client_id", [(1, "sixteen bytes"), ("1", b"sixteen bytes"), (None, b"sixteen bytes")])
def test_a_bad_client_id_is_refused_without_showing_the_password(client_id: Any) -> None:
    with pytest.raises(ConfigurationError, match="client_id must be") as caught:
        Client("h:1", client_id=client_id)
    hidden(caught.value)


def test_the_look_for_secrets_finds_one() -> None:
    with pytest.raises(AssertionError):
        hidden({"credential": CREDENTIAL})
    assert re.search(SECRET, repr(GetDataRequest(f"/{SECRET}", False)))


@pytest.mark.parametrize(
    "hosts",
    [
        f"user:{SECRET}@h1:2181",
        f"zk://user:{SECRET}@h1:2181/app",
        f"h1:2181,user:{SECRET}@h2:2181",
        f"h1:2181/user:{SECRET}@h2//x",
        [f"user:{SECRET}@h1/x", "h2:2181"],
        [f"user:{SECRET}@h1", "h2:2181"],
    ],
)
def test_a_credential_in_a_connection_string_is_not_shown_by_the_refusal(hosts: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"\*\*\*@h") as caught:
        Client(hosts)
    hidden(caught.value)
    assert SECRET not in "".join(traceback.format_exception(caught.value, limit=0))


def test_what_is_written_into_a_node_is_in_no_log_line_and_no_error() -> None:
    pair = begin()
    pair.reply(pair.next(AuthPacket), zxid=0)
    for call in (
        pair.operations.set("/a", SECRET.encode()),
        pair.operations.create("/b", SECRET.encode()),
        pair.operations.set_acls("/a", [make_digest_acl("user", SECRET, all=True)]),
        Draft(pair.operations, None).set_data("/a", SECRET.encode()).call(),
    ):
        pair.submit(call)
        hidden(call)
    pair.send(pair.server.reply(77, 5, EmptyResponse()))  # type: ignore[union-attr]
    pair.wait_for(20)
    assert len(pair.done) >= 4
    inspect(pair)
