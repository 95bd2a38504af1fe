"""Every error of the protocol, one class per thing a caller would handle differently.

Rule: an error keeps what it knows as attributes; its sentence names the thing and the rule.

    ZooKeeperError
      ServerError             a code in a reply: .code .path .outcome
        NoNodeError ...       one class per code
      ProtocolError
        LocalProtocolError    we were asked to send something illegal; nothing was sent
        RemoteProtocolError   the peer sent something illegal; the connection is over
      InvalidPathError        (also a ValueError) a path that no server would accept

`Outcome` says what is known of the request's effect.  Source: KeeperException.java.
"""

from __future__ import annotations

from enum import Enum

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar


class Outcome(Enum):
    """What is known of a request's effect on the server."""

    APPLIED = "applied"
    NOT_APPLIED = "not applied"
    UNKNOWN = "unknown"


class ZooKeeperError(Exception):
    """The root of every error this family of packages raises on purpose."""


class ServerError(ZooKeeperError):
    """An error code in a reply, or made by a client in place of a reply.

    code: the number on the wire.   path: the path asked for, where one is known.
    outcome: what is known of the request's effect; for codes a server sends, NOT_APPLIED.
    A code without a class of its own is a plain ServerError.
    """

    code: int = -1
    reason: ClassVar[str] = "the server answered with an unknown error code"
    default_outcome: ClassVar[Outcome] = Outcome.NOT_APPLIED

    def __init__(
        self,
        path: str | None = None,
        *,
        code: int | None = None,
        message: str | None = None,
        outcome: Outcome | None = None,
    ) -> None:
        super().__init__(path)
        self.path = path
        self.message = message
        self.outcome = self.default_outcome if outcome is None else outcome
        if code is not None:
            self.code = code

    def __str__(self) -> str:
        if self.message is not None:
            return self.message
        subject = "" if self.path is None else f': "{self.path}"'
        return f"{self.reason}{subject} (error {self.code})"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"

    def __reduce__(self) -> tuple[object, ...]:
        """Keep every attribute when the error is pickled or copied."""
        return type(self), (self.path,), self.__dict__


class RolledBackError(ServerError):
    """An operation of a failed multi that came before the one which failed."""

    code = 0
    reason = "no error of its own, but the transaction around it failed"


class SystemZooKeeperError(ServerError):
    """The mark before the system errors; no server sends it."""

    code = -1
    reason = "system error on the server"


class RuntimeInconsistencyError(ServerError):
    """An operation of a failed multi that came after the one which failed."""

    code = -2
    reason = "not tried, because an earlier operation of the transaction failed"


class DataInconsistencyError(ServerError):
    """Reserved; no server sends it."""

    code = -3
    reason = "data inconsistency found"


class ConnectionLostError(ServerError):
    """The connection ended with the request unanswered: it may or may not have been executed."""

    code = -4
    reason = "the connection was lost before the reply came"
    default_outcome = Outcome.UNKNOWN


class MarshallingError(ServerError):
    """The server could not decode the request, or failed inside; nothing was done."""

    code = -5
    reason = "the server could not read the request"


class UnimplementedError(ServerError):
    """The server is too old for the operation (and closes), or has it switched off (and stays)."""

    code = -6
    reason = "the server does not know the operation, or has it switched off"


class OperationTimeoutError(ServerError):
    """Time ran out before the reply: the request may still be executed."""

    code = -7
    reason = "no reply in the time given"
    default_outcome = Outcome.UNKNOWN


class BadArgumentsError(ServerError):
    """A path, flag, time-to-live or server list the server refuses."""

    code = -8
    reason = "the server refused the arguments"


class InvalidStateError(ServerError):
    """Made by clients whose session cannot serve the request."""

    code = -9
    reason = "the session is in no state to do this"


class UnknownSessionError(ServerError):
    """The request ran for a session the server does not track."""

    code = -12
    reason = "the server does not know the session"


class NewConfigNoQuorumError(ServerError):
    """Reconfiguration refused: too few members of the new ensemble are in sync."""

    code = -13
    reason = "no quorum of the new configuration is connected and synced"


class ReconfigInProgressError(ServerError):
    """Reconfiguration refused: wait for the one that runs."""

    code = -14
    reason = "another reconfiguration is in progress"


class SslConnectionError(ServerError):
    """Made by clients when TLS fails."""

    code = -15
    reason = "the TLS connection failed"


class APIError(ServerError):
    """The mark before the API errors; no server sends it."""

    code = -100
    reason = "API error"


class NoNodeError(ServerError):
    """The node, or the parent of the node to create, does not exist."""

    code = -101
    reason = "the node does not exist"


class NoAuthError(ServerError):
    """None of the connection's identities has the permission needed."""

    code = -102
    reason = "the ACL does not allow it"


class BadVersionError(ServerError):
    """The node's version differs from the one given."""

    code = -103
    reason = "the version is not the expected one"


