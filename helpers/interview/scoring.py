"""Score an answer: by machine where there is a right one, by the candidate's own ticks in prose.

Prose is not scored by machine, since every way of doing so that we measured ranks confident wrong
answers above good ones in other words; the chapter *Interview preparation* shows it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from helpers._section import as_number
from helpers.errors import InterviewError
from helpers.interview.question import Code, Numeric, Question

_LARGEST = 1e300  # in size, of a number that code returns


@dataclass(frozen=True)
class Score:
    """What an answer earned.

    Attributes
    ----------
    points
        From 0 to 1.
    text
        Why, in a sentence or a few.
    """

    points: float
    text: str


def read_number(text: str) -> float:
    """Read a number as people type it: ``1,200``, ``1.3e-5``, ``12 %``, ``~3``.

    Raises
    ------
    InterviewError
        If it is not one number.
    """
    bare = text.strip().lstrip("~≈= ").replace("−", "-").replace("_", "")
    percent = bare.endswith("%")
    bare = bare.removesuffix("%").strip()
    if re.fullmatch(r"[-+]?\d{1,3}(,\d{3})+(\.\d+)?", bare):
        bare = bare.replace(",", "")
    value = as_number(bare)
    if value is None:
        raise InterviewError(f"{text.strip()!r} is not one number: type digits, such as 1.3e-5.")
    return value / 100 if percent else float(value)


def score_number(given: float, numeric: Numeric) -> Score:
    """Score a number against the computed one, and name the slip where it is a known one."""
    right = numeric.value
    assert right is not None, "prepare() the question first"
    unit = "" if numeric.unit == "1" else f" {numeric.unit}"
    truth = f"It is {right:.4g}{unit} (any answer within {100 * numeric.tolerance:g}% counts)."
    if _near(given, right, numeric.tolerance):
        return Score(1.0, f"Right. {truth}")
    for slip in numeric.slips:
        if slip.value is not None and _near(given, slip.value, numeric.tolerance):
            return Score(0.0, f"{slip.text} {truth}")
    if right and given and abs(math.log10(abs(given / right))) < 0.35:
        return Score(0.0, f"The right order of magnitude, not the right number. {truth}")
    return Score(0.0, f"Not right. {truth}")


def _near(given: float, right: float, tolerance: float) -> bool:
    return math.isclose(given, right, rel_tol=tolerance + 1e-12, abs_tol=1e-15)


def score_choice(chosen: int, question: Question) -> Score:
    """Score one chosen option (its index from 0)."""
    option = question.options[chosen]
    if option.right:
        return Score(1.0, f"Right. {option.why}")
    right = next(o for o in question.options if o.right)
    return Score(0.0, f"No: {option.why} Right is: {right.text} {right.why}")


def score_threats(ticked: Collection[int], question: Question) -> Score:
    """Score ticked options: the share of the real threats found less that of false ones ticked.

    Ticking everything and ticking nothing both earn 0 (Youden's J, never below 0).
    """
    right = {i for i, option in enumerate(question.options) if option.right}
    wrong = set(range(len(question.options))) - right
    hits, alarms = right & set(ticked), wrong & set(ticked)
    points = max(0.0, len(hits) / len(right) - len(alarms) / len(wrong))
    lines = [
        f"Recall {len(hits)} of {len(right)} real threats; precision "
        f"{len(hits)} of {len(hits) + len(alarms)} ticked; {len(alarms)} of {len(wrong)} "
        "that are not real here."
    ]
    for index, option in enumerate(question.options):
        if index in (right - hits) | alarms:
            verb = "Missed" if index in right else "Not real here"
            lines.append(f"{verb}: {option.text} {option.why}")
    return Score(points, "\n".join(lines))


def judge_cases(results: Sequence[Any], expected: Sequence[Any], code: Code) -> Score:
    """Score what a candidate's function returned, one result a case.

    Parameters
    ----------
    results
        For each case ``{"value": ...}`` or ``{"problem": text}``, from a sandbox: any JSON.
    expected
        What the reference returns.
    code
        The cases.
    """
    passed, first = 0, ""
    for case, result, truth in zip(code.cases, results, expected, strict=True):
        problem = str(result.get("problem", ""))[:400] if isinstance(result, dict) else "no result"
        if not problem and _same(result.get("value"), truth, code.tolerance):
            passed += 1
        elif not first:
            call = f"{code.name}({', '.join(map(_short, case))})"
            got = problem or f"returned {_short(result.get('value'))}"
            first = f"{call} {got}; expected {_short(truth)}."
    share = passed / len(expected)
    text = f"{passed} of {len(expected)} cases pass."
    return Score(share, f"{text} {first}".strip())


def _same(given: Any, truth: Any, tolerance: float) -> bool:
    if isinstance(truth, list):
        alike = isinstance(given, list) and len(given) == len(truth)
        return alike and all(_same(g, t, tolerance) for g, t in zip(given, truth, strict=True))
    if isinstance(truth, bool) or isinstance(given, bool):
        return given is truth
    if isinstance(truth, int | float):
        # Whole numbers may have more digits than a float holds.
        number = isinstance(given, int | float) and abs(given) < _LARGEST
        return number and math.isclose(given, truth, rel_tol=tolerance, abs_tol=tolerance)
    return bool(given == truth)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def score_ticks(ticked: Collection[int], question: Question) -> Score:
    """Score prose by the rubric points that the candidate found in their own answer."""
    total = sum(point.weight for point in question.rubric)
    got = sum(question.rubric[i].weight for i in set(ticked))
    return Score(got / total, f"{got} of {total} rubric points, by your own reading.")
