"""The scorers of prose do what the chapter says of them, and fail as it says."""

from __future__ import annotations

from dataclasses import replace

import pytest

from helpers.errors import InterviewError
from helpers.interview import Question, prose


@pytest.fixture(scope="session")
def written(bank: dict[str, Question]) -> list[Question]:
    return [question for question in bank.values() if question.another_answer]


@pytest.mark.parametrize("score", [prose.by_keywords, prose.by_tfidf, prose.by_string_distance])
def test_a_scorer_knows_the_model_answer_from_nothing(
    written: list[Question], score: prose.Scorer
) -> None:
    for question in written:
        model, nothing = score([question.answer, "I cannot say anything about it."], question)
        assert model > nothing


def test_separation_of_a_perfect_and_of_a_blind_scorer(written: list[Question]) -> None:
    def perfect(answers: list[str], question: Question) -> list[float]:
        return [float(answer == question.another_answer) for answer in answers]

    assert prose.separation(written, perfect) == 1  # type: ignore[arg-type]
    assert prose.separation(written, lambda answers, question: [0.0] * len(answers)) == 0.5
    with pytest.raises(InterviewError, match="another_answer"):
        prose.separation([replace(written[0], another_answer="")], prose.by_length)


def test_length_decides_nothing_between_answers_of_one_length(written: list[Question]) -> None:
    assert prose.separation(written, prose.by_length) > 0.5
    assert prose.separation(written, prose.by_length, same_length=True) == 0.5


def test_words_without_sense_beat_a_good_answer(written: list[Question]) -> None:
    lists = {question.id: prose.stuffed(question) for question in written}
    assert prose.separation(written, prose.by_keywords, lists) == 0
    assert prose.separation(written, prose.by_tfidf, lists) < 0.5
