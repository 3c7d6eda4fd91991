"""Randomised ensembles: one member drawn for each question."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from helpers.errors import RobustnessError
from helpers.robustness.budget import Budget
from helpers.robustness.ensembles import expected_robustness, randomise
from helpers.robustness.losses import logits_of
from helpers.robustness.target import Target, judge
from helpers.robustness.transfer import transfer
from tests.robustness.conftest import Examples

if TYPE_CHECKING:
    import tensorflow as tf


def always(label: int) -> Target:
    return Target(lambda rows: np.tile(np.eye(2)[label], (len(rows), 1)))


X, Y = np.full((400, 2, 2, 1), 0.5, np.float32), np.zeros(400, np.int64)


def test_each_input_is_answered_by_one_member_drawn_evenly_and_again_from_a_seed() -> None:
    members = [always(0), always(1)]
    first, again = (randomise(members, seed=5).labels(X) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert 0.4 < first.mean() < 0.6
    drawn_twice = randomise(members, seed=5)
    assert (drawn_twice.labels(X) != drawn_twice.labels(X)).any()


def test_the_expectation_is_over_all_members_and_not_one_draw() -> None:
    members = [always(0), always(0), always(1), always(1)]
    outcome = judge(randomise(members), X, Y, X, attack="none")
    assert expected_robustness(members, X, Y, outcome) == 0.25  # right twice in a row
    assert expected_robustness(members[:2], X, Y, outcome) == 1


def test_who_holds_the_files_climbs_the_mean_of_their_logits(
    target: Target, network: tf.keras.Model, examples: Examples
) -> None:
    x, y = examples[0][:60], examples[1][:60]
    source = Target(target.ask, logits_of(network))
    ensemble = randomise([target, source])
    model = ensemble.differentiable()
    expected = (np.asarray(target.differentiable()(x)) + np.asarray(source.differentiable()(x))) / 2
    np.testing.assert_allclose(np.asarray(model(x)), expected, rtol=1e-5, atol=1e-5)
    assert transfer(ensemble, x, y, Budget(0.2)).robust_accuracy < 0.4


def test_an_ensemble_of_one_is_refused() -> None:
    with pytest.raises(RobustnessError, match="1 members"):
        randomise([always(0)])
