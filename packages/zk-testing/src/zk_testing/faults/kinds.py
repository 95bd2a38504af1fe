"""Names for the kinds of messages that pass a proxy.

Rule: a kind is a name of one opcode (`"get_data"`), of a few that ask the same thing (`"create"`: create, create2,
container and TTL nodes), or of a group (`"read"`, `"write"`, `"any"`). A reply has the kind of its request.

Kinds without an opcode: "connect" (the first frame each way), "notification" (a watch event), "admin" (four-letter
words) and "raw" (what is no ZooKeeper frame, for example TLS).
"""

from __future__ import annotations

from zk_wire import OpCode

__all__ = ["KINDS", "Matcher", "kind_of"]

_BY_NAME: dict[str, tuple[OpCode, ...]] = {
    "create": (OpCode.CREATE, OpCode.CREATE2, OpCode.CREATE_CONTAINER, OpCode.CREATE_TTL),
    "delete": (OpCode.DELETE, OpCode.DELETE_CONTAINER),
    "exists": (OpCode.EXISTS,),
    "get_data": (OpCode.GET_DATA,),
    "set_data": (OpCode.SET_DATA,),
    "get_acl": (OpCode.GET_ACL,),
    "set_acl": (OpCode.SET_ACL,),
    "get_children": (OpCode.GET_CHILDREN, OpCode.GET_CHILDREN2),
    "sync": (OpCode.SYNC,),
    "ping": (OpCode.PING,),
    "check": (OpCode.CHECK,),
    "multi": (OpCode.MULTI,),
    "multi_read": (OpCode.MULTI_READ,),
    "reconfig": (OpCode.RECONFIG,),
    "check_watches": (OpCode.CHECK_WATCHES,),
    "remove_watches": (OpCode.REMOVE_WATCHES,),
    "set_watches": (OpCode.SET_WATCHES, OpCode.SET_WATCHES2),
    "add_watch": (OpCode.ADD_WATCH,),
    "auth": (OpCode.AUTH,),
    "sasl": (OpCode.SASL,),
    "get_ephemerals": (OpCode.GET_EPHEMERALS,),
    "get_all_children_number": (OpCode.GET_ALL_CHILDREN_NUMBER,),
    "who_am_i": (OpCode.WHO_AM_I,),
    "close_session": (OpCode.CLOSE_SESSION,),
}
_WITHOUT_OPCODE = ("connect", "notification", "admin", "raw")
_GROUPS: dict[str, frozenset[str]] = {
    "read": frozenset(
        ("exists", "get_data", "get_children", "get_acl", "multi_read", "get_ephemerals", "get_all_children_number")
    ),
    "write": frozenset(("create", "delete", "set_data", "set_acl", "multi", "reconfig")),
}
_OF_OPCODE = {opcode: name for name, opcodes in _BY_NAME.items() for opcode in opcodes}

# Every name that may be asked for.
KINDS: frozenset[str] = frozenset((*_BY_NAME, *_WITHOUT_OPCODE, *_GROUPS, "any"))


def kind_of(opcode: int) -> str:
    """The kind an opcode belongs to; "unknown" for a number that is none."""
    return _OF_OPCODE.get(OpCode(opcode), "unknown") if opcode in _NUMBERS else "unknown"


_NUMBERS = frozenset(int(opcode) for opcode in _OF_OPCODE)


class Matcher:
    """What a rule or a test asked for: a kind by name, or exactly one opcode."""

    def __init__(self, asked: str | OpCode) -> None:
        if isinstance(asked, OpCode):
            self.name = asked.name.lower()
            self._opcode: int | None = int(asked)
            self._kinds: frozenset[str] | None = None
        elif asked in KINDS:
            self.name = asked
            self._opcode = None
            self._kinds = None if asked == "any" else _GROUPS.get(asked, frozenset((asked,)))
        else:
            raise ValueError(f"no kind of message {asked!r}: known are {', '.join(sorted(KINDS))}, or an OpCode")

    @property
    def only_to_client(self) -> bool:
        """Whether only servers send this kind."""
        return self.name == "notification"

    def fits(self, kind: str, opcode: int | None) -> bool:
        """Whether a message of that kind and opcode is meant."""
        if self._opcode is not None:
            return opcode == self._opcode
        return self._kinds is None or kind in self._kinds
