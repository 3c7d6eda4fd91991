"""The bank that ships: nothing wrong with it, nothing twice, and spread over the course."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from helpers.interview import (
    FORMATS,
    LEVELS,
    TOPICS,
    Outside,
    Question,
    near_duplicates,
    problems_of_bank,
)
from helpers.interview.coverage import by_chapter

Bank = dict[str, Question]
ROOT = Path(__file__).resolve().parents[2]
# Of the book's chapters these teach no skill of their own.
NO_SUBJECT = {
    "benchmarks", "for-instructors", "glossary", "interview-preparation", "notation", "references",
    "routes", "what-is-true",
}  # fmt: skip
FEWEST_A_CHAPTER = 1
# Whoever ticks by length alone may be right as often as a guesser, and by this many standard
# deviations of the guesser's luck more often.
LUCK = 2.0
# And no right choice is longer than the longest wrong one, or shorter than the shortest, by more.
STANDS_OUT = 1.3


def chapters_of_the_book() -> list[str]:
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    files = [Path(page["file"]) for part in toc["parts"] for page in part["chapters"]]
    names = [path.stem for path in files if path.parent == Path("chapters")]
    return [name for name in names if name not in NO_SUBJECT]


def test_nothing_is_wrong_with_any_question(bank: Bank, outside: Outside) -> None:
    assert problems_of_bank(bank.values(), outside) == []


def test_no_two_questions_ask_nearly_the_same(bank: Bank) -> None:
    assert near_duplicates(bank.values()) == []


def test_no_two_questions_ask_for_the_threats_to_one_element(bank: Bank) -> None:
    asked = Counter((q.system, q.target) for q in bank.values() if q.target)
    assert set(asked.values()) == {1}


@pytest.mark.parametrize("chapter", chapters_of_the_book())
def test_every_chapter_has_questions(bank: Bank, chapter: str) -> None:
    (row,) = by_chapter(
        {q.id: q for q in bank.values() if chapter in q.chapters}, [chapter]
    )[:1]  # fmt: skip
    assert row.name == chapter
    assert row.questions >= FEWEST_A_CHAPTER


@pytest.mark.parametrize("topic", TOPICS)
def test_every_topic_has_questions_and_a_page_in_the_book(bank: Bank, topic: str) -> None:
    assert any(question.topic == topic for question in bank.values())
    page = (ROOT / "chapters" / "questions" / f"{topic}.md").read_text(encoding="utf-8")
    assert f"```{{interview-questions}} {topic}\n" in page
    assert f"- file: chapters/questions/{topic}\n" in (ROOT / "_toc.yml").read_text()


def test_every_level_and_format_is_there(bank: Bank) -> None:
    assert {question.level for question in bank.values()} == set(LEVELS)
    assert {question.format for question in bank.values()} == set(FORMATS)


@pytest.mark.parametrize(
    "name",
    ["defend-a-keyword-model", "federated-or-private", "lens-flare", "frontier-at-the-edge"],
)
def test_the_questions_of_the_skill_guides_are_there_in_depth(bank: Bank, name: str) -> None:
    question = bank[name]
    assert LEVELS.index(question.level) >= LEVELS.index("senior")
    assert len(question.rubric) >= 6
    assert len(question.follow_ups) >= 3
    assert len(question.answer.split()) >= 180
    assert question.another_answer


def test_the_right_choice_is_not_always_the_same_letter(bank: Bank) -> None:
    places = Counter(
        next(i for i, option in enumerate(question.options) if option.right)
        for question in bank.values()
        if question.format == "choice"
    )
    if places.total() >= 6:
        assert max(places.values()) <= 0.6 * places.total()


@pytest.mark.parametrize("form", ["choice", "select-the-threats"])
@pytest.mark.parametrize("by", [max, min], ids=["longest", "shortest"])
def test_the_length_of_an_option_does_not_give_it_away(
    bank: Bank, form: str, by: Callable[[list[int]], int]
) -> None:
    right, expected, variance = 0.0, 0.0, 0.0
    for question in bank.values():
        if question.format != form:
            continue
        lengths = [len(option.text) for option in question.options]
        picked = [o for o in question.options if len(o.text) == by(lengths)]
        right += sum(option.right for option in picked) / len(picked)
        share = sum(option.right for option in question.options) / len(question.options)
        expected += share
        variance += share * (1 - share)
    assert right <= expected + LUCK * variance**0.5


def test_no_right_choice_stands_out_by_its_length(bank: Bank) -> None:
    for question in bank.values():
        if question.format == "choice":
            (right,) = (len(option.text) for option in question.options if option.right)
            wrong = [len(option.text) for option in question.options if not option.right]
            assert min(wrong) / STANDS_OUT <= right <= STANDS_OUT * max(wrong), question.id
