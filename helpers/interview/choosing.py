"""Choose the questions of a mock or a drill."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence

from helpers._text import nearest
from helpers.errors import InterviewError
from helpers.interview.log import Attempt
from helpers.interview.question import Question
from helpers.interview.vocabulary import FORMATS, LEVELS, TOPICS


def select(
    bank: Mapping[str, Question],
    levels: Collection[str] = (),
    topics: Collection[str] = (),
    formats: Collection[str] = (),
) -> list[Question]:
    """Return the questions of the given levels, topics and formats; none given means all.

    Raises
    ------
    InterviewError
        If a word is unknown, or no question is left.
    """
    for kind, words, known in (
        ("level", levels, LEVELS),
        ("topic", topics, tuple(TOPICS)),
        ("format", formats, tuple(FORMATS)),
    ):
        for word in words:
            if word not in known:
                raise InterviewError(f"there is no {kind} {word!r}; {nearest(word, known)}")
    found = [
        question
        for question in bank.values()
        if (not levels or question.level in levels)
        and (not topics or question.topic in topics)
        and (not formats or question.format in formats)
    ]
    if not found:
        raise InterviewError("no question is left: ask for fewer things at once.")
    return found


def choose_mock(
    questions: Iterable[Question], minutes: int, attempts: Sequence[Attempt], rng: random.Random
) -> list[Question]:
    """Fill the time of a mock with questions of many topics and formats, the unseen ones first.

    Parameters
    ----------
    questions
        What to choose from.
    minutes
        Time for all answers together.
    attempts
        What was answered before.
    rng
        Decides among equals.

    Returns
    -------
    list of Question
        In the order to ask them: the levels rise.

    Raises
    ------
    InterviewError
        If not even one question fits.
    """
    rest = list(questions)
    rng.shuffle(rest)
    seen = Counter(attempt.question for attempt in attempts)
    chosen: list[Question] = []
    left = minutes
    while fitting := [q for q in rest if q.minutes <= left]:
        topics = Counter(q.topic for q in chosen)
        formats = Counter(q.format for q in chosen)
        best = min(fitting, key=lambda q: (topics[q.topic] + formats[q.format], seen[q.id]))
        chosen.append(best)
        rest.remove(best)
        left -= best.minutes
    if not chosen:
        shortest = min((q.minutes for q in rest), default=0)
        raise InterviewError(f"minutes={minutes} is too short: the shortest takes {shortest}.")
    return sorted(chosen, key=lambda question: LEVELS.index(question.level))


def choose_drill(
    questions: Iterable[Question], attempts: Sequence[Attempt], rng: random.Random
) -> list[Question]:
    """Order questions for a drill: the least practised first, chance among equals."""
    found = list(questions)
    rng.shuffle(found)
    seen = Counter(attempt.question for attempt in attempts)
    return sorted(found, key=lambda question: seen[question.id])
