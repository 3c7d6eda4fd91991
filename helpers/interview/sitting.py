"""One question being answered: first the commitment, then everything else.

Terminal and notebook both go through a :class:`Sitting`, so neither can show a rubric before an
answer and a confidence are on the disk.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import datetime

from helpers.errors import InterviewError, SandboxError
from helpers.interview.checking import Outside, expected_results
from helpers.interview.log import Attempt, PracticeLog, new_id
from helpers.interview.question import Code, Question
from helpers.interview.scoring import (
    Score,
    judge_cases,
    read_number,
    score_choice,
    score_number,
    score_threats,
    score_ticks,
)

Clock = Callable[[], datetime]
LETTERS = "abcdefghijklmnopqrstuvwxyz"


class Sitting:
    """A question in front of a candidate.

    Parameters
    ----------
    question
        Prepared: its numbers are computed.
    log
        Where answers go.
    outside
        Where code runs.
    clock
        Gives the present moment in UTC.
    sitting
        Id of the mock, or a word such as ``"drill"``.
    """

    def __init__(
        self, question: Question, log: PracticeLog, outside: Outside, clock: Clock, sitting: str
    ) -> None:
        self.question, self._log, self._outside, self._clock = question, log, outside, clock
        self._sitting, self._began = sitting, clock()
        self._attempt = ""
        self._scored = False
        self.seconds = 0.0  # from question to answer
        self.excuse = ""  # why a machine could not score what it should have

    def commit(self, answer: str, confidence: float) -> Score | None:
        """Commit an answer; it is scored at once where a machine can.

        Parameters
        ----------
        answer
            Prose, a number, the letter of a choice, letters of threats, or code.
        confidence
            Share of the points that the candidate expects, 0 to 1.

        Returns
        -------
        Score or None
            None for prose, and for code where there is no sandbox: look at the rubric, then
            :meth:`tick`.

        Raises
        ------
        InterviewError
            If the answer cannot be read as its format asks, or one is committed already; nothing
            is written then.
        """
        if self._attempt:
            raise InterviewError("this answer is committed: take the next question.")
        if not 0 <= confidence <= 1:
            raise InterviewError(f"confidence={confidence!r} must lie between 0 and 1.")
        self.require_readable(answer)
        moment = self._clock()
        attempt = Attempt(
            id=new_id(),
            at=moment,
            question=self.question.id,
            sitting=self._sitting,
            answer=answer,
            confidence=confidence,
            seconds=(moment - self._began).total_seconds(),
        )
        self.seconds = attempt.seconds
        self._log.commit(attempt)
        return self._score(attempt.id, answer)

    def reopen(self, attempt: Attempt) -> Score | None:
        """Take up an answer that was committed, and not scored because the process ended between.

        Parameters
        ----------
        attempt
            Of this question, as the log has it.

        Returns
        -------
        Score or None
            As from :meth:`commit`.

        Raises
        ------
        InterviewError
            If it is of another question, or waits for no score.
        """
        if self._attempt or attempt.points is not None or attempt.question != self.question.id:
            raise InterviewError("this is no answer to this question that waits for its score.")
        return self._score(attempt.id, attempt.answer)

    def require_readable(self, answer: str) -> None:
        """Raise InterviewError unless an answer can be read as its format asks."""
        self._read(answer)

    def _score(self, attempt: str, answer: str) -> Score | None:
        """Score what is committed where a machine can."""
        self._attempt = attempt
        code = self.question.code
        score = self._read(answer) if code is None else self._run(answer, code)
        if score is not None:
            self._log.score(attempt, score.points)
            self._scored = True
        return score

    def tick(self, points: Sequence[int]) -> Score:
        """Score committed prose by the rubric points found in it, numbers from 0.

        Raises
        ------
        InterviewError
            If no answer is committed, it was scored by machine, or there is no such point.
        """
        self.require_commitment()
        if self._scored:
            raise InterviewError("this answer was scored by machine.")
        wrong = [index for index in points if not 0 <= index < len(self.question.rubric)]
        if wrong:
            raise InterviewError(f"the rubric has points 1 to {len(self.question.rubric)}.")
        score = score_ticks(points, self.question)
        self._log.score(self._attempt, score.points, sorted(set(points)))
        return score

    def follow_up(self, had_it: bool) -> None:
        """Note whether the candidate had the next follow-up.

        Raises
        ------
        InterviewError
            If no answer is committed.
        """
        self.require_commitment()
        self._log.follow_up(self._attempt, had_it)

    @property
    def rubric(self) -> str:
        """The rubric as numbered lines; InterviewError before the commitment."""
        self.require_commitment()
        return "\n".join(
            f"{number}. {point.text} [{point.weight}]"
            for number, point in enumerate(self.question.rubric, 1)
        )

    @property
    def model_answer(self) -> str:
        """The model answer, a wrong one and the mistake, Markdown.

        Raises
        ------
        InterviewError
            If no answer is committed.
        """
        self.require_commitment()
        question = self.question
        code = f"```python\n{question.code.solution}\n```\n\n" if question.code else ""
        return (
            f"**Model answer**\n\n{code}{question.answer}\n\n"
            f"**What a wrong answer sounds like**\n\n{question.wrong_answer}\n\n"
            f"**The mistake**\n\n{question.mistake}"
        )

    def require_commitment(self) -> None:
        """Raise InterviewError unless an answer is committed."""
        if not self._attempt:
            raise InterviewError("commit an answer and a confidence first.")

    def _read(self, answer: str) -> Score | None:
        """Read an answer as its format asks, and score it if that takes no more than reading."""
        question = self.question
        if not answer.strip():
            raise InterviewError("the answer is empty: write one, or skip the question.")
        if question.numeric is not None:
            unit = "" if question.numeric.unit == "1" else question.numeric.unit
            return score_number(read_number(answer.strip().removesuffix(unit)), question.numeric)
        if question.format == "choice":
            chosen = _options(answer, question)
            if len(chosen) != 1:
                raise InterviewError("choose one option: type its letter.")
            return score_choice(chosen[0], question)
        if question.format == "select-the-threats":
            return score_threats(_options(answer, question), question)
        return None

    def _run(self, answer: str, code: Code) -> Score | None:
        expected = expected_results(code, self._outside.calculate)
        try:
            results = self._outside.run_code(answer, code)
        except SandboxError as error:
            self.excuse = f"The code was not run: {error}. Score it by the rubric."
            return None
        return judge_cases(results, expected, code)


def _options(answer: str, question: Question) -> list[int]:
    known = LETTERS[: len(question.options)]
    words = re.findall(r"[a-z]+", answer.lower())
    # "a c" and "a, c", but also "ac"
    letters = list(words[0]) if len(words) == 1 and set(words[0]) <= set(known) else words
    if not letters or any(len(word) != 1 or word not in known for word in letters):
        raise InterviewError(f"type letters from {known[0]} to {known[-1]}, such as: a c")
    return sorted({known.index(letter) for letter in letters})
