"""States: the table of allowed changes is closed and leads everywhere."""

from __future__ import annotations

from zk_client.states import ALLOWED, SessionState


def test_every_state_has_a_row_and_no_row_leads_to_itself() -> None:
    assert set(ALLOWED) == set(SessionState)
    assert all(state not in following for state, following in ALLOWED.items())


def test_every_state_can_be_reached_from_closed_and_can_reach_closed() -> None:
    for start, goal in [(SessionState.CLOSED, state) for state in SessionState] + [
        (state, SessionState.CLOSED) for state in SessionState
    ]:
        reached = {start}
        while not reached >= (more := reached.union(*(ALLOWED[state] for state in reached))):
            reached = more
        assert goal in reached


def test_only_the_two_connected_states_are_connected() -> None:
    assert {state for state in SessionState if state.is_connected} == {
        SessionState.CONNECTED,
        SessionState.CONNECTED_READ_ONLY,
    }


def test_a_state_prints_and_compares_as_its_text() -> None:
    assert f"{SessionState.SUSPENDED}" == str(SessionState.SUSPENDED) == "suspended"
    assert SessionState("connected read-only") is SessionState.CONNECTED_READ_ONLY
