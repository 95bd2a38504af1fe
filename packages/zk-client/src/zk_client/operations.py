"""Every request of the client: arguments in, a call ready to be submitted out.

Rule: nothing is sent here, and bad input ends here: TypeError, ValueError (InvalidPathError, ConfigurationError),
each with a sentence that names the rule. The faces, blocking and awaited, add one line per operation.

Paths are the user's, below the chroot; the server's are made from them once and remembered, checked and encoded.
`/zookeeper/config` and its watch stay absolute, as the server keeps one for all.
"""

from __future__ import annotations

from zk_wire import (
    OPEN_ACL_BYTES,
    CreateMode,
    OpCode,
    add_chroot,
    check_path,
    create_payload,
    decode_children,
    decode_children2,
    decode_create,
    decode_create2,
    decode_get_data,
    decode_nothing,
    decode_stat,
    delete_payload,
    encode_acl,
    encode_ustring,
    exists_payload,
    get_children2_payload,
    get_children_payload,
    get_data_payload,
    set_data_payload,
    strip_chroot,
)

from . import _wire
from ._session.recovery import UNTELLABLE, CreateRecovery, DeleteRecovery, SetRecovery
from ._session.watches import CHILD, DATA, PERSISTENT, RECURSIVE, Listener, WatchTarget
from .calls import Call

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, TypeVar

    from zk_wire import ACL, ClientInfo, GetDataResponse, Request, Stat

    from .calls import CallOwner
else:
    from ._typing import TypeVar

R = TypeVar("R")
T = TypeVar("T")

CONFIG_PATH = "/zookeeper/config"
LONGEST_TTL_MS = 0xFFFFFFFFFF
# The server's own default limit (jute.maxbuffer); it drops a connection that sends a longer frame.
MAX_REQUEST = 1_048_575
REMEMBERED_PATHS = 8192


