"""Lab 12's checks: right answers pass in any form, and slips are named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import stats

from helpers.course.checks.the_frontier import LAB, choosing, fronts, prices
from helpers.course.compare import Slips
from helpers.robustness.frontier import Design, Measure, within_budget
from tests.course.judging import each, judge_of

judged = judge_of(LAB)

SLIPS: dict[str, Slips] = {
    "q1": fronts._RIGHT_SLIPS,
    "q2": fronts._FRONT_SLIPS,
    "q3": fronts._BUDGET_SLIPS,
    "q4": prices._GAP_SLIPS,
    "q5": prices._SHARE_SLIPS,
    "q6": fronts._OFTEN_SLIPS,
    "q7": choosing._CHOSEN_SLIPS,
    "q8": choosing._CURSE_SLIPS,
}


@pytest.mark.parametrize(("name", "told", "slip"), each(SLIPS))
def test_a_slip_fails_and_is_named(name: str, told: str, slip: Callable[..., Any]) -> None:
    found = judged(name, slip)
    assert (found.status, found.explanation) == ("mismatch", told)


def _by_sorting(table: Any, higher: Any) -> list[bool]:
    """The front by comparing each pair, in plain Python."""
    rows = [[v if up else -v for v, up in zip(row, higher, strict=True)] for row in table.tolist()]
    return [
        not any(b != a and all(q >= p for p, q in zip(a, b, strict=True)) for b in rows)
        for a in rows
    ]


def _by_the_room(accuracies: Any, costs: Any, limits: Any) -> tuple[int, ...]:
    """Through the room's own budget, then pair by pair."""
    measures = [Measure(f"cost {j}", f"cost {j}", False) for j in range(costs.shape[1])]
    designs = [
        Design(str(i), {}, {f"cost {j}": float(v) for j, v in enumerate(row)})
        for i, row in enumerate(costs)
    ]
    given = {f"cost {j}": float(limit) for j, limit in enumerate(limits)}
    kept = [int(design.name) for design in within_budget(designs, measures, given)]
    on = _by_sorting(accuracies[kept], [True] * accuracies.shape[1])
    return tuple(i for i, stays in zip(kept, on, strict=True) if stays)


def _by_a_paired_test(first: Any, second: Any) -> tuple[float, float, float]:
    """Student's interval for pairs, which at hundreds of images is nearly the normal one."""
    found = stats.ttest_rel(np.asarray(second, float), np.asarray(first, float))
    low, high = found.confidence_interval(0.95)
    return float(np.mean(np.asarray(second, float) - first)), float(low), float(high)


@pytest.mark.parametrize(
    ("name", "other"), [("q2", _by_sorting), ("q3", _by_the_room), ("q4", _by_a_paired_test)]
)
def test_another_way_that_is_right_passes(name: str, other: Callable[..., Any]) -> None:
    assert judged(name, other).status == "passed"
