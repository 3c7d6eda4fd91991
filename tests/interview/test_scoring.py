"""What an answer earns."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.errors import InterviewError
from helpers.interview import Question
from helpers.interview.scoring import (
    judge_cases,
    read_number,
    score_choice,
    score_number,
    score_threats,
    score_ticks,
)


@pytest.mark.parametrize(
    ("text", "number"),
    [("1,200", 1200), (" ~3 ", 3), ("1.3e-5", 1.3e-5), ("12 %", 0.12), ("−4", -4), ("1_000", 1000),
     (".5", 0.5), ("+7", 7)],
)  # fmt: skip
def test_a_number_is_read_as_people_type_it(text: str, number: float) -> None:
    assert read_number(text) == pytest.approx(number)


@pytest.mark.parametrize(
    "text", ["", "about three", "1,2", "nan", "inf", "1e999", "3 to 4", "0x10"]
)
def test_what_is_not_one_number_is_refused(text: str) -> None:
    with pytest.raises(InterviewError, match="not one number"):
        read_number(text)


def test_a_slip_is_named(prepared: dict[str, Question]) -> None:
    numeric = prepared["bytes-of-a-training"].numeric
    assert numeric is not None
    assert numeric.value is not None
    assert score_number(numeric.value * 1.02, numeric).points == 1
    assert score_number(numeric.value * 1.04, numeric).points == 0
    assert "int8 in both directions" in score_number(168, numeric).text
    assert "order of magnitude" in score_number(300, numeric).text


def test_a_choice_explains_itself(prepared: dict[str, Question]) -> None:
    question = prepared["what-server-tls-leaves-open"]
    assert [score_choice(i, question).points for i in range(4)] == [0, 1, 0, 0]
    assert "fresh secrets" in score_choice(2, question).text


@given(ticked=st.sets(st.integers(0, 7)))
def test_ticking_everything_or_nothing_earns_nothing(
    prepared: dict[str, Question], ticked: set[int]
) -> None:
    question = prepared["the-speakers-flash"]
    everything = set(range(len(question.options)))
    right = {i for i, option in enumerate(question.options) if option.right}
    assert score_threats(everything, question).points == 0
    assert score_threats(set(), question).points == 0
    assert score_threats(right, question).points == 1
    points = score_threats(ticked, question).points
    assert 0 <= points <= 1
    for wrong in everything - right - ticked:
        assert score_threats(ticked | {wrong}, question).points <= points
    for found in right - ticked:
        assert score_threats(ticked | {found}, question).points >= points


def test_code_is_scored_by_what_it_returned(prepared: dict[str, Question]) -> None:
    code = prepared["write-a-trimmed-mean"].code
    assert code is not None
    expected = [3.0, 2.0, 0.5, 4.4, 2.5]
    results: list[dict[str, Any]] = [{"value": value} for value in expected]
    assert judge_cases(results, expected, code).points == 1
    for broken in ("3.0", None, True, [3.0], math.nan, {"value": 3.0}):
        score = judge_cases([{"value": broken}, *results[1:]], expected, code)
        assert score.points == 0.8
        assert "expected 3.0" in score.text
    assert judge_cases([{"problem": "raised ValueError"}] * 5, expected, code).points == 0


def test_prose_is_scored_by_weight(prepared: dict[str, Question]) -> None:
    question = prepared["lens-flare"]
    everything = range(len(question.rubric))
    assert score_ticks(everything, question).points == 1
    assert score_ticks([], question).points == 0
    total = sum(point.weight for point in question.rubric)
    assert score_ticks([0, 0], question).points == pytest.approx(question.rubric[0].weight / total)
