"""The background worker of a blocking client: it keeps time, connects, and reads while no caller does.

Rule: it decides nothing; it lets the core's time pass and does what is due. When callers read for themselves it
steps aside and only looks in every few milliseconds; when it finds that nobody has led since, it reads again.
"""

from __future__ import annotations

from .._session.machine import CONNECTING, IDLE
from .log import logger

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .base import Worker
    from .blocking import BlockingHandler
    from .connecting import Attempt
    from .link import Link

# How long the worker leaves the reading to callers before it looks again whether they still do.
GRACE = 0.005


class Background:
    """One client's worker; from `start` of the session to its end."""

    def __init__(self, handler: BlockingHandler) -> None:
        self._handler = handler
        self._worker: Worker | None = None
        self._life: object = None  # changes with every start, so that a worker that comes late knows that it is over
        self._seen = 0  # how often callers had led when it last looked

    def start(self) -> None:
        """Begin to work; under the handler's mutex."""
        life = self._life = object()
        self._worker = self._handler.runtime.spawn("zk-client", lambda: self._run(life))

    def join(self, timeout: float) -> None:
        """Wait for the worker's end, at most `timeout` seconds; not at all when called by the worker itself."""
        worker = self._worker
        if worker is not None:
            worker.join(timeout)

    def _run(self, life: object) -> None:
        handler = self._handler
        try:
            while self._turn(life):
                pass
        except BaseException as error:
            logger().exception("the ZooKeeper client's background worker failed")
            with handler.mutex:
                handler.core.fail(f"internal error: {error!r}")
                handler.perform()
            raise
        finally:
            self._write_lines()
            if self._life is life and handler.background is self:
                self._bury(last=True)
                handler.poller.close()

    def _turn(self, life: object) -> bool:
        """Once round: let time pass, then read, connect or wait, whichever is due; False at the end."""
        handler = self._handler
        core = handler.core
        with handler.mutex:
            if self._life is not life or handler.background is not self:
                return False
            now = handler.runtime.now()
            core.tick(now)
            handler.perform()
            if core.phase == IDLE:
                return False
            deadline = core.deadline()
            link, attempt = handler.link, handler.attempt
        if handler.lines:
            self._write_lines()
        if handler.dead_links:
            self._bury()
        timeout = None if deadline is None else deadline - now
        if attempt is not None and core.phase == CONNECTING:
            self._advance(attempt, timeout)
        elif link is None:
            handler.poller.wait(None, False, timeout)
        else:
            self._attend(link, timeout)
        return True

    def _attend(self, link: Link, timeout: float | None) -> None:
        """Read, unless callers do; send what is left over."""
        handler = self._handler
        poller = handler.poller
        if (handler.core.output or link.rest) and not link.sending:
            handler.flush(wait=False)
        if handler.leads != self._seen:
            self._seen = handler.leads
            poller.wait(None, False, GRACE if timeout is None else min(GRACE, timeout))
            return
        readable, writable = poller.wait(link.socket, bool(link.rest), timeout)
        if writable and link.rest:
            handler.flush(wait=False)
        if not readable or link.dead:
            return
        if not link.lead.acquire(False):
            self._seen = handler.leads - 1
            return
        try:
            handler.read(link, wait=False)
        finally:
            link.lead.release()
            if handler.waiters:
                handler.promote()

    def _advance(self, attempt: Attempt, timeout: float | None) -> None:
        """One step of a connection attempt."""
        handler = self._handler
        core = handler.core
        sock = attempt.advance(handler.runtime, handler.poller, timeout)
        with handler.mutex:
            now = handler.runtime.now()
            if handler.attempt is not attempt:
                attempt.abandon()
                if sock is not None:
                    sock.close()
                return
            if sock is not None:
                handler.attempt = None
                handler.link = handler.runtime.link(sock)
                handler.missing = 0
                core.connected(now)
                handler.perform()
            elif attempt.failed is not None:
                handler.attempt = None
                core.connect_failed(now, attempt.failed)
                handler.perform()
        handler.flush(wait=False)

    def _write_lines(self) -> None:
        """Log, outside the mutex: what an application does with a line is its own business."""
        lines = self._handler.lines
        while lines:
            line = lines.popleft()
            logger().log(line.level, line.message)

    def _bury(self, *, last: bool = False) -> None:
        """Close the descriptors of ended connections that nobody uses any more."""
        handler = self._handler
        for _ in range(200 if last else 1):
            with handler.mutex:
                dead, handler.dead_links = handler.dead_links, []
            left = [link for link in dead if not link.close()]
            with handler.mutex:
                handler.dead_links.extend(left)
            if not left:
                return
            if last:
                handler.poller.wait(None, False, GRACE)
