"""Lab 10's checks: another right answer passes, and each known slip is named."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import optimize, stats

from helpers.course.checks.a_guarantee_the_regulator_will_accept import (
    LAB,
    TAMPERINGS,
    clinic,
    trust,
    votes,
)
from helpers.course.compare import Slips
from helpers.course.tasks import ValueTask, judge_value
from tests.course.judging import each, judge_of

judged = judge_of(LAB)

SLIPS: dict[str, Slips] = {
    "q2": votes._BOUND_SLIPS,
    "q3": votes._CERTIFY_SLIPS,
    "q4": votes._NEEDED_SLIPS,
    "q5": clinic._RATES_SLIPS,
    "q6": clinic._LIGHT_SLIPS,
    "q7": trust._STEP_SLIPS,
}


def by_bisection(count: int, trials: int, alpha: float) -> float:
    """Where so many votes or more have the probability alpha, from the binomial law itself."""
    if count == 0:
        return 0.0
    return float(
        optimize.brentq(lambda p: stats.binom.sf(count - 1, trials, p) - alpha, 1e-12, 1 - 1e-12,
                        xtol=1e-13)
    )  # fmt: skip


def by_counting(sigma: float, radius: float, alpha: float) -> int:
    n = 1
    while sigma * stats.norm.ppf(alpha ** (1 / n)) < radius:
        n += 1
    return n


def one_by_one(
    labels: np.ndarray, radii: np.ndarray, truth: np.ndarray, radius: float
) -> list[float]:
    found: dict[Any, list[bool]] = {None: [], 1: [], 0: []}
    for label, reach, right in zip(labels, radii, truth, strict=True):
        held = bool(label == right and reach >= radius)
        found[None].append(held)
        found[int(right)].append(held)
    return [sum(part) / len(part) for part in found.values()]


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("q1", lambda x, s, n, seed: np.random.default_rng(seed).normal(
            np.broadcast_to(x, (n, *x.shape)), s).astype(np.float32)),
        ("q2", by_bisection),
        ("q3", lambda *args: np.array(votes._certify_reference(*args))),
        ("q4", by_counting),
        ("q5", one_by_one),
        ("q5", lambda *args: np.array(one_by_one(*args))),
        ("q6", lambda r, h, w, c: r / np.linalg.norm(np.ones((h, w, c)))),
    ],
)  # fmt: skip
def test_another_way_that_is_right_passes(name: str, other: Callable[..., Any]) -> None:
    assert judged(name, other).status == "passed"


@pytest.mark.parametrize(("name", "told", "slip"), each(SLIPS))
def test_a_slip_fails_and_is_named(name: str, told: str, slip: Callable[..., Any]) -> None:
    found = judged(name, slip)
    assert (found.status, found.explanation) == ("mismatch", told)


def _copies(image: np.ndarray, noise: np.ndarray) -> np.ndarray:
    return (image + noise).astype(np.float32)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda x, s, n, seed: np.clip(votes._copies_reference(x, s, n, seed), 0, 1), "clipping"),
        (lambda x, s, n, seed: _copies(
            x, s * np.random.default_rng(seed).normal(size=(1, *x.shape)).repeat(n, 0)),
         "same noise"),
        (lambda x, s, n, seed: _copies(
            x, s * np.random.default_rng(seed).normal(size=(n, 1, 1, 1))), "one for each pixel"),
        (lambda x, s, n, seed: _copies(
            x, s * np.random.default_rng(seed).normal(size=(n, *x.shape[:2], 1))),
         "one for each channel"),
        (lambda x, s, n, seed: _copies(
            x, s**2 * np.random.default_rng(seed).normal(size=(n, *x.shape))), "variance"),
        (lambda x, s, n, seed: _copies(
            x, s * math.sqrt(3) * np.random.default_rng(seed).uniform(-1, 1, (n, *x.shape))),
         "normal law"),
        (lambda x, s, n, seed: _copies(
            0 * x, s * np.random.default_rng(seed).normal(size=(n, *x.shape))), "noise alone"),
        (lambda x, s, n, seed: _copies(x, np.zeros((n, *x.shape))), "without noise"),
        (lambda x, s, n, seed: _copies(
            x, s * np.random.default_rng(seed).normal(size=(n, 1, *x.shape[1:]))), "all rows"),
        (lambda x, s, n, seed: _copies(
            x, s * np.random.default_rng(seed).laplace(0, 0.5**0.5, (n, *x.shape))), "normal law"),
        (lambda x, s, n, seed: x + s * np.random.default_rng(seed).normal(size=(n, *x.shape)),
         "float32"),
        (lambda x, s, n, seed: _copies(
            x, s * np.random.default_rng().normal(size=(n, *x.shape))), "same seed"),
        (lambda x, s, n, seed: _copies(
            x, s * np.random.default_rng(0).normal(size=(n, *x.shape))), "another seed"),
        (lambda x, s, n, seed: votes._copies_reference(x, s, n, seed)[0], "shape"),
        (lambda x, s, n, seed: _copies(
            x, np.concatenate([s * np.random.default_rng(seed).normal(size=(n // 2, *x.shape))] * 2)
            * np.repeat([1, -1], n // 2)[:, None, None, None]), "sign turned"),
        (lambda x, s, n, seed: np.concatenate(
            [x[None], votes._copies_reference(x, s, n - 1, seed)]), "copy 0 has hardly any noise"),
    ],
)  # fmt: skip
def test_copies_whose_noise_proves_nothing_are_told_so(
    answer: Callable[..., Any], message: str
) -> None:
    found = judged("q1", answer)
    assert found.status == "mismatch"
    assert any(word in found.explanation for word in message.split("|")), found.explanation


def test_each_forgery_in_the_wrong_hands_is_named() -> None:
    task = LAB.task("q8")
    assert isinstance(task, ValueTask)
    right = task.reference(0, "fast")
    assert judge_value(task, {k: v.upper() for k, v in right.items()}, right).status == "passed"
    for name in TAMPERINGS:
        for letter in "vadn":
            if letter != right[name]:
                found = judge_value(task, {**right, name: letter}, right)
                assert found.explanation.startswith(repr(name))
    assert "none of the letters" in judge_value(task, {**right, "one run": "x"}, right).explanation
