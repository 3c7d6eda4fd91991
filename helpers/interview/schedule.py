"""When a question comes back, by the FSRS scheduler (``py-fsrs``), from the log alone."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from fsrs import Card, Rating, Scheduler

from helpers.interview.log import Attempt

# Steps of minutes are for vocabulary; an interview question comes back after a day at the earliest,
# and after three months at the latest: who prepares for an interview has one before that.
LONGEST_GAP_DAYS = 90
_SCHEDULER = Scheduler(
    learning_steps=(),
    relearning_steps=(),
    maximum_interval=LONGEST_GAP_DAYS,
    enable_fuzzing=False,
)


class Memory(NamedTuple):
    """What the scheduler believes about one question.

    Attributes
    ----------
    question
        Its id.
    due
        When it should come back.
    recall
        Probability that the candidate could answer it now.
    times
        How often it was answered.
    """

    question: str
    due: datetime
    recall: float
    times: int


def rating(points: float, confidence: float) -> Rating:
    """Turn points and confidence into one of the scheduler's four ratings.

    Under half of the points is *again*, under three quarters *hard*. From there on the answer was
    good; *easy* only if the candidate expected as much, since what was right by luck must come
    back as soon as any other.
    """
    if points < 0.5:
        return Rating.Again
    if points < 0.75:
        return Rating.Hard
    return Rating.Easy if points >= 0.95 and confidence >= 0.85 else Rating.Good


def memories(attempts: Iterable[Attempt], now: datetime) -> list[Memory]:
    """Replay all scored attempts.

    Parameters
    ----------
    attempts
        As a log has them; those without points are left out.
    now
        The present moment, in UTC.

    Returns
    -------
    list of Memory
        One a question that was ever scored, the one due first in front.
    """
    cards: dict[str, Card] = {}
    times: dict[str, int] = {}
    for attempt in sorted(attempts, key=lambda attempt: attempt.at):
        if attempt.points is None:
            continue
        card = cards.get(attempt.question) or Card(card_id=len(cards) + 1, due=attempt.at)
        grade = rating(attempt.points, attempt.confidence)
        cards[attempt.question], _ = _SCHEDULER.review_card(card, grade, attempt.at)
        times[attempt.question] = times.get(attempt.question, 0) + 1
    found = [
        Memory(name, card.due, _SCHEDULER.get_card_retrievability(card, now), times[name])
        for name, card in cards.items()
    ]
    return sorted(found, key=lambda memory: (memory.due, memory.question))


def due(attempts: Iterable[Attempt], now: datetime) -> list[str]:
    """Return the ids of the questions that are due, the longest overdue first."""
    return [memory.question for memory in memories(attempts, now) if memory.due <= now]
