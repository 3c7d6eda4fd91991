from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import fft

from helpers.errors import RobustnessError
from helpers.robustness.budget import Budget
from helpers.robustness.queries import Dither
from helpers.robustness.simba import Basis, _Directions, simba
from helpers.robustness.target import Target
from tests.robustness.conftest import Examples

if TYPE_CHECKING:
    from helpers.robustness.budget import Norm


@pytest.mark.parametrize(("norm", "radius"), [("linf", 0.25), ("l2", 2.0)])
@pytest.mark.parametrize("basis", ["pixel", "dct"])
def test_it_keeps_to_budget_and_queries_and_fools_the_file(
    target: Target, examples: Examples, norm: Norm, radius: float, basis: Basis
) -> None:
    x, y = examples[0][:60], examples[1][:60]
    metered, meter = target.metered()
    budget = Budget(radius, norm)
    outcome = simba(metered, x, y, budget, basis=basis, queries=150, lowest=0.5, seed=1)
    assert outcome.queries is not None
    assert outcome.queries.max() <= 150
    assert meter.count == outcome.queries.sum() + 2 * len(x)  # the judge asks twice more
    budget.require(x, outcome.adversarial)
    assert outcome.robust_accuracy < outcome.correct.mean() - 0.2
    assert outcome.fooled[outcome.queries < 150].all()


def test_on_a_linear_model_every_pixel_ends_at_its_better_edge() -> None:
    """Algorithm 1 on f(x) = w·x has a closed form: each coordinate moves against its weight."""
    rng = np.random.default_rng(3)
    weights = rng.normal(size=(1, 4, 4, 1))

    def ask(inputs: np.ndarray) -> np.ndarray:
        value = (inputs * weights).sum(axis=(1, 2, 3))
        return np.stack([value + 100, -value - 100], axis=1)  # never fooled: all steps are taken

    x = np.full((1, 4, 4, 1), 0.5, np.float32)
    outcome = simba(Target(ask), x, np.array([0]), Budget(0.1), queries=33, accept_ties=False)
    np.testing.assert_allclose(outcome.adversarial, x - 0.1 * np.sign(weights), atol=1e-6)


@given(st.integers(2, 6), st.integers(1, 3), st.sampled_from(["pixel", "dct"]))
def test_the_directions_of_one_pass_are_an_orthonormal_basis(
    side: int, channels: int, basis: Basis
) -> None:
    shape = (2, side, side, channels)
    directions = _Directions(shape, basis, 1.0, np.random.default_rng(0))
    size = side * side * channels
    rows = np.stack([directions.following(Budget(1, "l2"))[1].ravel() for _ in range(size)])
    np.testing.assert_allclose(rows @ rows.T, np.eye(size), atol=1e-9)


def test_a_low_frequency_basis_has_no_high_frequency() -> None:
    directions = _Directions((1, 8, 8, 1), "dct", 0.25, np.random.default_rng(0))
    for _ in range(8):
        waves = fft.dctn(directions.following(Budget(1))[0, ..., 0], norm="ortho")
        assert np.abs(waves[2:]).max() < 1e-9
        assert np.abs(waves[:, 2:]).max() < 1e-9


@pytest.mark.parametrize("dither", [Dither(), Dither(3, 0.05)])
def test_no_radius_no_success(target: Target, examples: Examples, dither: Dither) -> None:
    x, y = examples[0][:10], examples[1][:10]
    outcome = simba(target, x, y, Budget(0.0), queries=12, dither=dither)
    np.testing.assert_array_equal(outcome.adversarial, x)


def test_settings_out_of_range_are_refused(target: Target, examples: Examples) -> None:
    x, y = examples[0][:2], examples[1][:2]
    with pytest.raises(RobustnessError, match="basis='wavelet'"):
        simba(target, x, y, Budget(0.1), basis="wavelet")  # type: ignore[arg-type]
    with pytest.raises(RobustnessError, match="lowest=0"):
        simba(target, x, y, Budget(0.1), lowest=0)
    with pytest.raises(RobustnessError, match="height, width"):
        simba(target, x.reshape(2, 64), y, Budget(0.1))
