from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.errors import RobustnessError
from helpers.robustness.budget import (
    Budget,
    Norm,
    as_stored,
    distances,
    round_to_stored,
)

budgets = st.builds(Budget, st.floats(0, 2), st.sampled_from(["linf", "l2"]))


@given(budgets, st.integers(0, 2**32 - 1))
def test_a_projection_lies_in_budget_and_bounds_and_moves_nothing_that_lies_there(
    budget: Budget, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    clean = rng.random((4, 3, 3, 1)).astype(np.float32)
    found = budget.project(clean, clean + rng.normal(size=clean.shape))
    budget.require(clean, found)
    assert found.min() >= 0
    assert found.max() <= 1
    np.testing.assert_allclose(budget.project(clean, found), found, atol=1e-6)


@given(budgets, st.integers(0, 2**32 - 1))
def test_rounding_to_8_bits_keeps_the_budget_and_gives_levels_of_a_file(
    budget: Budget, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    clean = as_stored(rng.random((4, 3, 3, 1)))
    attacked = budget.project(clean, clean + rng.normal(size=clean.shape))
    stored = round_to_stored(clean, attacked, budget)
    budget.require(clean, stored)
    np.testing.assert_array_equal(stored, as_stored(stored))


def test_rounding_finds_the_nearest_level_that_the_budget_allows() -> None:
    clean = np.full((1, 1, 1, 1), 100 / 255, np.float32)
    attacked = clean + np.float32(2.9 / 255)
    assert round_to_stored(clean, attacked, Budget(2.9 / 255)) * 255 == pytest.approx(102)
    assert round_to_stored(clean, attacked, Budget(3 / 255)) * 255 == pytest.approx(103)


@pytest.mark.parametrize(("norm", "expected"), [("linf", 0.4), ("l2", 0.5)])
def test_distances_are_those_of_the_norms(norm: Norm, expected: float) -> None:
    moved = np.array([[[[0.3], [-0.4]]]])
    assert distances(np.zeros_like(moved), moved, norm) == pytest.approx([expected])


def test_what_breaks_the_rules_is_refused() -> None:
    clean = np.zeros((1, 2, 2, 1))
    with pytest.raises(RobustnessError, match=r"changed by 0\.2 in linf; the budget is 0\.1"):
        Budget(0.1).require(clean, clean + 0.2)
    with pytest.raises(RobustnessError, match="changed by nan"):
        Budget(0.1).require(clean, np.full_like(clean, np.nan))
    with pytest.raises(RobustnessError, match="epsilon"):
        Budget(float("nan"))
    with pytest.raises(RobustnessError, match="norm='l3'"):
        Budget(0.1, "l3")  # type: ignore[arg-type]
    with pytest.raises(RobustnessError, match="not multiples of 1/255"):
        round_to_stored(clean + 0.001, clean, Budget(0.1))
