"""A number that many clients add to, each addition counting exactly once.

Rule: an addition reads the number, and replaces exactly what it has read (``_register``). It is repeated only when it
is known not to have counted.

Layout (kazoo's): the number in `path` as text, ``repr`` of an int or float; empty data is the default. With
`support_curator` the four bytes of Curator's SharedCount, big-endian with a sign. Beside it ``<path>-__writes__``,
where each addition leaves an ephemeral marker for a moment.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Generic, TypeVar, cast, overload

from zk_client import Face, attribute, blocking, run_blocking
from zk_wire import check_path

from ._deciding import back_off, patience_for
from ._register import Reading, Register
from ._waiting import PASSING, WAITING, check_timeout
from .errors import UnreadableDataError

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    from zk_client import HasPort

Number = TypeVar("Number", bound=float)

_CURATOR = struct.Struct(">i")


class AsyncCounter(Generic[Number]):
    """A number that many clients add to (asyncio, and every other port that suspends).

    client: whatever has a port.   path: the node of the number, created by the first addition.
    default: the number while there is none; its type, int or float, is the counter's.
    support_curator: keep the number as Curator's SharedCount does; the default must be an int then.

    What holds, each with the test that keeps it:

    - An addition that returns has counted exactly once, and one that raises has not, whatever is lost, expires,
      freezes or is cancelled; except `UndecidedError`, whose addition counted once or not at all:
      ``test_every_addition_counts_once_whatever_goes_wrong``.
    - While the session lives, no addition is left undecided: ``test_only_the_end_of_a_session_leaves_doubt``.
    - Nothing is left behind but the number and the empty parent of the markers:
      ``test_every_addition_counts_once_whatever_goes_wrong``.
    - A time-out is a total: ``test_a_timeout_of_an_addition_is_a_total``.
    - A number that is not of the counter's type is never overwritten: ``test_data_that_is_no_number_is_not_touched``.

    What does not: kazoo's own Counter on the same node counts as kazoo does, twice after a lost reply. A node that
    was deleted begins again at the default.
    """

    @overload
    def __init__(
        self: AsyncCounter[int], client: HasPort, path: str, default: int = 0, support_curator: bool = False
    ) -> None: ...
    @overload
    def __init__(
        self: AsyncCounter[float], client: HasPort, path: str, default: float, support_curator: bool = False
    ) -> None: ...
    def __init__(self, client: HasPort, path: str, default: float = 0, support_curator: bool = False) -> None:
        check_path(path)
        if isinstance(default, bool) or not isinstance(default, (int, float)):
            message = f"default must be an int or a float, not {type(default).__name__}"
            raise TypeError(message)
        if support_curator and not isinstance(default, int):
            message = f"support_curator keeps whole numbers: default must be an int, not {type(default).__name__}"
            raise TypeError(message)
        self._port = client.port
        self._register = Register(path)
        self._default = cast("Number", default)
        self._support_curator = support_curator
        self._decode: Callable[[bytes], Number] = self._decode_curator if support_curator else self._decode_text
        if support_curator:
            self._encode(self._default)
        self._pre: Number | None = None
        self._post: Number | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.path!r}>"

    @property
    def path(self) -> str:
        """The node that holds the number."""
        return self._register.path

    @property
    def pre_value(self) -> Number | None:
        """The number before the last addition made with this object; None before the first."""
        return self._pre

    @property
    def post_value(self) -> Number | None:
        """The number after the last addition made with this object; None before the first."""
        return self._post

    async def get(self, timeout: float | None = None) -> Number:
        """Read the number, the default when there is none.

        timeout: seconds, a total; None waits for a connection without a bound.
        Raises RecipeTimeoutError; UnreadableDataError; the client's errors where waiting cannot help.
        """
        check_timeout(timeout)
        patience = patience_for(self._port, self.path, "reading counter", timeout)
        try:
            while True:
                patience.check()
                try:
                    if patience.port.state not in WAITING:
                        return self._number(await self._register.read(patience.port))
                    await patience.sleep()
                except PASSING:
                    await patience.pause()
        finally:
            patience.end()

    async def add(self, value: Number, timeout: float | None = None) -> Number:
        """Add to the number and return the sum.

        value: of the type of the default.   timeout: seconds, a total; None tries without a bound.
        Raises RecipeTimeoutError, after which nothing was added; UndecidedError; TypeError for another type;
        OverflowError for a sum beyond Curator's 32 bits; UnreadableDataError; the client's errors where waiting cannot
        help.
        """
        self._check(value)
        check_timeout(timeout)
        patience = patience_for(self._port, self.path, "adding to counter", timeout)
        lost = 0
        try:
            while True:
                patience.check()
                try:
                    if patience.port.state in WAITING:
                        await patience.sleep()
                        continue
                    seen = await self._register.read(patience.port)
                    before = self._number(seen)
                    after = cast("Number", before + value)
                    if await self._register.replace(patience, self._encode(after), seen):
                        self._pre, self._post = before, after
                        return after
                    lost += 1
                    await back_off(patience.port, lost)
                except PASSING:
                    await patience.pause()
        finally:
            patience.end()

    async def subtract(self, value: Number, timeout: float | None = None) -> Number:
        """Subtract from the number and return the difference; as `add`."""
        self._check(value)
        return await self.add(cast("Number", -value), timeout)

    # Numbers and bytes

    def _check(self, value: Number) -> None:
        if type(value) is not type(self._default):
            message = f"this counter is of type {type(self._default).__name__}: it cannot add {value!r}"
            raise TypeError(message)

    def _number(self, seen: Reading | None) -> Number:
        return self._decode(seen.data) if seen is not None and seen.data else self._default

    def _decode_text(self, data: bytes) -> Number:
        kind: Callable[[str], Number] = type(self._default)
        try:
            return kind(data.decode("ascii"))
        except ValueError:
            raise UnreadableDataError(self.path, data, f"the text of a number ({kind.__name__})") from None

    def _decode_curator(self, data: bytes) -> Number:
        kind: Callable[[int], Number] = type(self._default)
        try:
            (number,) = _CURATOR.unpack(data)
        except struct.error:
            raise UnreadableDataError(self.path, data, "a number of four bytes, as Curator keeps it") from None
        return kind(number)

    def _encode(self, value: Number) -> bytes:
        if not self._support_curator:
            return repr(value).encode("ascii")
        try:
            return _CURATOR.pack(value)
        except struct.error:
            message = f"counter {self.path!r} keeps 32 bits, as Curator does: {value} does not fit"
            raise OverflowError(message) from None


class Counter(Face[AsyncCounter[Number]], Generic[Number]):
    """A number that many clients add to (threads and gevent): ``counter += 2``, ``counter.value``.

    client: whatever has a port, for example a Client.   path: the node of the number, created by the first addition.
    default: the number while there is none; its type, int or float, is the counter's.
    support_curator: keep the number as Curator's SharedCount does; the default must be an int then.

    The blocking face of AsyncCounter, whose docstring lists what holds. Threads may share an object; `pre_value` and
    `post_value` are then those of whoever added last, and what `add` returns is the caller's own.
    """

    @overload
    def __init__(
        self: Counter[int], client: HasPort, path: str, default: int = 0, support_curator: bool = False
    ) -> None: ...
    @overload
    def __init__(
        self: Counter[float], client: HasPort, path: str, default: float, support_curator: bool = False
    ) -> None: ...
    def __init__(self, client: HasPort, path: str, default: float = 0, support_curator: bool = False) -> None:
        super().__init__(cast("AsyncCounter[Number]", AsyncCounter(client, path, default, support_curator)))

    get = blocking(AsyncCounter[Number].get)
    add = blocking(AsyncCounter[Number].add)
    subtract = blocking(AsyncCounter[Number].subtract)
    path = attribute(AsyncCounter[Number], lambda counter: counter.path)

    @property
    def pre_value(self) -> Number | None:
        """The number before the last addition made with this object; None before the first."""
        return self._body.pre_value

    @property
    def post_value(self) -> Number | None:
        """The number after the last addition made with this object; None before the first."""
        return self._body.post_value

    @property
    def value(self) -> Number:
        """The number, read from the server; as `get`, without a bound."""
        return run_blocking(self._body.get())

    def __iadd__(self, value: Number) -> Self:
        """Add, without a bound; as `add`."""
        self.add(value)
        return self

    def __isub__(self, value: Number) -> Self:
        """Subtract, without a bound; as `subtract`."""
        self.subtract(value)
        return self
