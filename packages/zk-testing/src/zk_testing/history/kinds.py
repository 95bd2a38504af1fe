"""The kinds of operation that the checks know, and which check reads which.

Rule: a table, and what stands in it is all that the checks read. An operation of another kind may stand in a history;
only the checks of sessions and of time look at it.

| what | kinds |
|---|---|
| a register | `read() -> value`, `write(value)`, `cas((expected, value)) -> bool` |
| a counter | `add(amount) -> sum or nothing`, `get() -> sum` |
| what is held | `acquire() `, `release()`, `lost()`, `renew()`, `limit(number)`, `use()` under a token |
| an office | `lead()`, `resign()`, `lost()`, `renew()`, `use()` |
| a queue | `enqueue(value)`, `dequeue() -> value or None`, `contents() -> values` |
| a barrier | `raise()`, `remove()`, `pass()` |
| a double barrier | `enter(number needed)`, `leave()`, `lost()` |
"""

from __future__ import annotations

READ, WRITE, CAS = "read", "write", "cas"
ADD, GET = "add", "get"
ACQUIRE, RELEASE, LOST, RENEW, LIMIT, USE = "acquire", "release", "lost", "renew", "limit", "use"
LEAD, RESIGN = "lead", "resign"
ENQUEUE, DEQUEUE, CONTENTS = "enqueue", "dequeue", "contents"
RAISE, REMOVE, PASS = "raise", "remove", "pass"
ENTER, LEAVE = "enter", "leave"
