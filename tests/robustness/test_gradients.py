from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.errors import RobustnessError
from helpers.robustness.budget import Budget, Norm
from helpers.robustness.gradients import Pgd, fgsm, straight_through, vanishing_gradients
from helpers.robustness.losses import logits_of, margin
from helpers.robustness.target import Target
from tests.robustness.conftest import Examples

if TYPE_CHECKING:
    import tensorflow as tf

WEIGHTS = np.random.default_rng(5).normal(size=(12, 2)).astype(np.float32)


def linear(inputs: tf.Tensor) -> tf.Tensor:
    """Two classes, divided by a plane: its best attack is known in closed form."""
    import tensorflow as tf

    return tf.reshape(inputs, [-1, 12]) @ tf.constant(WEIGHTS)


def middle(count: int = 6) -> Examples:
    """Inputs so far from the bounds that clipping plays no part."""
    x = np.random.default_rng(6).uniform(0.4, 0.6, (count, 12)).astype(np.float32)
    return x, np.argmax(x @ WEIGHTS, axis=1)


def lead(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """How far the right logit is ahead."""
    scores = x @ WEIGHTS
    rows = np.arange(len(x))
    return scores[rows, y] - scores[rows, 1 - y]


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_against_a_linear_model_one_step_is_the_best_attack_there_is(norm: Norm) -> None:
    x, y = middle()
    normal = WEIGHTS[:, 0] - WEIGHTS[:, 1]
    reach = np.abs(normal).sum() if norm == "linf" else np.linalg.norm(normal)
    found = fgsm(linear, x, y, 0.1, norm)
    np.testing.assert_allclose(lead(found, y), lead(x, y) - 0.1 * reach, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("loss", ["cross_entropy", "margin"])
def test_pgd_reaches_the_known_optimum_of_a_linear_model(norm: Norm, loss: str) -> None:
    x, y = middle()
    found = Pgd(linear, norm, loss)(x, y, 0.1, steps=40, step_size=0.05)  # type: ignore[arg-type]
    best = fgsm(linear, x, y, 0.1, norm)
    np.testing.assert_allclose(lead(found, y), lead(best, y), rtol=1e-3, atol=1e-3)


def test_a_targeted_attack_walks_the_other_way() -> None:
    x, y = middle()
    found = Pgd(linear, targeted=True)(x, y, 0.1, steps=20)
    assert (lead(found, y) > lead(x, y)).all()


@pytest.mark.parametrize("norm", ["linf", "l2"])
@settings(max_examples=15)
@given(epsilon=st.floats(0, 1.5), steps=st.integers(1, 6), seed=st.integers(0, 1000))
def test_the_budget_and_the_bounds_hold_whatever_the_settings(
    network: tf.keras.Model,
    examples: Examples,
    norm: Norm,
    epsilon: float,
    steps: int,
    seed: int,
) -> None:
    x, y = examples[0][:10], examples[1][:10]
    attack = _attack(network, norm)
    found = attack(x, y, epsilon, steps=steps, step_size=0.7, restarts=2, seed=seed)
    Budget(epsilon, norm).require(x, found)
    assert found.min() >= 0
    assert found.max() <= 1


def _attack(network: tf.keras.Model, norm: Norm) -> Pgd:
    return Pgd(_logits(network), norm)


@lru_cache
def _logits(network: tf.keras.Model) -> tf.keras.Model:
    """One model, so that its attacks share one compiled loop."""
    return logits_of(network)


def test_a_budget_of_nothing_changes_nothing(network: tf.keras.Model, examples: Examples) -> None:
    x, y = examples
    for norm in ("linf", "l2"):
        np.testing.assert_array_equal(_attack(network, norm)(x, y, 0.0, steps=3), x)


def test_more_restarts_never_undo_a_success(network: tf.keras.Model, examples: Examples) -> None:
    x, y = examples
    attack, model = _attack(network, "linf"), _logits(network)
    fooled = [
        np.argmax(model(attack(x, y, 0.12, steps=2, restarts=restarts)), axis=1) != y
        for restarts in (1, 2, 5)
    ]
    assert (fooled[0] <= fooled[1]).all()
    assert (fooled[1] <= fooled[2]).all()
    assert fooled[2].sum() > fooled[0].sum()


def test_an_input_is_attacked_alike_in_whatever_company(
    network: tf.keras.Model, examples: Examples
) -> None:
    x, y = examples
    attack = _attack(network, "linf")
    together, alone = attack(x, y, 0.1, steps=5), attack(x[:3], y[:3], 0.1, steps=5)
    np.testing.assert_allclose(together[:3], alone, atol=1e-5)


@pytest.mark.parametrize(("norm", "epsilon"), [("linf", 0.15), ("l2", 0.8)])
def test_robust_accuracy_is_that_of_arts_pgd(
    network: tf.keras.Model, examples: Examples, norm: Norm, epsilon: float
) -> None:
    from art.attacks.evasion import ProjectedGradientDescent

    from helpers.robustness.library import art_classifier

    x, y = examples
    model = _logits(network)
    estimator = art_classifier(Target(model, model), x)
    theirs = ProjectedGradientDescent(
        estimator, np.inf if norm == "linf" else 2, epsilon, epsilon / 8, max_iter=20,
        num_random_init=1, batch_size=len(x), verbose=False,
    ).generate(x, y)  # fmt: skip
    ours = _attack(network, norm)(x, y, epsilon, steps=20)
    left = [float(np.mean(np.argmax(model(found), axis=1) == y)) for found in (ours, theirs)]
    assert 0.05 < left[0] < 0.9
    assert left[0] <= left[1] + 1e-9
    assert left[0] == pytest.approx(left[1], abs=0.05)


def test_averaging_over_draws_sees_through_a_model_that_answers_at_random(
    network: tf.keras.Model, examples: Examples
) -> None:
    import tensorflow as tf

    x, y = examples
    inner = _logits(network)

    def at_random(inputs: tf.Tensor) -> tf.Tensor:
        return inner(inputs + tf.random.normal(tf.shape(inputs), stddev=0.7))

    tf.random.set_seed(3)
    left = {
        samples: np.mean(
            np.argmax(inner(Pgd(at_random, samples=samples)(x, y, 0.15, steps=10)), axis=1) == y
        )
        for samples in (1, 16)
    }
    assert left[16] < left[1] - 0.05


def test_a_straight_through_gradient_walks_through_a_rounding_that_stops_others(
    network: tf.keras.Model, examples: Examples
) -> None:
    import tensorflow as tf

    def four_levels(inputs: tf.Tensor) -> tf.Tensor:
        return tf.round(inputs * 3) / 3

    x, y = examples
    inner = logits_of(network)

    def blind(inputs: tf.Tensor) -> tf.Tensor:
        return inner(four_levels(inputs))

    def seeing(inputs: tf.Tensor) -> tf.Tensor:
        return inner(straight_through(four_levels)(inputs))

    np.testing.assert_allclose(blind(x), seeing(x), rtol=1e-4, atol=1e-4)
    assert vanishing_gradients(blind, x, y) == 1
    assert vanishing_gradients(seeing, x, y) == 0
    left = [
        np.mean(np.argmax(blind(Pgd(model)(x, y, 0.2, steps=10)), axis=1) == y)
        for model in (blind, seeing)
    ]
    assert left[1] < left[0] - 0.3


def test_logits_of_leaves_the_softmax_and_nothing_else_out(
    network: tf.keras.Model, examples: Examples
) -> None:
    import tensorflow as tf

    x, _ = examples
    logits = logits_of(network)
    np.testing.assert_allclose(tf.nn.softmax(logits(x)), network(x), atol=1e-5)
    assert logits_of(logits) is logits
    layered = tf.keras.Sequential([logits, tf.keras.layers.Softmax()])
    np.testing.assert_allclose(logits_of(layered)(x), logits(x), atol=1e-5)


def test_an_ascent_on_certain_probabilities_stands_still(
    network: tf.keras.Model, examples: Examples
) -> None:
    """The trap that the refusal of probabilities is there for."""
    import tensorflow as tf

    x, y = examples
    logits = logits_of(network)
    certain = tf.keras.Sequential([logits, tf.keras.layers.Lambda(lambda z: 20 * z)])
    assert vanishing_gradients(certain, x, y, "cross_entropy") > 0.5
    assert vanishing_gradients(certain, x, y, margin) == 0
    with pytest.raises(RobustnessError, match="gives probabilities"):
        Pgd(network)(x, y, 0.1)


def test_settings_out_of_range_are_refused() -> None:
    x, y = middle()
    with pytest.raises(RobustnessError, match="one and the same start"):
        Pgd(linear)(x, y, 0.1, restarts=2, random_start=False)
    with pytest.raises(RobustnessError, match="steps=0"):
        Pgd(linear)(x, y, 0.1, steps=0)
    with pytest.raises(RobustnessError, match=r"within \[0, 1\]"):
        Pgd(linear)(x * 255, y, 0.1)
    with pytest.raises(RobustnessError, match="label 7, but 2 classes"):
        Pgd(linear)(x, np.full(len(x), 7), 0.1)
    with pytest.raises(RobustnessError, match="loss='hinge'"):
        Pgd(linear, loss="hinge")  # type: ignore[arg-type]
    with pytest.raises(RobustnessError, match="expected"):
        Pgd(linear)(x, y[:-1], 0.1)
