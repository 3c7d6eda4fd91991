"""Questions take what the labs measured from their record, which ships with the package."""

from __future__ import annotations

import pytest

from helpers.course import measurements
from helpers.course.interview_answers import calculate
from helpers.errors import InterviewError

LAB, NAME = "what-the-small-model-remembers", "patients-named-int8"


def test_a_question_gets_the_value_and_the_ends_of_the_record() -> None:
    recorded = measurements.of_lab(LAB)[NAME]
    assert calculate("measured", {"lab": LAB, "name": NAME}) == recorded.value
    ends = calculate("measured_ends", {"lab": LAB, "name": NAME})
    assert tuple(ends) == recorded.interval


def test_what_is_not_on_record_is_refused() -> None:
    with pytest.raises(InterviewError, match=f"did you mean '{NAME}'"):
        calculate("measured", {"lab": LAB, "name": "patients-named-int7"})
    with pytest.raises(InterviewError, match="has no interval"):
        calculate("measured_ends", {"lab": "the-frontier", "name": "size-chosen"})
