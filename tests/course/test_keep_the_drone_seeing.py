"""Lab 9's checks: right answers pass in any form, and slips are named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from helpers.course.checks.keep_the_drone_seeing import LAB, acceptance, defence, scores
from helpers.course.compare import Slips
from helpers.robustness.detection.boxes import iou
from tests.course.judging import each, judge_of

judged = judge_of(LAB)

SLIPS: dict[str, Slips] = {
    "q1": scores._OVERLAP_SLIPS,
    "q2": scores._JUDGE_SLIPS,
    "q3": scores._PRECISION_SLIPS,
    "q4": acceptance._MPC_SLIPS,
    "q5": acceptance._VERDICT_SLIPS,
    "q6": defence._STRETCH_SLIPS,
    "q7": defence._HIDDEN_SLIPS,
    "q8": acceptance._FRONT_SLIPS,
}


@pytest.mark.parametrize(("name", "told", "slip"), each(SLIPS))
def test_a_slip_fails_and_is_named(name: str, told: str, slip: Callable[..., Any]) -> None:
    found = judged(name, slip)
    assert (found.status, found.explanation) == ("mismatch", told)


def by_loops(first: Any, second: Any) -> Any:
    table = np.zeros((len(first), len(second)))
    for i, a in enumerate(first):
        for j, b in enumerate(second):
            wide = min(a[2], b[2]) - max(a[0], b[0])
            high = min(a[3], b[3]) - max(a[1], b[1])
            shared = max(wide, 0) * max(high, 0)
            both = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
            table[i, j] = shared / (both - shared)
    return table


def greedy(boxes: Any, found: Any, objects: Any) -> Any:
    free, verdicts = list(range(len(objects))), []
    for i in sorted(range(len(boxes)), key=lambda i: -found[i]):
        row = by_loops(boxes[[i]], objects)[0]
        best = max(free, key=lambda j: row[j], default=-1)
        verdicts.append(best >= 0 and bool(row[best] >= 0.5))
        if verdicts[-1]:
            free.remove(best)
    return np.array(verdicts)


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("q1", by_loops),
        ("q2", greedy),
        ("q2", lambda boxes, found, objects: greedy(boxes, found, objects).tolist()),
        ("q3", lambda right, objects: np.float32(scores._precision_reference(right, objects))),
        ("q4", lambda clean, table: [np.mean(np.mean(table, axis=0)), np.mean(table) / clean]),
        ("q4", lambda clean, table: np.array([np.mean(table), np.mean(table) / clean])),
        ("q7", lambda o, b, a: (
            sum(any(by_loops([x], b)[0] >= 0.5) for x in o),
            sum(any(by_loops([x], b)[0] >= 0.5) and not any(by_loops([x], a)[0] >= 0.5)
                for x in o))),
        ("q7", lambda o, b, a: np.array([
            (seen := (iou(o, b) >= 0.5).any(axis=1)).sum(),
            (seen & ~(iou(o, a) >= 0.5).any(axis=1)).sum()])),
        ("q8", lambda cost, score: np.array([
            not any((c < d and s >= t) or (c <= d and s > t)
                    for c, s in zip(cost, score, strict=True))
            for d, t in zip(cost, score, strict=True)])),
        ("q8", lambda cost, score: [
            not any((cost <= d) & (score >= t) & ((cost < d) | (score > t)))
            for d, t in zip(cost, score, strict=True)]),
    ],
)  # fmt: skip
def test_another_way_that_is_right_passes(name: str, other: Callable[..., Any]) -> None:
    assert judged(name, other).status == "passed"


@pytest.mark.parametrize("seed", range(5))
def test_boxes_gone_through_as_they_are_given_never_pass(seed: int) -> None:
    as_given = scores._JUDGE_SLIPS[
        "go through the boxes from the surest to the least sure, and answer in that order"
    ]
    assert judged("q2", as_given, seed).status == "mismatch"


def test_nothing_that_leaves_the_picture_as_it_is_passes_for_a_filter() -> None:
    assert judged("q6", lambda picture: picture.copy()).status == "mismatch"
