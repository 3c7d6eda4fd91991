"""What a question may have computed: each is asked for, and the labs' record is among them."""

from __future__ import annotations

import re

import pytest

from helpers.course import measurements
from helpers.course.interview_answers import ANSWERS, calculate
from helpers.errors import InterviewError
from helpers.interview.loading import BANK

LAB, NAME = "what-the-small-model-remembers", "patients-named-int8"


def test_some_question_asks_for_every_computation() -> None:
    asked = " ".join(path.read_text(encoding="utf-8") for path in BANK.rglob("*.yaml"))
    assert set(ANSWERS) - set(re.findall(r"\b(?:function|reference): (\w+)", asked)) == set()


def test_a_question_gets_the_value_of_the_record() -> None:
    recorded = measurements.of_lab(LAB)[NAME]
    assert calculate("measured", {"lab": LAB, "name": NAME}) == recorded.value


def test_what_is_not_on_record_is_refused() -> None:
    with pytest.raises(InterviewError, match=f"did you mean '{NAME}'"):
        calculate("measured", {"lab": LAB, "name": "patients-named-int7"})
