"""Clients for the fixtures and the unittest harness, where zk-client is installed.

Rule: the only room of this package that knows zk_client, and it imports it when a client is asked for.
"""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, cast

from .errors import TestingError

if TYPE_CHECKING:
    from zk_client import AsyncClient, Client

__all__ = ["ClientMaker", "HasHosts", "NoClientError", "async_client"]


class HasHosts(Protocol):
    """A server, an ensemble, or a proxy in front of one."""

    @property
    def hosts(self) -> str:
        """Where it is, as a client takes it."""
        ...


class NoClientError(TestingError):
    """The client that was asked for is not installed."""


class ClientMaker:
    """Makes clients, and stops them.   hosts, chroot: where they connect to unless told otherwise."""

    def __init__(self, hosts: str, chroot: str) -> None:
        self._hosts = hosts
        self._chroot = chroot
        self._made: list[Client] = []

    def __enter__(self) -> ClientMaker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def __call__(
        self, where: HasHosts | str | None = None, timeout: float = 10.0, *, start: bool = True, **options: object
    ) -> Client:
        """Make a `zk_client.Client`, and start it.

        where: a server, an ensemble or a proxy, whose hosts are taken with the test's chroot; text is a whole
        connection string, and taken as it is; None is the test's server, with the chroot.   timeout: of the session, in
        seconds.   start: False leaves that to the test.   options: any other parameter of the client.
        The client is stopped after the test. Raises NoClientError when zk-client is not installed.
        """
        client = _client_class()(self._string(where), timeout, **cast("dict[str, Any]", options))
        self._made.append(client)
        if start:
            client.start()
        return client

    def _string(self, where: HasHosts | str | None) -> str:
        if isinstance(where, str):
            return where
        return (self._hosts if where is None else where.hosts) + self._chroot

    def stop(self) -> None:
        """Stop every client that was made, the last one first."""
        while self._made:
            self._made.pop().stop()


def _client_class() -> type[Client]:
    try:
        from zk_client import Client
    except ImportError as error:
        raise NoClientError(
            "this needs the package zk-client, which is not installed: pip install zk-client "
            "(or connect a client of your own to zk_hosts)"
        ) from error
    return Client


def async_client(connection_string: str) -> AsyncClient:
    """A `zk_client.AsyncClient` that was not started. Raises NoClientError where there is none."""
    _client_class()
    import zk_client

    if not hasattr(zk_client, "AsyncClient"):
        raise NoClientError(
            f"this needs zk_client.AsyncClient, which zk-client {zk_client.__version__} does not have: "
            "connect an asyncio client of your own to zk_hosts"
        )
    return zk_client.AsyncClient(connection_string)
