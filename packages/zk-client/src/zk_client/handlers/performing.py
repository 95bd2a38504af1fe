"""Performs what the session core asks for, in the server's order; every world's handler does it the same way.

Rule: who sees a reply has seen the events of what it reflects. So calls are completed before and between what users
are told, as the core counts (`after`). How a world tells, connects or waits is in the methods that it fills in.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from .._session.actions import ChangeState, Connect, Deliver, Disconnect, Log, Probe
from .._session.machine import IDLE
from ..states import SessionState

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .._session.actions import Action
    from .._session.core import SessionCore
    from ..calls import Call


class Performing(ABC):
    """A handler's part between the core and the world; a world overrides everything but `act`."""

    core: SessionCore

    def act(self) -> None:
        """Perform the actions, and complete the calls before and between those users see."""
        core = self.core
        actions = tuple(core.actions)
        calls = tuple(core.completed)
        acted = settled = 0
        try:
            core.actions.clear()
            core.completed.clear()
            for action in actions:
                if isinstance(action, (Deliver, ChangeState)):
                    for call in calls[settled : action.after]:
                        self._settle(call)
                    settled = max(settled, action.after)
                self._act_on(action)
                acted += 1
            for call in calls[settled:]:
                self._settle(call)
        except BaseException:
            # An interrupt: what was not done is done the next time, and a call rather twice than never.
            core.actions[:0] = actions[acted:]
            core.completed[:0] = calls
            raise
        if core.phase == IDLE:
            self._over()

    def _act_on(self, action: Action) -> None:
        if isinstance(action, Deliver):
            listener = action.listener
            if getattr(listener, "runs_inline", False):
                listener(action.event)
            else:
                self._tell(listener, action.event)
        elif isinstance(action, ChangeState):
            self._change(action.state)
        elif isinstance(action, Connect):
            self._connect(action)
        elif isinstance(action, Disconnect):
            self._disconnect()
        elif isinstance(action, Probe):
            self._probe(action)
        else:
            self._note(action)

    def _is_settled(self, state: SessionState) -> bool:
        """Whether who waits for a connection need not wait on: there is one, or there will be none."""
        if state is SessionState.EXPIRED:
            return not self.core.config.renew_after_expiry
        return state is not SessionState.CONNECTING and state is not SessionState.SUSPENDED

    @abstractmethod
    def _settle(self, call: Call[Any]) -> None:
        """Mark a call as done, wake whoever waits for it, and have its callbacks run."""

    @abstractmethod
    def _tell(self, listener: Any, event: Any) -> None:
        """Have the user's function called, after everything told before, never here."""

    @abstractmethod
    def _change(self, state: SessionState) -> None:
        """Tell the listeners of the state."""

    @abstractmethod
    def _connect(self, action: Connect) -> None:
        """Begin to connect, in place of whatever attempt there is."""

    @abstractmethod
    def _disconnect(self) -> None:
        """End the connection, or the attempt at one."""

    @abstractmethod
    def _probe(self, action: Probe) -> None:
        """Look for a read-write server, and tell the core."""

    @abstractmethod
    def _note(self, action: Log) -> None:
        """Log a line."""

    @abstractmethod
    def _over(self) -> None:
        """Nothing is left of the session."""
