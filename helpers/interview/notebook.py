"""The same practice in a notebook: one cell asks, the next one commits.

>>> from helpers.course.interview import practice
>>> desk = practice()
>>> desk.ask(topic="differential-privacy")            # shows a question
>>> desk.commit("ε bounds ...", confidence=0.7)       # then shows the rubric, or the score
>>> desk.tick(1, 3)                                   # prose only: then the model answer
>>> desk.dig(had_it=True)                             # the next follow-up
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping

from helpers._text import nearest
from helpers.errors import InterviewError
from helpers.interview import choosing
from helpers.interview.checking import Outside
from helpers.interview.log import PracticeLog
from helpers.interview.pages import asked
from helpers.interview.preparing import prepare
from helpers.interview.question import Question
from helpers.interview.schedule import due
from helpers.interview.scoring import Score
from helpers.interview.sitting import Clock, Sitting


class Practice:
    """Practice at a notebook, over the same log as the terminal.

    Parameters
    ----------
    bank
        Questions by id.
    log
        Where answers go.
    outside
        Computes and runs.
    clock
        Gives the present moment in UTC.
    rng
        Decides among questions practised equally often.
    show
        Shows Markdown; in a notebook that is IPython's display.
    """

    def __init__(
        self,
        bank: Mapping[str, Question],
        log: PracticeLog,
        outside: Outside,
        clock: Clock,
        rng: random.Random,
        show: Callable[[str], None],
    ) -> None:
        self._bank, self._log, self._outside = bank, log, outside
        self._clock, self._rng, self._show = clock, rng, show
        self._sitting: Sitting | None = None
        self._dug = -1  # the follow-up that was shown last

    def ask(self, id: str = "", *, level: str = "", topic: str = "", format: str = "") -> None:
        """Show a question: this very one, or the one of that level, topic and format practised
        least; questions that are due come before all others.

        Raises
        ------
        InterviewError
            If there is no such question, or none that fits.
        """
        question = self._named(id) if id else self._next(level, topic, format)
        prepared = prepare(question, self._outside.calculate)
        self._sitting = Sitting(prepared, self._log, self._outside, self._clock, "notebook")
        self._dug = -1
        kind = f"{question.level} · {question.topic} · {question.format} · {question.minutes} min"
        self._show(f"### {question.title}\n\n*{kind}*\n\n{asked(prepared)}")

    def commit(self, answer: str, confidence: float) -> None:
        """Commit an answer and the share of the points you expect; then see rubric or score.

        Raises
        ------
        InterviewError
            If no question was asked for, or as for :meth:`Sitting.commit`.
        """
        sitting = self._current()
        score = sitting.commit(answer, confidence)
        if score is None:
            hint = "Then `tick(1, 3)` the points that are in your answer, or `tick()` for none."
            self._show(f"{sitting.excuse}\n\n**Rubric**\n\n{sitting.rubric}\n\n{hint}")
        else:
            self._show_score(score)

    def tick(self, *points: int) -> None:
        """Tick rubric points, numbers from 1, and see the model answer.

        Raises
        ------
        InterviewError
            If no question was asked for, or as for :meth:`Sitting.tick`.
        """
        self._show_score(self._current().tick([point - 1 for point in points]))

    def dig(self, had_it: bool | None = None) -> None:
        """Show the next follow-up; say first whether you had the one before.

        Raises
        ------
        InterviewError
            If no question was asked for, or no answer is committed.
        """
        sitting = self._current()
        sitting.require_commitment()
        chain = sitting.question.follow_ups
        text = ""
        if 0 <= self._dug < len(chain):
            if had_it is not None:
                sitting.follow_up(had_it)
            text = f"{chain[self._dug].answer}\n\n"
        self._dug = min(self._dug + 1, len(chain))
        if self._dug < len(chain):
            text += f"**Follow-up {self._dug + 1} of {len(chain)}:** {chain[self._dug].question}"
        self._show(text or "That was the last one.")

    def _named(self, id: str) -> Question:
        if id not in self._bank:
            raise InterviewError(f"there is no question {id!r}; {nearest(id, self._bank)}")
        return self._bank[id]

    def _next(self, *words: str) -> Question:
        fitting = choosing.select(self._bank, *([word] if word else [] for word in words))
        ids = {question.id for question in fitting}
        attempts = self._log.read().attempts
        waiting = [name for name in due(attempts, self._clock()) if name in ids]
        if waiting:
            return self._bank[waiting[0]]
        return choosing.choose_drill(fitting, attempts, self._rng)[0]

    def _current(self) -> Sitting:
        if self._sitting is None:
            raise InterviewError("ask() for a question first.")
        return self._sitting

    def _show_score(self, score: Score) -> None:
        self._show(f"**{score.points:.0%}** {score.text}\n\n{self._current().model_answer}")
