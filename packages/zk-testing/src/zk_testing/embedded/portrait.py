"""What the four-letter words say of a member because it belongs to an ensemble.

Rule: looks, and changes nothing. The lines are those of real members (seen on 3.6, 3.8 and 3.9).
"""

from __future__ import annotations

from collections.abc import Sequence

from .admin import session_sets
from .front import Mode
from .leadership import Leadership
from .member import Member
from .tree import CONFIG

__all__ = ["portrait"]


def portrait(
    member: Member, term: Leadership | None, learners: Sequence[Member], *, voters: int, sync_limit: int
) -> dict[str, list[str]]:
    """Return further lines by word.   term: if it leads.   learners: who learns from it, then."""
    membership = (member.tree.nodes[CONFIG].data or b"").decode()
    configuration = [
        "initLimit=50",
        f"syncLimit={sync_limit}",
        "electionAlg=3",
        f"electionPort={3887 + member.number}",
        f"quorumPort={2887 + member.number}",
        f"peerType={int(not member.voting)}",
        "membership: ",
        *membership.split("\n"),
    ]
    status: list[str] = []
    measures = [f"zk_quorum_size\t{voters}"]
    if term is not None:
        status.append("Proposal sizes last/min/max: -1/-1/-1")
        measures += [
            "zk_peer_state\tleading - broadcast",
            f"zk_synced_followers\t{sum(other.voting for other in learners)}",
            "zk_synced_non_voting_followers\t0",
            f"zk_synced_observers\t{sum(not other.voting for other in learners)}",
        ]
    elif member.mode is Mode.SERVING:
        measures.append(f"zk_peer_state\t{'following' if member.voting else 'observing'} - broadcast")
    return {"conf": configuration, "srvr": status, "mntr": measures, "dump": _sessions(member, term)}


def _sessions(member: Member, term: Leadership | None) -> list[str]:
    lines: list[str] = []
    local = member.settings.local_sessions
    if local:
        first, *rest = session_sets(member.local_sessions.buckets())
        lines += [f"Local {first}", *rest]
    if term is not None:
        first, *rest = session_sets(term.sessions.buckets())
        return [*lines, f"Global {first}" if local else first, *rest]
    return [
        *lines,
        f"Global Sessions({len(member.global_sessions)}):",
        *(f"0x{number & (1 << 64) - 1:x}\t{timeout_ms}ms" for number, timeout_ms in member.global_sessions.items()),
    ]
