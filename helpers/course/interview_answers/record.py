"""What the labs measured, as their record has it; see :mod:`helpers.course.measurements`."""

from __future__ import annotations

from helpers.course import measurements
from helpers.course.interview_answers.registry import answer
from helpers.errors import InterviewError


@answer
def measured(lab: str, name: str) -> float:
    """Return what a lab measured, by the lab's name and the measurement's.

    Raises
    ------
    InterviewError
        If the record has no such measurement.
    """
    return _found(lab, name).value


@answer
def measured_ends(lab: str, name: str) -> list[float]:
    """Return both ends of its interval.

    Raises
    ------
    InterviewError
        If the record has no such measurement, or it has no interval.
    """
    interval = _found(lab, name).interval
    if interval is None:
        raise InterviewError(f"{name} of lab {lab} has no interval")
    return list(interval)


def _found(lab: str, name: str) -> measurements.Measured:
    return measurements.of_lab(lab)[name]
