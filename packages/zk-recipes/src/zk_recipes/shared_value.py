"""A value that many clients read, replace on condition, and listen to.

Rule: a value is known by the zxid of the write that made it, which no other write ever has: neither the version of a
node, which begins again when it is deleted and created, and wraps in 32 bits, nor its bytes, which may come back.
What is replaced is what was read (``_register``), and listeners hear of values in the order of those zxids.

Layout (Curator's SharedValue): the bytes in `path`. Beside it ``<path>-__writes__``, where each write leaves an
ephemeral marker for a moment.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable
from typing import TYPE_CHECKING, NamedTuple

from zk_client import Face, SessionClosedError, attribute, blocking, direct
from zk_wire import ServerError, check_path

from ._deciding import back_off, patience_for
from ._register import Reading, Register
from ._waiting import PASSING, WAITING, Patience, check_timeout

if TYPE_CHECKING:
    from collections.abc import Callable

    from zk_client import HasPort

log = logging.getLogger(__name__)


class SharedReading(NamedTuple):
    """A value as it was read or written.

    data: its bytes.   mzxid: the zxid of the write that made it; grows with every write, also across deletions.
    czxid: that of the node's creation; another one tells that the node was deleted and created again.
    version: of the node's data, in 32 bits with a sign.
    """

    data: bytes
    mzxid: int
    czxid: int
    version: int


class SharedListening:
    """A listener at work, until it is stopped."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._stopped = False

    @property
    def stopped(self) -> bool:
        """Whether it was stopped."""
        return self._stopped

    def stop(self) -> None:
        """Call the listener no more, and take its watch back. Callable from anywhere, the listener included."""
        self._stopped = True
        self._patience.wake.set()


