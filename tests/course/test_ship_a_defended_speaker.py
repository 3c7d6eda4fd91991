"""Lab 14's checks: right answers pass in any form, slips are named, tricks are told apart."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import stats

from helpers.course.checks.ship_a_defended_speaker import CATCHES, LAB, case, joints
from helpers.course.compare import Slips
from helpers.course.tasks import ValueTask, judge_value
from tests.course.judging import each, judge_of

judged = judge_of(LAB)

SLIPS: dict[str, Slips] = {
    "q1": joints._PERSON_SLIPS,
    "q2": joints._SPENT_SLIPS,
    "q3": joints._WORSE_SLIPS,
    "q4": joints._FARTHEST_SLIPS,
    "q5": case._STATE_SLIPS,
    "q6": case._LUCK_SLIPS,
}


@pytest.mark.parametrize(("name", "told", "slip"), each(SLIPS))
def test_a_slip_fails_and_is_named(name: str, told: str, slip: Callable[..., Any]) -> None:
    found = judged(name, slip)
    assert (found.status, found.explanation) == ("mismatch", told)


def _step_by_step(epsilon: float, delta: float, clips: int) -> tuple[float, float]:
    total = 0.0
    for _ in range(clips):
        total = total * math.exp(epsilon) + delta
    return epsilon * clips, total


def _exact_end(successes: int, trials: int, relation: str, alpha: float, claims: int) -> float:
    side = "greater" if relation == "at least" else "less"
    found = stats.binomtest(successes, trials, alternative=side)
    interval = found.proportion_ci(1 - alpha / claims, method="exact")
    return float(interval.low if relation == "at least" else interval.high)


def _none_passes(share: float, clips: int, needed: int, tries: int) -> float:
    fails = sum(stats.binom.pmf(k, clips, share) for k in range(needed))
    return float(1 - fails**tries)


def _cut_at_one(epsilon: float, delta: float, clips: int) -> tuple[float, float]:
    epsilon, delta = _step_by_step(epsilon, delta, clips)
    return epsilon, min(1.0, delta)


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("q1", _step_by_step),
        ("q1", _cut_at_one),
        ("q1", lambda e, d, k: np.array(_step_by_step(e, d, k))),
        ("q3", _exact_end),
        ("q6", _none_passes),
    ],
)
def test_another_way_that_is_right_passes(name: str, other: Callable[..., Any]) -> None:
    assert judged(name, other).status == "passed"


def test_the_largest_radius_is_that_of_votes_which_all_agree() -> None:
    def searched(deadline: float, answer: float, sigma: float, alpha: float) -> float:
        votes = math.floor(deadline / answer)
        if votes == 0:
            return 0.0
        # The smallest probability with which all votes agree in a share alpha of the cases.
        least = float(stats.beta.ppf(alpha, votes, 1))
        return max(0.0, sigma * float(stats.norm.ppf(least)))

    assert judged("q4", searched).status == "passed"


def test_an_infinite_radius_is_told_so() -> None:
    found = judged("q4", lambda d, a, s, e: s * stats.norm.ppf(e ** (1 / max(d // a, 1e-9))))
    assert found.status == "mismatch"


def test_evidence_that_is_read_before_it_is_hashed_is_told_so() -> None:
    def trusting(claim: Any, evidence: bytes, shipped: str) -> str:
        return "supported" if json.loads(evidence)["measures"] == shipped else "stale"

    def in_the_wrong_order(claim: Any, evidence: bytes, shipped: str) -> str:
        json.loads(evidence)
        return case._state_reference(claim, evidence, shipped)

    assert judged("q5", trusting).status == "mismatch"
    assert judged("q5", in_the_wrong_order).status == "error"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"the best sample is reported": "h"}, "the best sample is reported"),
        ({"a risk is left out": "x"}, "none of the letters"),
        ({"somebody else": "h"}, "the keys"),
    ],
)
def test_a_trick_put_down_to_the_wrong_catch_is_named(change: Any, message: str) -> None:
    task = LAB.task("q7")
    assert isinstance(task, ValueTask)
    right = task.reference(0, "fast")
    assert set(right.values()) == set(CATCHES)
    assert judge_value(task, right, right).status == "passed"
    found = judge_value(task, right | change, right)
    assert found.status == "mismatch"
    assert message in found.explanation
