from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from helpers.errors import PrivacyError
from helpers.privacy.auditing import (
    epsilon_lower_bound,
    one_run_epsilon,
    one_run_p_value,
    proportion_bounds,
)


@settings(deadline=None)
@given(st.integers(1, 200).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_proportion_bounds_are_those_of_scipys_exact_interval(counts: tuple[int, int]) -> None:
    interval = stats.binomtest(*counts).proportion_ci(0.9, method="exact")
    low, high = proportion_bounds(*counts, error_probability=0.05)
    assert (low, high) == pytest.approx((interval.low, interval.high))


def randomised_response(epsilon: float, canaries: int, rng: np.random.Generator) -> int:
    """Number of right guesses about bits that are each reported with epsilon-DP."""
    return int((rng.random(canaries) < 1 / (1 + math.exp(-epsilon))).sum())


def test_the_one_run_bound_holds_as_often_as_it_says_and_comes_close() -> None:
    rng = np.random.default_rng(0)
    bounds = [
        one_run_epsilon(randomised_response(1.5, 500, rng), 500, 500, 0.0) for _ in range(400)
    ]
    # 95 % must hold; 400 trials may stray by three deviations of a binomial.
    assert np.mean(np.array(bounds) > 1.5) <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 400)
    assert np.median(bounds) > 1.1


def test_the_independent_bound_holds_as_often_as_it_says_and_comes_close() -> None:
    rng = np.random.default_rng(1)
    bounds = []
    for _ in range(400):
        hits, alarms = (randomised_response(side * 1.5, 1000, rng) for side in (1, -1))
        bounds.append(epsilon_lower_bound(hits, 1000, alarms, 1000, 0.0))
    assert np.mean(np.array(bounds) > 1.5) <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 400)
    assert np.median(bounds) > 1.2


def test_one_run_p_value_follows_the_theorem_term_by_term() -> None:
    correct, guesses, canaries, epsilon, delta = 40, 50, 120, 0.7, 1e-3
    law = stats.binom(guesses, math.exp(epsilon) / (1 + math.exp(epsilon)))
    at_least = sum(law.pmf(k) for k in range(correct, guesses + 1))
    steps = [
        sum(law.pmf(k) for k in range(correct - i, correct)) / i for i in range(1, correct + 1)
    ]
    expected = at_least + 2 * canaries * delta * max(steps)
    actual = one_run_p_value(correct, guesses, canaries, epsilon, delta)
    assert actual == pytest.approx(expected)


def test_guessing_at_random_proves_nothing() -> None:
    assert one_run_epsilon(52, 100, 100, 1e-5) == 0
    assert epsilon_lower_bound(50, 100, 50, 100, 1e-5) == 0


def test_a_bound_falls_as_delta_grows() -> None:
    values = [one_run_epsilon(95, 100, 1000, delta) for delta in (0.0, 1e-6, 1e-4)]
    assert values[0] >= values[1] >= values[2]
    assert values[0] > values[2]


def test_counts_that_cannot_be_are_refused() -> None:
    with pytest.raises(PrivacyError, match="must not exceed"):
        proportion_bounds(3, 2, 0.05)
    with pytest.raises(PrivacyError, match="must not fall"):
        one_run_p_value(3, 2, 5, 0.0, 0.0)
