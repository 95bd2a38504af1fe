"""What differs between the releases of ZooKeeper, as one value.

Rule: everything else in this package asks the profile, never a version number.

Source: the release tags of ZooKeeper, and conversations with servers of each line.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["LINES", "Profile", "profile_of"]

# What a name stands for: the release that the same name means to `start_cluster`, and that this package was compared
# with. Only 3.10 is neither: it is unreleased, and what is known of it is read in its sources of July 2026 and heard
# from a server built of them. So "newest" is not 3.10: a test means the same on an embedded server and on a real one.
LINES = {"3.6": "3.6.4", "3.7": "3.7.2", "3.8": "3.8.7", "3.9": "3.9.6", "3.10": "3.10.0", "newest": "3.9.6"}

_VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)")


@dataclass(frozen=True, slots=True)
class Profile:
    """How the servers of one release behave, where releases differ.

    version: the exact release.   who_am_i, hard_quotas: known at all.   create2_in_multi: it answers with a Stat there,
    and a container's opcode makes a container.   filters_events: an event goes only to connections that may read the
    node; exists asks for the same permission.   filters_catch_up: also the events that set-watches sends at once.
    separate_watch_modes: a path may have watches of several modes.   event_zxids: notifications carry the zxid of their
    change.   refuses_plain_check: check outside a multi is unknown.   delete_container: clients reach that operation.
    closes_on_delete_container: they lose their connection by it.   read_only_needs_local_sessions: without them, a
    read-only server grants no session.   ipv6_acls: accepted.   version_skips_minus_one: a data version goes from -2 to
    0.   garbage_takes_zxid: also a write that cannot be decoded counts as one.
    iso_build_date: `srvr` says built on 2022-12-18 and not 12/18/2022, which some clients insist on.
    never_used_ms: after which a container that never had children goes; 0 is never.
    """

    version: str
    who_am_i: bool
    hard_quotas: bool
    create2_in_multi: bool
    filters_events: bool
    separate_watch_modes: bool
    event_zxids: bool
    refuses_plain_check: bool
    delete_container: bool
    closes_on_delete_container: bool
    filters_catch_up: bool
    read_only_needs_local_sessions: bool
    ipv6_acls: bool
    version_skips_minus_one: bool
    garbage_takes_zxid: bool
    iso_build_date: bool
    never_used_ms: int


def profile_of(version: str) -> Profile:
    """Return the profile of a release ("3.8.4"), a line ("3.9") or "newest", which is the newest release.

    Raises ValueError for what is neither, and for versions before 3.6.
    """
    exact = LINES.get(version, version)
    match = _VERSION.fullmatch(exact)
    if match is None:
        raise ValueError(f'version is a release ("3.8.4"), a line of {", ".join(LINES)}, not {version!r}')
    release = tuple(map(int, match.groups()))
    if not (3, 6, 0) <= release < (3, 11, 0):
        raise ValueError(f"versions 3.6 to 3.10 can be embedded, not {version!r}")

    def since(*fixes: tuple[int, int, int]) -> bool:
        """Whether one of these releases, or of a later one in its line, has it; the last is for all lines after."""
        return release >= fixes[-1] or any(fix <= release and fix[:2] == release[:2] for fix in fixes)

    # Seen in these releases, and not on the 3.10 of July 2026.
    hardened = (3, 8, 7) <= release < (3, 9, 0) or (3, 9, 6) <= release < (3, 10, 0)
    return Profile(
        version=exact,
        who_am_i=since((3, 7, 0)),
        hard_quotas=since((3, 7, 0)),
        create2_in_multi=since((3, 7, 2), (3, 8, 2), (3, 9, 0)),
        filters_events=since((3, 8, 4), (3, 9, 2)),
        separate_watch_modes=since((3, 9, 0)),
        event_zxids=since((3, 9, 0)),
        refuses_plain_check=since((3, 8, 5), (3, 9, 3)),
        delete_container=since((3, 9, 0)),
        closes_on_delete_container=hardened,
        filters_catch_up=hardened,
        read_only_needs_local_sessions=since((3, 7, 0)),
        ipv6_acls=since((3, 9, 4)),
        version_skips_minus_one=since((3, 10, 0)),
        garbage_takes_zxid=not since((3, 9, 0)),
        iso_build_date=since((3, 7, 0)),
        never_used_ms=300_000 if since((3, 10, 0)) else 0,
    )
