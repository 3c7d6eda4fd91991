"""Lab 8's checks: right answers pass in any form, and slips are named."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import stats

from helpers.course.checks.fool_the_camera_on_the_pi import LAB, answers, judging, steps
from helpers.course.compare import Slips
from helpers.course.tasks import FunctionTask
from tests.course.judging import each, judge_of

judged = judge_of(LAB)

SLIPS: dict[str, Slips] = {
    "q1": steps._LEVELS_SLIPS,
    "q2": steps._FGSM_SLIPS,
    "q3": steps._STEP_SLIPS,
    "q4": judging._WORST_SLIPS,
    "q5": judging._INTERVAL_SLIPS,
    "q6": answers._WITHIN_SLIPS,
    "q7": answers._FLAT_SLIPS,
    "q8": answers._FALL_SLIPS,
}


@pytest.mark.parametrize(("name", "told", "slip"), each(SLIPS))
@pytest.mark.parametrize("seed", range(3))
def test_a_slip_fails_and_is_named(
    name: str, told: str, slip: Callable[..., Any], seed: int
) -> None:
    found = judged(name, slip, seed)
    assert (found.status, found.explanation) == ("mismatch", told)


def test_labels_that_stay_are_not_taken_for_right_ones_on_any_seed() -> None:
    found = [judged("q4", lambda t, c, a: np.mean((a == c).all(axis=0)), k) for k in range(25)]
    assert {one.status for one in found} == {"mismatch"}


def _exact(left: int, images: int) -> tuple[float, float]:
    found = stats.binomtest(left, images).proportion_ci()
    return float(found.low), float(found.high)


def _flat_by_loops(at_rest: Any, moved: Any, truth: Any) -> float:
    def margin(scores: Any, label: int) -> float:
        return float(scores[label]) - max(s for i, s in enumerate(scores.tolist()) if i != label)

    same = [
        margin(row, label) == margin(start, label)
        for scores in moved
        for row, start, label in zip(scores, at_rest, truth.tolist(), strict=True)
    ]
    return sum(same) / len(same)


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("q1", lambda e, s: int(np.floor(np.float64(e) / s + 1e-5))),
        ("q1", lambda e, s: math.floor(round(e / s, 3))),
        ("q2", lambda x, g, e: np.minimum(np.maximum(x + e * np.sign(g), 0), 1).astype(np.float32)),
        ("q3", lambda c, x, g, s, e: np.clip(
            c + np.clip(x + s * np.sign(g) - c, -e, e), 0, 1)),
        ("q3", lambda c, x, g, s, e: np.clip(
            x + s * np.sign(g), np.maximum(c - e, 0), np.minimum(c + e, 1))),
        ("q4", lambda t, c, a: sum(
            bool(c[i] == t[i] and all(row[i] == t[i] for row in a)) for i in range(len(t))
        ) / len(t)),
        ("q5", _exact),
        ("q5", lambda left, images: np.array(_exact(left, images))),
        ("q7", _flat_by_loops),
        ("q8", lambda lengths, right: np.where(
            right.all(axis=0), np.nan, lengths[np.argmin(right, axis=0)])),
        ("q8", lambda lengths, right: [
            next((lengths[i] for i in range(len(lengths)) if not right[i, n]), float("nan"))
            for n in range(right.shape[1])]),
    ],
)  # fmt: skip
def test_another_way_that_is_right_passes(name: str, other: Callable[..., Any]) -> None:
    assert judged(name, other).status == "passed"


@pytest.mark.parametrize("task", LAB.tasks, ids=lambda task: task.name)
@pytest.mark.parametrize("answer", [None, 0.5, [], np.zeros(3), "yes"])
def test_what_is_no_answer_never_passes(task: FunctionTask, answer: Any) -> None:
    assert judged(task.name, lambda *args: answer).status in ("mismatch", "error", "not attempted")
