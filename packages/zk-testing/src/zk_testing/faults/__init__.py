"""A proxy in front of a ZooKeeper server that loses, delays, cuts and damages on demand, frame by frame.

    with start_cluster() as cluster, FaultProxy(cluster[0]) as proxy:
        client = ...                                     # connects to proxy.hosts

        fault = proxy.lose_reply("create")               # the next create reaches the server, its reply nobody
        ...                                              # client.create(...) in another thread
        fault.wait()                                     # until it happened

        proxy.lose_request("set_data", nth=2)            # the second set from now never reaches the server
        proxy.lose_reply("multi", then="freeze")         # swallowed, and the connection stays open, silent for good
        proxy.cut_after("create", of="reply")            # the client gets its reply, and then the end
        proxy.cut_inside("get_data", after_bytes=7)      # seven bytes of a reply, and then the end
        proxy.corrupt("get_data", damage="length")       # a reply whose length is none
        proxy.freeze("to_client")                        # requests still arrive, replies wait for heal()
        proxy.freeze(seconds=2.0)                        # a dead network for two seconds: nothing passes
        proxy.delay(0.2, "get_data")                     # each get's reply (and what is behind it) 0.2 s later
        proxy.slow(10_000)                               # ten kilobytes a second, each way
        proxy.chop(1)                                    # byte by byte
        proxy.refuse()                                   # new connections are closed at once
        proxy.cut(how="reset")                           # every connection ends now, with a TCP reset
        proxy.half_open(keep="client")                   # the server sees a FIN, the client nothing
        proxy.expire_session()                           # the server ends the session; the client hears when it returns
        proxy.move_session()                             # another connection takes the session over
        proxy.script("lose_reply create nth=2; delay 0.2 get_data")
        run = proxy.random(seed=7)                       # a little of everything; run.script says what
        proxy.heal()                                     # no more faults

        proxy.wait_for("ping", count=2)                  # until two pings reached the server
        mark = proxy.mark()
        proxy.wait_for(lambda passed: passed.kind == "create" and passed.error == -110, since=mark)

Rule: nothing is duplicated, reordered or invented. TCP cannot lose one message and keep the next, so a lost frame is
always the last one of its connection in its direction: the connection is then cut, or frozen for good (`heal` cuts it).
Earlier frames of that direction are still delivered first.

Kinds are named as in `zk_testing.faults.kinds`: "create" (every way to create), "delete", "set_data", "get_data",
"multi", "ping", "connect", "notification", "read", "write", "any", ... or one `OpCode`. Rules count the frames that
pass from the moment they are set, over all connections; `nth=1` is the next one.

`FaultProxy` is the one on TCP. `MemoryFaults` says the same in front of a server in memory, in virtual time.

    language rules effects corruption chance     what may be said
    core rulebook link lane conversation         what it means for each frame: no I/O, no clock
    fault record sessions kinds                  what happened
    proxy relay, memory                          who moves the bytes
"""

from __future__ import annotations

from .chance import DEFAULT_RATES, RandomFaults
from .corruption import Damage
from .effects import Direction, How, Part, Side, Then, Way
from .fault import Fault
from .language import FaultLanguage
from .proxy import FaultProxy, HasAddress
from .record import Passed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .memory import FaultyConnection, MemoryFaults

__all__ = [
    "DEFAULT_RATES",
    "Damage",
    "Direction",
    "Fault",
    "FaultLanguage",
    "FaultProxy",
    "FaultyConnection",
    "HasAddress",
    "How",
    "MemoryFaults",
    "Part",
    "Passed",
    "RandomFaults",
    "Side",
    "Then",
    "Way",
]


def __getattr__(name: str) -> object:
    """Load the proxy in memory only for those who use it."""
    if name in ("FaultyConnection", "MemoryFaults"):
        from . import memory

        return getattr(memory, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
