"""What becomes of a write: the changes it comes to, and later the answer to it.

Rule: `decide` reads a tree and changes nothing; `answer_to` needs only what the changes came to. Between the two lies
the history, and whoever decides need not be the server that answers.

Source: PrepRequestProcessor.java, FinalRequestProcessor.java.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from zk_wire import (
    CheckVersionRequest,
    CreateRequest,
    ErrorCode,
    Id,
    MalformedRequest,
    MultiReadResponse,
    MultiRequest,
    MultiResponse,
    OpCode,
    encode_ustring,
)

from .prepare import Preparation, Rules, Write
from .refusal import BrokenRequestError
from .results import fault_of, multi_results
from .transactions import Applied, Change, CreateNode, Failed, SetConfig
from .tree import Tree
from .versions import Profile

__all__ = ["Decision", "answer_to", "decide", "decide_malformed"]

# Opcodes that take a zxid even when the server cannot decode them: in all versions, and before 3.9.
_ALWAYS_TAKES_ZXID = frozenset((14, int(OpCode.CREATE_SESSION)))
_TAKES_ZXID = frozenset((1, 2, 5, 7, 13, 14, 15, 19, 20, 21, int(OpCode.CREATE_SESSION)))
_NULL_IN_WRITE = re.compile(r"(Create\w*|Delete|SetACL|CheckVersion)Request\.(path|acl): null")
_WRITE_IN_MULTI_READ = re.compile(r"MultiReadRequest\.ops\[0\]: type (1|2|5|13|15|19|21) is not allowed")
_BROKEN = (Failed(ErrorCode.MARSHALLING_ERROR),)


class Decision(NamedTuple):
    """What a write comes to.

    changes: of its transaction; None is none, and an empty one has its zxid, too.   error: of the answer.
    body: of the answer; None when it follows from what was applied.   skips_zxid: the next transaction has the number
    after the next.
    """

    changes: tuple[Change, ...] | None
    error: int = 0
    body: bytes | None = b""
    skips_zxid: bool = False


def decide(
    tree: Tree,
    rules: Rules,
    session_id: int,
    identities: Sequence[Id],
    request: Write | MultiRequest,
    *,
    ephemerals: bool = True,
) -> Decision:
    """Check a write against a tree.   session_id, identities: of the connection that asks.

    ephemerals: False for a session that only one member of an ensemble knows.
    """
    preparation = Preparation(tree, rules, session_id, identities, ephemerals=ephemerals)
    if not isinstance(request, MultiRequest):
        change = preparation.single(request)
        if isinstance(change, Failed):
            return Decision((change,), change.code)
        return Decision((change,), body=None)
    fault = fault_of(request.ops, rules.profile)
    if fault is not None:
        body = MultiResponse([]).encode() if fault.with_body else b""
        changes = _BROKEN if fault.applies_zxid else None
        return Decision(changes, ErrorCode.MARSHALLING_ERROR, body, fault.skips_zxid)
    try:
        return Decision(preparation.multi(request.ops), body=None)
    except BrokenRequestError:
        return Decision(_BROKEN, ErrorCode.MARSHALLING_ERROR)


def decide_malformed(event: MalformedRequest, profile: Profile) -> Decision:
    """Return what a request comes to that could not be decoded; some of them take a zxid."""
    null = _NULL_IN_WRITE.match(event.reason) if event.is_null else None
    if event.opcode == OpCode.MULTI and null and null[2] == "path" and profile.garbage_takes_zxid:
        return Decision(None, ErrorCode.MARSHALLING_ERROR, MultiResponse([]).encode(), skips_zxid=True)
    takes_zxid = null or event.opcode in (_ALWAYS_TAKES_ZXID, _TAKES_ZXID)[profile.garbage_takes_zxid]
    with_body = _WRITE_IN_MULTI_READ.match(event.reason) or (event.opcode == OpCode.MULTI_READ and event.is_null)
    body = MultiReadResponse([]).encode() if with_body else b""
    return Decision(_BROKEN if takes_zxid else None, ErrorCode.MARSHALLING_ERROR, body)


def answer_to(request: Write | MultiRequest, applied: Sequence[Applied]) -> bytes | None:
    """Return the body of the answer to a write that was applied; None when it is never answered."""
    if isinstance(request, MultiRequest):
        return MultiResponse(multi_results(request.ops, applied)).encode()
    if isinstance(request, CheckVersionRequest):
        return None  # until 3.8.4 and 3.9.2 a check that holds is not answered
    change, stat, _events = applied[0]
    if isinstance(change, SetConfig):
        return len(change.data).to_bytes(4, "big") + change.data + stat
    if isinstance(change, CreateNode):
        path = encode_ustring(change.path)
        return path if isinstance(request, CreateRequest) else path + stat
    return stat