class Operations:
    """Builds calls for one client.

    owner: who completes them.   chroot: "" for none.   acl: the default for new nodes, None for world:anyone all.
    max_request: bytes of a request beyond which the server would drop the connection.
    """

    __slots__ = (
        "_acl",
        "_chroot",
        "_decode_create",
        "_decode_create2",
        "_gets",
        "_max_request",
        "_ustrings",
        "default_acl",
        "owner",
    )

    def __init__(
        self, owner: CallOwner, chroot: str, acl: Sequence[ACL] | None = None, max_request: int = MAX_REQUEST
    ) -> None:
        self.owner = owner
        self._chroot = chroot
        self._acl = OPEN_ACL_BYTES if acl is None else encode_acls(acl)
        self.default_acl = acl
        self._max_request = max_request
        self._ustrings: dict[str, bytes] = {}
        self._gets: dict[str, bytes] = {}  # whole requests of the most frequent kind
        self._decode_create: Callable[[bytes, int, int], str] = decode_create
        self._decode_create2: Callable[[bytes, int, int], tuple[str, Stat]] = decode_create2
        if chroot:
            self._decode_create = self._create_below_chroot
            self._decode_create2 = self._create2_below_chroot

    # Paths

    def full(self, path: str) -> str:
        """The server's name for a path, checked."""
        check_path(path)
        return add_chroot(self._chroot, path) if self._chroot else path

    def shown(self, path: str) -> str:
        """The user's name for a server's path; one outside the chroot is left as it is."""
        stripped = strip_chroot(self._chroot, path) if self._chroot else path
        return path if stripped is None else stripped

    def _encode(self, path: str) -> bytes:
        encoded = encode_ustring(self.full(path))
        if len(self._ustrings) >= REMEMBERED_PATHS:
            self._ustrings.clear()
        self._ustrings[path] = encoded
        return encoded

    def _encode_get(self, path: str) -> bytes:
        payload = get_data_payload(self._ustrings.get(path) or self._encode(path), False)
        if len(self._gets) >= REMEMBERED_PATHS:
            self._gets.clear()
        self._gets[path] = payload
        return payload

    def _create_below_chroot(self, buf: bytes, pos: int, end: int) -> str:
        return self.shown(decode_create(buf, pos, end))

    def _create2_below_chroot(self, buf: bytes, pos: int, end: int) -> tuple[str, Stat]:
        path, stat = decode_create2(buf, pos, end)
        return self.shown(path), stat

    # Reads

    def get(self, path: str, watch: Listener | None = None) -> Call[tuple[bytes | None, Stat]]:
        """getData."""
        if watch is None:
            return Call(self.owner, self._gets.get(path) or self._encode_get(path), decode_get_data, path)
        ustring = self._ustrings.get(path) or self._encode(path)
        target = self._target(DATA, path, watch)
        return Call(self.owner, get_data_payload(ustring, True), decode_get_data, path, None, target)

    def exists(self, path: str, watch: Listener | None = None) -> Call[Stat | None]:
        """exists; a missing node is a result, not an error."""
        ustring = self._ustrings.get(path) or self._encode(path)
        target = None if watch is None else self._target(DATA, path, watch)
        call: Call[Stat | None] = Call(
            self.owner, exists_payload(ustring, watch is not None), decode_stat, path, None, target
        )
        call.absent_is_none = True
        return call

    def get_children(self, path: str, watch: Listener | None = None) -> Call[list[str]]:
        """getChildren."""
        ustring = self._ustrings.get(path) or self._encode(path)
        target = None if watch is None else self._target(CHILD, path, watch)
        payload = get_children_payload(ustring, watch is not None)
        return Call(self.owner, payload, decode_children, path, None, target)

    def get_children_with_stat(self, path: str, watch: Listener | None = None) -> Call[tuple[list[str], Stat]]:
        """getChildren2."""
        ustring = self._ustrings.get(path) or self._encode(path)
        target = None if watch is None else self._target(CHILD, path, watch)
        payload = get_children2_payload(ustring, watch is not None)
        return Call(self.owner, payload, decode_children2, path, None, target)

    def get_acls(self, path: str) -> Call[tuple[list[ACL], Stat]]:
        """getACL."""
        return self._request(_wire.GetACLRequest(self.full(path)), path, lambda reply: (list(reply.acl), reply.stat))

    def get_all_children_number(self, path: str) -> Call[int]:
        """getAllChildrenNumber."""
        return self._request(_wire.GetAllChildrenNumberRequest(self.full(path)), path, lambda reply: reply.total_number)

    def get_ephemerals(self, prefix: str = "/") -> Call[list[str]]:
        """getEphemerals; the prefix is compared by component, as the server does not."""
        prefix_path = self.full(prefix)

        def below(reply: Any) -> list[str]:
            found = [strip_chroot("" if prefix_path == "/" else prefix_path, path) for path in reply.ephemerals]
            return [
                self.shown(path) for path, inside in zip(reply.ephemerals, found, strict=True) if inside is not None
            ]

        return self._request(_wire.GetEphemeralsRequest(prefix_path), prefix, below)

    def whoami(self) -> Call[list[ClientInfo]]:
        """whoAmI."""
        return self._request(_wire.WhoAmIRequest(), None, lambda reply: list(reply.client_info))

    def sync(self, path: str) -> Call[str]:
        """sync."""
        return self._request(_wire.SyncRequest(self.full(path)), path, lambda reply: path)

    def get_config(self, watch: Listener | None = None) -> Call[tuple[bytes | None, Stat]]:
        """getData of the config node, which no chroot hides."""
        payload = get_data_payload(encode_ustring(CONFIG_PATH), watch is not None)
        target = None if watch is None else WatchTarget(DATA, CONFIG_PATH, check_listener(watch))
        remember_path(watch, CONFIG_PATH)
        return Call(self.owner, payload, decode_get_data, CONFIG_PATH, None, target)

    # Writes

    def create(
        self,
        path: str,
        value: bytes | None = b"",
        acl: Sequence[ACL] | None = None,
        ephemeral: bool = False,
        sequence: bool = False,
        *,
        container: bool = False,
        ttl: float | None = None,
        unique: bool = False,
    ) -> Call[str]:
        """create, createContainer or createTTL, for the path alone."""
        opcode, mode, ttl_ms = create_kind(ephemeral, sequence, container, ttl)
        payload, recovery = self._create(path, value, acl, opcode, mode, ttl_ms, unique, with_stat=False)
        decode = self._decode_create
        if opcode is not OpCode.CREATE:
            decode = self._decode_path_of_create2
        return Call(self.owner, payload, decode, path, recovery)

    def create_with_stat(
        self,
        path: str,
        value: bytes | None = b"",
        acl: Sequence[ACL] | None = None,
        ephemeral: bool = False,
        sequence: bool = False,
        *,
        container: bool = False,
        ttl: float | None = None,
        unique: bool = False,
    ) -> Call[tuple[str, Stat]]:
        """create2, createContainer or createTTL, for path and Stat."""
        opcode, mode, ttl_ms = create_kind(ephemeral, sequence, container, ttl)
        if opcode is OpCode.CREATE:
            opcode = OpCode.CREATE2
        payload, recovery = self._create(path, value, acl, opcode, mode, ttl_ms, unique, with_stat=True)
        return Call(self.owner, payload, self._decode_create2, path, recovery)

    def _create(
        self,
        path: str,
        value: bytes | None,
        acl: Sequence[ACL] | None,
        opcode: OpCode,
        mode: CreateMode,
        ttl_ms: int | None,
        unique: bool,
        *,
        with_stat: bool,
    ) -> tuple[bytes, CreateRecovery]:
        if mode.is_sequential:
            full = self.sequential(path)
            ustring = encode_ustring(full)
        else:
            ustring = self._ustrings.get(path) or self._encode(path)
            full = ustring[4:].decode()
        acl_bytes = self._acl if acl is None else encode_acls(acl)
        payload = create_payload(opcode, ustring, check_value(path, value), acl_bytes, mode)
        if ttl_ms is not None:
            payload += ttl_ms.to_bytes(8, "big")
        self.check_size(path, payload)
        return payload, CreateRecovery(full, mode, unique=unique, with_stat=with_stat, chroot=self._chroot)

    def sequential(self, path: str) -> str:
        """The server's name for the path of a sequential node, which may end in a slash."""
        check_path(path, sequential=True)
        return self._chroot + path

    def _decode_path_of_create2(self, buf: bytes, pos: int, end: int) -> str:
        return self._decode_create2(buf, pos, end)[0]

    def set(self, path: str, value: bytes | None, version: int = -1) -> Call[Stat]:
        """setData."""
        ustring = self._ustrings.get(path) or self._encode(path)
        payload = set_data_payload(ustring, check_value(path, value), check_version(path, version))
        self.check_size(path, payload)
        return Call(self.owner, payload, decode_stat, path, SetRecovery(ustring[4:].decode(), value, version))

    def delete(self, path: str, version: int = -1) -> Call[None]:
        """delete."""
        ustring = self._ustrings.get(path) or self._encode(path)
        payload = delete_payload(ustring, check_version(path, version))
        return Call(self.owner, payload, decode_nothing, path, DeleteRecovery(ustring[4:].decode()))

    def set_acls(self, path: str, acls: Sequence[ACL], version: int = -1) -> Call[Stat]:
        """setACL; the version is that of the ACL (aversion)."""
        encode_acls(acls)
        request = _wire.SetACLRequest(self.full(path), tuple(acls), check_version(path, version))
        call = self._request(request, path, lambda reply: reply.stat)
        call.recovery = UNTELLABLE
        return call

    def reconfig(
        self, joining: str | None, leaving: str | None, new_members: str | None, from_config: int = -1
    ) -> Call[tuple[bytes | None, Stat]]:
        """reconfig."""
        for name, text in (("joining", joining), ("leaving", leaving), ("new_members", new_members)):
            if text is not None and not isinstance(text, str):
                raise TypeError(f"{name} must be a str or None, not {type(text).__name__}")
        request = _wire.ReconfigRequest(joining, leaving, new_members, from_config)
        call: Call[tuple[bytes | None, Stat]] = self._request(request, CONFIG_PATH, data_and_stat)
        call.recovery = UNTELLABLE
        return call

    def check_recursive(self, path: str, version: int) -> None:
        self.full(path)
        if version != -1:
            raise ValueError(f"a recursive delete of {path!r} cannot check a version, but {version} was given")

    # The session's own

    def add_auth(self, scheme: str, credential: str | bytes) -> Call[None]:
        """auth; the credential is kept to be replayed, and never shown."""
        if not isinstance(scheme, str) or not scheme:
            # Never shown: people pass the whole (scheme, credential) pair by mistake.
            raise TypeError(f"scheme must be a non-empty str, not {'empty' if scheme == '' else type(scheme).__name__}")
        if not isinstance(credential, (str, bytes)):
            raise TypeError(f"credential must be a str or bytes, not {type(credential).__name__}")
        secret = credential.encode() if isinstance(credential, str) else bytes(credential)
        call: Call[None] = Call(self.owner, _wire.AuthPacket(scheme, secret).payload(), decode_nothing, None)
        call.auth = (scheme, secret)
        return call

    def add_watch(self, path: str, listener: Listener, *, recursive: bool) -> Call[None]:
        """addWatch: a persistent watch, which needs a server of 3.6 or newer."""
        mode = _wire.AddWatchMode.PERSISTENT_RECURSIVE if recursive else _wire.AddWatchMode.PERSISTENT
        target = self._target(RECURSIVE if recursive else PERSISTENT, path, listener)
        request = _wire.AddWatchRequest(target.path, mode)
        return Call(self.owner, request.payload(), discard_reply, path, None, target)

    # Helpers

    def target_path(self, path: str) -> str:
        """The server's name for a watched path; the config node's is absolute."""
        return CONFIG_PATH if path == CONFIG_PATH else self.full(path)

    def _target(self, table: int, path: str, listener: Listener) -> WatchTarget:
        full = self.full(path)
        remember_path(check_listener(listener), full)
        return WatchTarget(table, full, listener)

    def _request(self, request: Request[R], path: str | None, convert: Callable[[R], T]) -> Call[T]:
        def decode(buf: bytes, pos: int, end: int) -> T:
            return convert(request.decode_response(buf, pos, end))

        return Call(self.owner, request.payload(), decode, path)

    def check_size(self, path: str, payload: bytes) -> None:
        if len(payload) + 4 > self._max_request:
            raise ValueError(
                f"request for {path!r} takes {len(payload) + 4} bytes, but the server drops connections that send "
                f"more than {self._max_request} (its jute.maxbuffer; `max_request` of the client)"
            )


