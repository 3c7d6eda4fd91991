"""Detectors of adversarial inputs, and the attacker who knows them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import auc, roc_auc_score

from helpers import data
from helpers.errors import RobustnessError
from helpers.robustness.budget import Budget, as_stored
from helpers.robustness.screening import (
    Detector,
    FeatureSqueezing,
    Unsure,
    calibrate,
    evade,
    roc,
    screen,
    suspicion,
)
from helpers.robustness.target import Target
from helpers.robustness.transfer import transfer
from helpers.robustness.transformations import fewer_levels, median
from tests.robustness.conftest import Examples

BUDGET = Budget(0.25)
SQUEEZING = FeatureSqueezing((fewer_levels(2), median(2)))


@given(*[arrays(np.int64, st.integers(2, 12), elements=st.integers(0, 6))] * 2)
def test_the_area_is_the_chance_of_a_right_order(clean: np.ndarray, other: np.ndarray) -> None:
    curve = roc(clean, other)
    truth = np.repeat([0, 1], [len(clean), len(other)])
    assert curve.area == pytest.approx(roc_auc_score(truth, np.concatenate([clean, other])))
    assert curve.area == pytest.approx(auc(curve.false_alarms, curve.detected))
    low, high = curve.interval()
    assert 0 <= low <= curve.area <= high <= 1


def test_the_interval_of_the_area_covers_as_often_as_it_says() -> None:
    rng, inside = np.random.default_rng(0), 0
    for _ in range(300):
        low, high = roc(rng.normal(size=60), rng.normal(1, 1, 60)).interval()
        inside += low <= 0.7602 <= high  # the chance that N(1, 1) is above N(0, 1)
    assert inside / 300 == pytest.approx(0.95, abs=0.04)


def test_the_threshold_lets_as_many_clean_inputs_through_as_it_should(
    target: Target, digits: data.Dataset
) -> None:
    clean = as_stored(digits.x_test[120:320])
    guard = calibrate(target, SQUEEZING, clean, 0.1)
    assert guard.alarms(clean).mean() <= 0.1
    tighter = np.sort(guard.suspicion(clean))
    assert (tighter >= guard.threshold).mean() >= 0.1 - 1 / len(clean)
    with pytest.raises(RobustnessError, match="1/200"):
        calibrate(target, SQUEEZING, clean, 0.001)


def test_suspicion_is_the_same_from_logits_and_from_probabilities() -> None:
    rng = np.random.default_rng(1)
    weights = rng.normal(size=(16, 3)).astype(np.float32)

    def logits(rows: np.ndarray) -> np.ndarray:
        return np.asarray(rows.reshape(len(rows), -1) @ weights)

    def chances(rows: np.ndarray) -> np.ndarray:
        raised = np.exp(logits(rows))
        return np.asarray(raised / raised.sum(axis=1, keepdims=True))

    x = rng.random((5, 4, 4, 1)).astype(np.float32)
    np.testing.assert_allclose(
        suspicion(Target(logits), SQUEEZING, x),
        suspicion(Target(chances), SQUEEZING, x),
        rtol=1e-4,
    )
    squeezed = [chances(s(x)) for s in SQUEEZING.squeezers]
    expected = np.max([np.abs(chances(x) - other).sum(axis=1) for other in squeezed], axis=0)
    np.testing.assert_allclose(suspicion(Target(chances), SQUEEZING, x), expected, rtol=1e-4)


@pytest.mark.parametrize("detector", [Unsure(), SQUEEZING])
def test_a_detector_sees_who_does_not_know_it_and_misses_who_does(
    target: Target, digits: data.Dataset, examples: Examples, detector: Detector
) -> None:
    x, y = examples
    guard = calibrate(target, detector, as_stored(digits.x_test[120:320]), 0.1)
    unaware = screen(guard, transfer(target, x, y, Budget(0.1)))
    adaptive = evade(guard, x, y, BUDGET, steps=30, restarts=1)
    seen = guard.suspicion(x), guard.suspicion(unaware.outcome.adversarial)
    assert roc(*seen).area > 0.6
    assert adaptive.evasion_rate > unaware.evasion_rate
    assert adaptive.evasion_rate > 0.5
    BUDGET.require(x, adaptive.outcome.adversarial)
    assert not (adaptive.evading & guard.alarms(adaptive.outcome.adversarial)).any()
