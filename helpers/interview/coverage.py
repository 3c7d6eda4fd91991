"""What the bank covers, and what of it the candidate has practised."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from helpers.interview.log import Attempt
from helpers.interview.question import Question
from helpers.interview.vocabulary import LEVELS, TOPICS


class Row(NamedTuple):
    """One line of a coverage report.

    Attributes
    ----------
    name
        Topic, level or chapter.
    questions
        Questions of the bank.
    answered
        Of these, answered and scored at least once.
    points
        Mean of the latest points of those; None if there are none.
    """

    name: str
    questions: int
    answered: int
    points: float | None


def by_topic(bank: Mapping[str, Question], attempts: Sequence[Attempt]) -> list[Row]:
    """Return one row a topic, in the order of the course, topics without questions too."""
    groups: dict[str, list[str]] = {topic: [] for topic in TOPICS}
    for question in bank.values():
        groups[question.topic].append(question.id)
    return _rows(groups, attempts)


def by_level(bank: Mapping[str, Question], attempts: Sequence[Attempt]) -> list[Row]:
    """Return one row a level, from junior to principal."""
    groups: dict[str, list[str]] = {level: [] for level in LEVELS}
    for question in bank.values():
        groups[question.level].append(question.id)
    return _rows(groups, attempts)


def by_chapter(
    bank: Mapping[str, Question], chapters: Iterable[str], attempts: Sequence[Attempt] = ()
) -> list[Row]:
    """Return one row a chapter; a question counts for every chapter that it links to."""
    groups: dict[str, list[str]] = {chapter: [] for chapter in chapters}
    for question in bank.values():
        for chapter in question.chapters:
            groups.setdefault(chapter, []).append(question.id)
    return _rows(groups, attempts)


def _rows(groups: Mapping[str, list[str]], attempts: Sequence[Attempt]) -> list[Row]:
    latest = {a.question: a.points for a in attempts if a.points is not None}
    rows = []
    for name, ids in groups.items():
        points = [latest[identity] for identity in ids if identity in latest]
        mean = sum(points) / len(points) if points else None
        rows.append(Row(name, len(ids), len(points), mean))
    return rows