class AsyncSharedValue:
    """A value that many clients share (asyncio, and every other port that suspends).

    client: whatever has a port.   path: the node that holds it, created by the first write.

    What holds, each with the test that keeps it:

    - A write that returns happened exactly once, and replaced exactly what it names, whatever is lost, expires,
      freezes or is cancelled; `UndecidedError` says when nobody can tell:
      ``test_the_history_of_values_is_one_chain_whatever_goes_wrong``.
    - A value that came back, and a node that was deleted and created again, are not taken for the one expected:
      ``test_a_value_that_came_back_is_another_one``, ``test_a_recreated_node_is_another_one``.
    - A listener hears of every last value, never of an older one after a newer one, across reconnects, new sessions,
      deletion and re-creation: ``test_a_listener_hears_the_last_value_whatever_goes_wrong``.
    - A listener that is stopped leaves no watch and is called no more:
      ``test_a_stopped_listener_is_not_called_and_leaves_nothing``.
    - A write is still conditional where the version wraps: ``test_writes_are_conditional_where_the_version_wraps``.

    What does not: values that were replaced before a listener could read them are not told. Between the last look and
    the write, a node that is deleted, created and written to as often as before is not told from the old one, since a
    server compares versions only.
    """

    def __init__(self, client: HasPort, path: str) -> None:
        check_path(path)
        self._port = client.port
        self._register = Register(path)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.path!r}>"

    @property
    def path(self) -> str:
        """The node that holds the value."""
        return self._register.path

    async def get(self, timeout: float | None = None) -> SharedReading | None:
        """Read the value; None when there is none.

        timeout: seconds, a total; None waits for a connection without a bound. Raises RecipeTimeoutError.
        """
        check_timeout(timeout)
        patience = patience_for(self._port, self.path, "reading", timeout)
        try:
            return shown(await self._read(patience))
        finally:
            patience.end()

    async def set(self, data: bytes, timeout: float | None = None) -> SharedReading:
        """Replace whatever is there, or create it, and return the new value.

        timeout: seconds, a total. Raises RecipeTimeoutError, after which nothing was written; UndecidedError;
        TypeError for what is not bytes; the client's errors where waiting cannot help.
        """
        check_data(self.path, data)
        return await self.update(lambda _: data, timeout)

    async def compare_and_set(
        self, expected: SharedReading | None, data: bytes, timeout: float | None = None
    ) -> SharedReading | None:
        """Replace the value if it is still the one expected; None when it is not, and nothing was written.

        expected: what `get` or a write returned; None where no value was. Otherwise as `set`.
        """
        check_data(self.path, data)
        check_timeout(timeout)
        patience = patience_for(self._port, self.path, "writing to", timeout)
        try:
            while True:
                seen = await self._read(patience)
                if (seen and seen.mzxid) != (expected and expected.mzxid):
                    return None
                try:
                    written = await self._register.replace(patience, data, seen)
                    if written is not None:
                        return await self._complete(patience, written)
                    # Refused: whatever was faster is seen at the next look, also a parent that is missing.
                except PASSING:
                    await patience.pause()
        finally:
            patience.end()

    async def update(self, change: Callable[[bytes | None], bytes], timeout: float | None = None) -> SharedReading:
        """Replace the value by what *change* makes of it, and return the new one.

        change: called with the value, None where there is none, and again whenever somebody else was faster: it should
        do nothing but compute. What it raises comes out, and nothing was written. Otherwise as `set`.
        """
        check_timeout(timeout)
        patience = patience_for(self._port, self.path, "writing to", timeout)
        lost = 0
        try:
            while True:
                seen = await self._read(patience)
                data = check_data(self.path, change(seen.data if seen is not None else None))
                try:
                    written = await self._register.replace(patience, data, seen)
                    if written is not None:
                        return await self._complete(patience, written)
                    lost += 1
                    await back_off(patience.port, lost)
                except PASSING:
                    await patience.pause()
        finally:
            patience.end()

    def listen(self, listener: Callable[[SharedReading | None], object]) -> SharedListening:
        """Have *listener* called with the value there is, and with every later one; None when it is deleted.

        It runs in a task of its own (under threads: a thread), one call at a time; under asyncio it may be an
        ``async def``. What it raises is logged. Returns the handle that stops it.
        """
        patience = patience_for(self._port, self.path, "listening to", None)
        listening = SharedListening(patience)
        body = self._follow(patience, listening, listener)
        try:
            self._port.spawn(body, f"listener of {self.path}")
        except BaseException:
            body.close()
            raise
        return listening

    # Reading

    async def _read(self, patience: Patience) -> Reading | None:
        while True:
            patience.check()
            try:
                if patience.port.state not in WAITING:
                    return await self._register.read(patience.port)
                await patience.sleep()
            except PASSING:
                await patience.pause()

    async def _complete(self, patience: Patience, written: Reading) -> SharedReading:
        """The value as the server shows it, where the reply that would have told was lost."""
        complete = shown(written)
        if complete is None:
            seen = await self._read(patience)
            if seen is not None and (seen.version, seen.data) == (written.version, written.data):
                complete = shown(seen)
        # Somebody has replaced it already: then no value is this one any more, and 0 is the zxid of none.
        return complete or SharedReading(written.data, 0, written.czxid or 0, written.version)

    # Listening

    async def _follow(
        self,
        patience: Patience,
        listening: SharedListening,
        listener: Callable[[SharedReading | None], object],
    ) -> None:
        port = self._port
        last: SharedReading | None = None
        told = False
        newest = 0
        session_id: int | None = None
        try:
            while not listening.stopped:
                watch = port.watcher(patience.wake)
                try:
                    if port.session_id != session_id:
                        # Another server may be behind the one that told us what we know.
                        session_id = port.session_id
                        await port.sync(self.path)
                    stat = await port.exists(self.path, watch)
                    now = None if stat is None else shown(await self._register.read(port))
                    if not told or (now is None and last is not None) or (now is not None and now.mzxid > newest):
                        last, told = now, True
                        newest = now.mzxid if now is not None else newest
                        await self._tell(listening, listener, now)
                    while watch.event is None and not listening.stopped:
                        await patience.sleep()
                except PASSING:
                    await patience.pause()
                finally:
                    # Also one that has fired: a read that outlived its session may have left it in the next one.
                    await port.shielded(watch.close())
        except SessionClosedError:
            log.debug("listener of %s ends with its client", self.path)
        except ServerError:
            log.exception("listener of %s cannot read it, and ends", self.path)
        finally:
            patience.end()

    async def _tell(
        self,
        listening: SharedListening,
        listener: Callable[[SharedReading | None], object],
        value: SharedReading | None,
    ) -> None:
        if listening.stopped:
            return
        try:
            result = listener(value)
            if isinstance(result, Awaitable):
                await result
        except Exception:
            log.exception("a listener of %s raised", self.path)


class SharedValue(Face[AsyncSharedValue]):
    """A value that many clients share (threads and gevent).

    client: whatever has a port, for example a Client.   path: the node that holds it, created by the first write.

    The blocking face of AsyncSharedValue, whose docstring lists what holds. Threads may share an object.
    """

    def __init__(self, client: HasPort, path: str) -> None:
        super().__init__(AsyncSharedValue(client, path))

    get = blocking(AsyncSharedValue.get)
    set = blocking(AsyncSharedValue.set)
    compare_and_set = blocking(AsyncSharedValue.compare_and_set)
    update = blocking(AsyncSharedValue.update)
    listen = direct(AsyncSharedValue.listen)
    path = attribute(AsyncSharedValue, lambda value: value.path)


def shown(reading: Reading | None) -> SharedReading | None:
    """A reading as users see it; None for one of which not everything is known."""
    if reading is None or reading.mzxid is None or reading.czxid is None:
        return None
    return SharedReading(reading.data, reading.mzxid, reading.czxid, reading.version)


def check_data(path: str, data: bytes) -> bytes:
    """Refuse what is not bytes, before anything is sent."""
    if not isinstance(data, bytes):
        message = f"the value for {path!r} must be bytes, not {type(data).__name__}"
        raise TypeError(message)
    return data
