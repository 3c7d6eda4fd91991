"""Compute the numbers of a question and put them where its texts ask for them."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from helpers._text import nearest, shown
from helpers.errors import InterviewError
from helpers.interview.question import Compute, Numeric, Plain, Question

# Calls one function of the registry with named arguments.
Calculator = Callable[[str, Mapping[str, Plain]], Any]
Part = TypeVar("Part")

_PLACE = re.compile(r"\{\{\s*([a-z][a-z0-9_]*)\s*(?::([^{}]*))?\}\}")
RESULT = "result"  # the name under which a numeric question shows its own number


def prepare(question: Question, calculate: Calculator) -> Question:
    """Return the question with its numbers computed and shown in its texts.

    Parameters
    ----------
    question
        As it was read.
    calculate
        Computes a named number, such as
        :func:`helpers.course.interview_answers.calculate`.

    Returns
    -------
    Question
        A copy. ``{{name:.2f}}`` has become the number of that name under ``values``, and
        ``{{result}}`` that of a numeric question.

    Raises
    ------
    InterviewError
        If a text asks for a number that is not there, or a number is never shown.
    """
    numbers: dict[str, float | None] = {
        name: _number(question, c, calculate) for name, c in question.values.items()
    }
    numeric = question.numeric
    if numeric is not None:
        numeric = _computed(question, numeric, calculate)
        numbers[RESULT] = numeric.value
    used: set[str] = set()

    def fill(text: str) -> str:
        def put(found: re.Match[str]) -> str:
            name, form = found[1], found[2] or ".3g"
            if name not in numbers:
                raise InterviewError(
                    f"{question.id}: no value is called {shown(name)}; {nearest(name, numbers)}"
                )
            used.add(name)
            return _shown(question, numbers[name], form)

        return _PLACE.sub(put, text)

    filled = _each_text(dataclasses.replace(question, numeric=numeric), fill)
    idle = numbers.keys() - used - {RESULT}
    if idle:
        raise InterviewError(f"{question.id}: no text shows {', '.join(sorted(idle))}.")
    return filled


def _computed(question: Question, numeric: Numeric, calculate: Calculator) -> Numeric:
    slips = tuple(
        dataclasses.replace(slip, value=_number(question, slip.compute, calculate))
        for slip in numeric.slips
    )
    value = _number(question, numeric.compute, calculate)
    return dataclasses.replace(numeric, slips=slips, value=value)


def _number(question: Question, compute: Compute, calculate: Calculator) -> float:
    try:
        value = calculate(compute.function, compute.arguments)
    except InterviewError as error:
        raise InterviewError(f"{question.id}: {error}") from error
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InterviewError(f"{question.id}: {compute.function} gives no number but {value!r}.")
    return value


def _shown(question: Question, value: Any, form: str) -> str:
    try:
        return format(value, form)
    except ValueError as error:
        raise InterviewError(f"{question.id}: {shown(form)} is no number format.") from error


def _each_text(part: Part, change: Callable[[str], str]) -> Part:
    """Return a copy of a dataclass, and of those inside it, with every text changed."""
    changes: dict[str, Any] = {}
    for field in dataclasses.fields(part):  # type: ignore[arg-type]
        value = getattr(part, field.name)
        if isinstance(value, str):
            changes[field.name] = change(value)
        elif isinstance(value, tuple) and value and dataclasses.is_dataclass(value[0]):
            changes[field.name] = tuple(_each_text(item, change) for item in value)
        elif dataclasses.is_dataclass(value) and not isinstance(value, type):
            changes[field.name] = _each_text(value, change)
    return dataclasses.replace(part, **changes)  # type: ignore[type-var]
