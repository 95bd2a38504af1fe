"""Which world a blocking client lives in, and which states of a process cannot carry it.

Rule: gevent is never imported to find out; who has patched something has imported it already.

What gevent's monkey patching does to a client, by what is patched (each case was tried):

threading            `threading` makes greenlets: the client runs on greenlets, whatever else is patched, because the
                     gevent runtime needs nothing of what is patched or not. A runtime of native threads would halt
                     every greenlet while it waits for sockets that are not patched, or wait to send where it must
                     not for those that are.
socket,              greenlets and native threads live side by side: a client of threads would wait on the hub of
not threading        one thread for a socket that belongs to another's ("Cannot switch to a different thread"). Only
                     a gevent runtime can be meant, and only its thread may use it; so it has to be asked for.
anything else        changes nothing for a client.
"""

from __future__ import annotations

import sys

from ..errors import ConfigurationError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal

    from .base import Runtime


def choose(runtime: Runtime | Literal["threads", "gevent"] | None) -> Runtime:
    """The runtime asked for; by default the one that `threading` stands for in this process.

    Raises ConfigurationError when it cannot work in this process, or there is no such runtime.
    """
    if runtime == "gevent" or (runtime in (None, "threads") and is_patched("threading")):
        from .gevent import GeventRuntime

        runtime = GeventRuntime()
    elif runtime is None or runtime == "threads":
        from .threading import ThreadRuntime

        runtime = ThreadRuntime()
    elif isinstance(runtime, str):
        raise ConfigurationError(f'runtime must be "threads", "gevent" or a runtime, not {runtime!r}')
    runtime.check()
    return runtime


def check_threads() -> None:
    """Raise ConfigurationError when native threads cannot carry a client in this process."""
    if is_patched("threading"):
        raise ConfigurationError(
            "threads are greenlets in this process (gevent has patched `threading`), but this client was made for "
            "native threads: call gevent.monkey.patch_all() before anything makes a client, and leave `runtime` out"
        )
    if is_patched("socket"):
        raise ConfigurationError(
            "gevent has patched `socket` but not `threading`, so a client of native threads would wait on the hub of "
            'one thread for a socket of another\'s: pass runtime="gevent", which needs nothing patched, or patch '
            "everything with gevent.monkey.patch_all()"
        )


def is_patched(module: str) -> bool:
    """Whether gevent has made a module of the standard library cooperative."""
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and bool(monkey.is_module_patched(module))
