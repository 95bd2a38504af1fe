"""Whether a caller that is about to block runs inside an asyncio loop, which would halt with it.

Rule: asyncio is never imported to find out; where a loop runs, somebody has.
"""

from __future__ import annotations

import sys

from ..errors import ConfigurationError

_modules = sys.modules


def refuse_running_loop() -> None:
    """Raise ConfigurationError when an asyncio loop runs in this thread."""
    events = _modules.get("asyncio.events")
    if events is not None and events._get_running_loop() is not None:
        raise ConfigurationError(
            "a call that blocks was made inside a running asyncio loop, all of which would halt until it returns: "
            "use AsyncClient there, or await asyncio.to_thread(...)"
        )
