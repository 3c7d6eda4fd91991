"""Questions take what the labs measured from their record, which ships with the package."""

from __future__ import annotations

import pytest

from helpers.course import measurements
from helpers.course.interview_answers import calculate
from helpers.errors import InterviewError

LAB, NAME = "what-the-small-model-remembers", "patients-named-int8"


def test_a_question_gets_the_value_of_the_record() -> None:
    recorded = measurements.of_lab(LAB)[NAME]
    assert calculate("measured", {"lab": LAB, "name": NAME}) == recorded.value


def test_what_is_not_on_record_is_refused() -> None:
    with pytest.raises(InterviewError, match=f"did you mean '{NAME}'"):
        calculate("measured", {"lab": LAB, "name": "patients-named-int7"})
