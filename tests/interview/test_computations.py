"""What a question may have computed: each is asked for, and the labs' record is among them."""

from __future__ import annotations

import re

import pytest

from helpers.course import measurements
from helpers.course.interview_answers import ANSWERS, calculate
from helpers.errors import InterviewError
from helpers.interview.loading import BANK

LAB, NAME = "what-the-small-model-remembers", "patients-named-int8"


def test_the_questions_ask_for_every_computation_and_for_no_other() -> None:
    text = " ".join(path.read_text(encoding="utf-8") for path in BANK.rglob("*.yaml"))
    assert set(re.findall(r"\b(?:function|reference): (\w+)", text)) == set(ANSWERS)


def test_a_question_gets_the_value_of_the_record() -> None:
    recorded = measurements.of_lab(LAB)[NAME]
    assert calculate("measured", {"lab": LAB, "name": NAME}) == recorded.value


def test_what_is_not_on_record_is_refused() -> None:
    with pytest.raises(InterviewError, match=f"did you mean '{NAME}'"):
        calculate("measured", {"lab": LAB, "name": "patients-named-int7"})
