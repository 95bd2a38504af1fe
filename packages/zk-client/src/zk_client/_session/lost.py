"""Writes whose connection ended before their reply came, until their outcome is known.

Rule: every write handed in comes out exactly once, with a verdict; what cannot be found out in time is unknown.
"""

from __future__ import annotations

from .. import _wire
from .recovery import UNKNOWN, Answer, Situation, Verdict
from .steps import Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from zk_wire import Request

    from ..calls import Call
    from .recovery import Investigation


class LostWrites:
    """The lost writes of a session, and the investigation of them on its next connection.

    finish: called with each write and its verdict, in the order the writes were sent.
    """

    __slots__ = ("_finish", "_forgotten", "_lost", "_open", "_verdicts", "interruptions", "investigating", "since")

    def __init__(self, finish: Callable[[Call[Any], Verdict], None]) -> None:
        self._finish = finish
        self._lost: list[tuple[Call[Any], int]] = []
        self._verdicts: list[Verdict | None] = []
        # Names that writes without an investigation may have touched since the last one.
        self._forgotten: dict[str, None] = {}
        self._open = 0
        self.since = 0.0
        self.interruptions = 0  # connections that ended before the verdicts were in
        self.investigating = False

    def __len__(self) -> int:
        return len(self._lost)

    @property
    def waited_for(self) -> bool:
        """Whether anybody waits for one of them; what is only to be undone may take as long as the session lives."""
        return any(not call.to_undo for call, _ in self._lost)

    def __contains__(self, call: object) -> bool:
        return any(lost is call for lost, _ in self._lost)

    def add(self, calls: Sequence[Call[Any]], baseline: int, now: float) -> None:
        """Take writes in the order they were sent; `baseline` is the highest zxid a reply had shown."""
        if not self.waited_for:
            self.since = now
            self.interruptions = 0
        self._lost.extend((call, baseline) for call in calls)

    def forget(self, call: Call[Any]) -> None:
        """A write that was sent is not looked up; still it may be what others find traces of."""
        if call.recovery is not None:
            self._forgotten.update(dict.fromkeys(call.recovery.rivals()))

    def give_up(self) -> None:
        """Declare everything unknown that somebody waits for."""
        self.investigating = False
        for call in self._keep_what_is_to_undo():
            self.forget(call)
            self._finish(call, UNKNOWN)

    def _keep_what_is_to_undo(self) -> list[Call[Any]]:
        lost = self._lost
        self._lost = [(call, baseline) for call, baseline in lost if call.to_undo]
        return [call for call, _ in lost if not call.to_undo]

    def take(self) -> list[Call[Any]]:
        """Hand every write back without a verdict: the session they belong to is over."""
        lost, self._lost = self._lost, []
        self._forgotten.clear()
        self.investigating = False
        return [call for call, _ in lost]

    def interrupted(self) -> None:
        """The connection ended in the middle of the questions: they are asked again on the next one."""
        self.interruptions += self.investigating
        self.investigating = False

    def investigate(
        self,
        session_id: int,
        ask: Callable[[Request[Any], Callable[[Step, float], None]], None],
        done: Callable[[float], None],
    ) -> None:
        """Ask about every write; `done(now)` is called when the last verdict is in."""
        self.investigating = True
        self._verdicts = [None] * len(self._lost)
        self._open = len(self._lost)
        rivals = dict.fromkeys(self._forgotten, 1)
        for call, _ in self._lost:
            for name in call.recovery.rivals() if call.recovery is not None else ():
                rivals[name] = rivals.get(name, 0) + 1

        def agreed(step: Step, now: float) -> None:
            # A read-only server refuses it; what that shows may be old, so nothing follows from it.
            if step.error:
                self.give_up()
                done(now)
                return
            for index, (call, baseline) in enumerate(self._lost):
                assert call.recovery is not None
                alone = all(rivals[name] == 1 for name in call.recovery.proofs())
                investigation = call.recovery.investigate(Situation(baseline, session_id, alone))
                self._advance(index, investigation, None, ask, done, now)

        # Whether the check itself succeeds is of no importance: it was agreed on either way.
        ask(_wire.MultiRequest([_wire.CheckVersionRequest("/", -1)]), agreed)

    def _advance(
        self,
        index: int,
        investigation: Investigation,
        answers: list[Answer] | None,
        ask: Callable[[Request[Any], Callable[[Step, float], None]], None],
        done: Callable[[float], None],
        now: float,
    ) -> None:
        try:
            questions = next(investigation) if answers is None else investigation.send(answers)
        except StopIteration as end:
            self._verdicts[index] = end.value
            self._open -= 1
            if not self._open:
                # Whatever they did lies before the zxid of the first answer, and so before the next baseline.
                self._forgotten.clear()
                self._conclude(now, done)
            return
        collected: list[Answer] = []

        def answered(step: Step, now: float) -> None:
            collected.append(Answer(step.error, step.reply))
            if len(collected) == len(questions):
                self._advance(index, investigation, collected, ask, done, now)

        for question in questions:
            ask(question, answered)

    def _conclude(self, now: float, done: Callable[[float], None]) -> None:
        lost, self._lost = self._lost, []
        self.investigating = False
        for (call, _), verdict in zip(lost, self._verdicts, strict=True):
            self._finish(call, verdict if verdict is not None else UNKNOWN)
        done(now)
