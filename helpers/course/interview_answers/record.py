"""What the labs measured, as their record has it; see :mod:`helpers.course.measurements`."""

from __future__ import annotations

from helpers.course import measurements
from helpers.course.interview_answers.registry import answer


@answer
def measured(lab: str, name: str) -> float:
    """Return what a lab measured, by the lab's name and the measurement's.

    Raises
    ------
    CourseError
        If the record has no such measurement.
    """
    return measurements.of_lab(lab)[name].value