def create_kind(
    ephemeral: bool, sequence: bool, container: bool, ttl: float | None
) -> tuple[OpCode, CreateMode, int | None]:
    """The opcode and mode a combination of arguments means; ValueError for one that means nothing.

    ttl: seconds; the server keeps milliseconds, from 1 to 1,099,511,627,775.
    """
    if container:
        if ephemeral or sequence or ttl is not None:
            raise ValueError("a container cannot also be ephemeral, sequential or have a ttl")
        return OpCode.CREATE_CONTAINER, CreateMode.CONTAINER, None
    if ttl is not None:
        if ephemeral:
            raise ValueError("an ephemeral node cannot have a ttl: it ends with its session")
        if isinstance(ttl, bool) or not isinstance(ttl, (int, float)):
            raise TypeError(f"ttl must be a number of seconds, not {type(ttl).__name__}")
        if not 0 < ttl <= LONGEST_TTL_MS / 1000:
            raise ValueError(f"ttl must lie between 0.001 and {LONGEST_TTL_MS / 1000} seconds, not {ttl!r}")
        ttl_ms = round(ttl * 1000)
        if not 1 <= ttl_ms <= LONGEST_TTL_MS:
            raise ValueError(f"ttl must lie between 0.001 and {LONGEST_TTL_MS / 1000} seconds, not {ttl!r}")
        mode = CreateMode.PERSISTENT_SEQUENTIAL_WITH_TTL if sequence else CreateMode.PERSISTENT_WITH_TTL
        return OpCode.CREATE_TTL, mode, ttl_ms
    if ephemeral:
        return OpCode.CREATE, CreateMode.EPHEMERAL_SEQUENTIAL if sequence else CreateMode.EPHEMERAL, None
    return OpCode.CREATE, CreateMode.PERSISTENT_SEQUENTIAL if sequence else CreateMode.PERSISTENT, None


