"""What happened in a run, line by line: who, what, and at which virtual time.

Rule: a search keeps no lines, only their checksum; a failed run is run again with its timeline kept, which changes
nothing in it. Messages between clients and servers are decoded then.
"""

from __future__ import annotations

import logging
import zlib
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, cast

from zk_wire import Decoder

from .process import CURRENT

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    from .loop import SimulatedLoop
    from .network import Connection, End

__all__ = ["Timeline", "heard"]

LINES = 200  # the last ones are kept
LONGEST = 100  # characters of a value


class Timeline:
    """The lines of one run.   recording: whether they are kept."""

    def __init__(self, *, recording: bool = False) -> None:
        self.recording = recording
        self.checksum = 0
        self.count = 0
        self._lines: deque[str] = deque(maxlen=LINES)
        self._decoders: dict[Connection, Decoder] = {}

    def __str__(self) -> str:
        left_out = self.count - len(self._lines)
        before = [f"  ... {left_out} lines before"] if left_out > 0 else []
        return "\n".join([*before, *self._lines])

    def add(self, now: float, who: str, what: str) -> None:
        """Write a line."""
        if not what.startswith("logs:"):  # which only a recorded run hears
            self.checksum = zlib.crc32(f"{now:.6f} {who} {what}".encode(), self.checksum)
        if self.recording:
            for line in what.splitlines() or [""]:
                self.count += 1
                self._lines.append(f"  {now:12.6f}  {who:<16} {line}")

    def add_message(self, now: float, receiver: End, data: bytes, *, lost: bool = False) -> None:
        """Write down what arrived, or was lost."""
        self.checksum = zlib.crc32(data, self.checksum)
        if not self.recording:
            return
        connection = receiver.connection
        sender: Literal["server", "client"] = "server" if receiver.is_client else "client"
        client = connection.client.process
        name, server = "?" if client is None else client.name, connection.listener.name
        who = f"{server} > {name}" if receiver.is_client else f"{name} > {server}"
        decoder = self._decoders.get(connection)
        if decoder is None:
            decoder = self._decoders[connection] = Decoder()
        for message in decoder.feed(data, sender):
            if line := _shown(message):
                self.count += 1
                self._lines.append(f"  {now:12.6f}  {who:<16} {line}{'   ... is lost' if lost else ''}")


class _Hearing(logging.Handler):
    def __init__(self, timeline: Timeline, loop: SimulatedLoop) -> None:
        super().__init__()
        self._timeline = timeline
        self._loop = loop

    def emit(self, record: logging.LogRecord) -> None:
        process = CURRENT.get()
        who = "" if process is None else process.name
        self._timeline.add(self._loop.time(), who, f"logs: {record.getMessage()}")


@contextmanager
def heard(timeline: Timeline, loop: SimulatedLoop) -> Generator[None, None, None]:
    """Have what is logged in a `with` block written into the timeline, if there is one; else only errors are heard."""
    root = logging.getLogger()
    handlers, disabled = root.handlers, root.manager.disable
    if timeline.recording:
        root.handlers = [_Hearing(timeline, loop)]
    else:
        logging.disable(logging.WARNING)  # a search has no time for more than errors
    try:
        yield
    finally:
        root.handlers = handlers
        logging.disable(disabled)


@contextmanager
def silence() -> Generator[None, None, None]:
    """Have nobody hear what is logged in a `with` block."""
    manager = logging.getLogger().manager
    disabled = manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(disabled)


def _shown(message: Mapping[str, object]) -> str:
    """A decoded message as one short line; "" for a ping and its answer, which say nothing."""
    if message.get("opcode") == "PING":
        return ""
    fields = cast("dict[str, object]", message.get("fields") or {})
    parts = [_field(name, value) for name, value in fields.items()]
    named = ", ".join(part for part in parts if part)
    match message["kind"]:
        case "request":
            return f"{_lower(message['opcode'])}({named})  #{message['xid']}"
        case "reply":
            answer = f"error {_lower(message['error'])}" if message.get("error") else named or "done"
            return f"#{message['xid']} {_lower(message['opcode'])}: {answer}  (zxid {_hex(message['zxid'])})"
        case "notification":
            return f"event: {named}"
        case kind:
            return f"{kind} {named}".strip()


def _field(name: str, value: object) -> str:
    if not value or name in ("acl", "protocol_version", "password"):
        return ""
    if name == "session_id":
        return f"session 0x{_hex(value)}"
    if isinstance(value, dict):
        record = cast("dict[str, object]", value)
        if "czxid" in record:
            return f"stat(czxid {_hex(record['czxid'])}, version {record.get('version', 0)})"
        value = record.get("text", record)
    text = str(value)
    return f"{name} {text if len(text) <= LONGEST else text[: LONGEST - 3] + '...'}"


def _lower(name: object) -> str:
    return str(name).lower()


def _hex(value: object) -> str:
    return f"{value & (1 << 64) - 1:x}" if isinstance(value, int) else str(value)
