"""A client's operations with one moment by which all of them end.

Rule: the deadline is the port's (`Port.until`); nothing here keeps time. It costs nothing where it is not used.
"""

from __future__ import annotations

from .async_requests import AsyncRequests, like
from .faces import run_blocking
from .requests import Requests

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Coroutine
    from typing import TypeVar

    from zk_wire import Stat

    from .aio import AsyncClient
    from .calls import Call
    from .client import Client
    from .requests import Watch

    T = TypeVar("T")


class Within(Requests):
    """The operations of a client, bounded as a whole; see `Client.within`."""

    def __init__(self, client: Client, seconds: float) -> None:
        self.operations = client.operations
        self.handler = client.handler
        self.port = client.port.until(client.port.now() + seconds)
        self.call_timeout = None
        self._default_acl = client._default_acl
        self._client = client

    @like(Requests.get)
    def get(self, path: str, watch: Watch | None = None) -> tuple[bytes | None, Stat]:
        return self._run(self.operations.get(path, watch))

    def _run(self, call: Call[T]) -> T:
        return run_blocking(self.port._run(call))

    def _submit(self, call: Call[T]) -> Call[T]:
        return self._client._submit(call)

    def _body(self, body: Coroutine[object, None, T]) -> T:
        return run_blocking(body)

    def _body_async(self, path: str, body: Coroutine[object, None, T]) -> Call[T]:
        return self._client._body_async(path, body)


class AsyncWithin(AsyncRequests):
    """The operations of an asyncio client, bounded as a whole; see `AsyncClient.within`."""

    def __init__(self, client: AsyncClient, seconds: float) -> None:
        self.operations = client.operations
        self.port = client.port.until(client.port.now() + seconds)
        self._default_acl = client._default_acl
        self._client = client

    def _run(self, call: Call[T]) -> Awaitable[T]:
        return self.port._run(call)

    def _submit(self, call: Call[T]) -> Call[T]:
        return self._client._submit(call)

    def _body_async(self, path: str, body: Coroutine[object, None, T]) -> Call[T]:
        return self._client._body_async(path, body)