def check_value(path: str, value: bytes | None) -> bytes | None:
    """A node's data: bytes, or None for null data, which is not the same as empty."""
    if value.__class__ is bytes or value is None:
        return value
    raise TypeError(f"the value for {path!r} must be bytes (or None for null data), not {type(value).__name__}")


def check_version(path: str, version: int) -> int:
    """A data version to compare with; -1 skips the comparison."""
    if version.__class__ is not int:
        raise TypeError(f"the version for {path!r} must be an int, not {type(version).__name__}")
    if not -(1 << 31) <= version < 1 << 31:
        raise ValueError(f"the version for {path!r} must fit 32 bits, but is {version}")
    return version


def remember_path(listener: Listener | None, full: str) -> None:
    """Tell a watcher where it is used, so that it is found again without a search."""
    paths: set[str] | None = getattr(listener, "server_paths", None)
    if paths is not None:
        paths.add(full)


def check_listener(watch: Listener) -> Listener:
    """A watch: a function of one argument, or a watcher."""
    if not callable(watch):
        raise TypeError(f"watch must be a function or a watcher of this client, not {type(watch).__name__}")
    return watch


def encode_acls(acls: Sequence[ACL]) -> bytes:
    """An ACL list, not empty, as its bytes."""
    if not isinstance(acls, (list, tuple)) or not all(is_acl(acl) for acl in acls):
        raise TypeError("acl must be a list of ACL values, such as OPEN_ACL_UNSAFE or [make_acl(...)]")
    if not acls:
        raise ValueError("acl must not be empty: the server refuses a node without one")
    return encode_acl(acls)


def is_acl(acl: object) -> bool:
    """Whether something is permissions and an identity, (int, (scheme, id))."""
    match acl:
        case (int(), (str(), str())):
            return isinstance(acl, tuple)
        case _:
            return False


def data_and_stat(reply: GetDataResponse) -> tuple[bytes | None, Stat]:
    """A GetDataResponse as its pair."""
    return reply.data, reply.stat


def discard_reply(buf: bytes, pos: int, end: int) -> None:
    """The reply of addWatch repeats the header's error code, which is 0 here."""