class NoChildrenForEphemeralsError(ServerError):
    """The parent is ephemeral."""

    code = -108
    reason = "ephemeral nodes cannot have children"


class NodeExistsError(ServerError):
    """The node to create exists."""

    code = -110
    reason = "the node exists already"


class NotEmptyError(ServerError):
    """The node to delete has children."""

    code = -111
    reason = "the node has children"


class SessionExpiredError(ServerError):
    """The session is over; its ephemeral nodes and watches are gone."""

    code = -112
    reason = "the session has expired"
    default_outcome = Outcome.UNKNOWN


class InvalidCallbackError(ServerError):
    """Reserved; no server sends it."""

    code = -113
    reason = "invalid callback"


class InvalidACLError(ServerError):
    """The ACL is empty, or names a scheme or id the server does not accept."""

    code = -114
    reason = "the ACL is empty or not valid"


class AuthFailedError(ServerError):
    """The server refused the credentials, and closes the connection."""

    code = -115
    reason = "authentication failed"


class ClosingError(ServerError):
    """Made by clients that are shutting down."""

    code = -116
    reason = "the client is closing"


class NothingError(ServerError):
    """Made by clients; no server sends it."""

    code = -117
    reason = "there is nothing to process"


class SessionMovedError(ServerError):
    """The session is served elsewhere; servers turn this into a closed connection."""

    code = -118
    reason = "the session has moved to another server"


class NotReadOnlyError(ServerError):
    """A change was asked of a server that has lost its quorum."""

    code = -119
    reason = "the server is in read-only mode"


class EphemeralOnLocalSessionError(ServerError):
    """The session is local to one server, and may not be upgraded."""

    code = -120
    reason = "a local session cannot have ephemeral nodes"


class NoWatcherError(ServerError):
    """No watch of that kind is set on that path."""

    code = -121
    reason = "there is no such watch"


class RequestTimeoutError(ServerError):
    """Made by clients with a time limit per request."""

    code = -122
    reason = "the request timed out"
    default_outcome = Outcome.UNKNOWN


class ReconfigDisabledError(ServerError):
    """The servers run without reconfigEnabled."""

    code = -123
    reason = "reconfiguration is disabled on the server"


class SessionClosedRequireAuthError(ServerError):
    """The server wants SASL or another authentication before any request, and closes."""

    code = -124
    reason = "the server requires authentication first"


class QuotaExceededError(ServerError):
    """A hard quota on the node or an ancestor would be exceeded."""

    code = -125
    reason = "the quota is exceeded"


class ThrottledOpError(ServerError):
    """The request waited too long on the server and was dropped; try again later."""

    code = -127
    reason = "the server is overloaded and did not run the request"


_BY_CODE: dict[int, type[ServerError]] = {
    error.code: error
    for error in (
        RolledBackError,
        SystemZooKeeperError,
        RuntimeInconsistencyError,
        DataInconsistencyError,
        ConnectionLostError,
        MarshallingError,
        UnimplementedError,
        OperationTimeoutError,
        BadArgumentsError,
        InvalidStateError,
        UnknownSessionError,
        NewConfigNoQuorumError,
        ReconfigInProgressError,
        SslConnectionError,
        APIError,
        NoNodeError,
        NoAuthError,
        BadVersionError,
        NoChildrenForEphemeralsError,
        NodeExistsError,
        NotEmptyError,
        SessionExpiredError,
        InvalidCallbackError,
        InvalidACLError,
        AuthFailedError,
        ClosingError,
        NothingError,
        SessionMovedError,
        NotReadOnlyError,
        EphemeralOnLocalSessionError,
        NoWatcherError,
        RequestTimeoutError,
        ReconfigDisabledError,
        SessionClosedRequireAuthError,
        QuotaExceededError,
        ThrottledOpError,
    )
}


def error_for_code(code: int, path: str | None = None) -> ServerError:
    """Return (not raise) the error for a code of the wire; an unknown code gives a plain ServerError."""
    error = _BY_CODE.get(code)
    return ServerError(path, code=code) if error is None else error(path)


class ProtocolError(ZooKeeperError):
    """One side broke the rules of the wire."""


class LocalProtocolError(ProtocolError):
    """We were asked to send something illegal; nothing was sent and the connection is as before."""


class RemoteProtocolError(ProtocolError):
    """The peer sent something illegal; the connection it came from is over."""


class InvalidPathError(ValueError, ZooKeeperError):
    """A path that breaks a rule; found before anything was sent.

    path: what was given.   rule: which rule it breaks.   position: index of the character, where one is to blame.
    """

    def __init__(self, path: str, rule: str, position: int | None = None) -> None:
        super().__init__(path, rule, position)
        self.path = path
        self.rule = rule
        self.position = position

    def __str__(self) -> str:
        where = "" if self.position is None else f" at position {self.position}"
        return f"invalid path {quoted(self.path)}: {self.rule}{where}"


def quoted(text: str) -> str:
    """`text` in double quotes, with everything escaped that could garble a log."""
    return '"' + "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text) + '"'
