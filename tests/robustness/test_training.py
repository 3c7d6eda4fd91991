from __future__ import annotations

import numpy as np
import pytest

from helpers import data, models
from helpers.errors import RobustnessError
from helpers.robustness.gradients import Pgd
from helpers.robustness.training import Epoch, Method, Settings, Training, collapse, fit_robust
from tests.robustness.conftest import Examples

EPSILON = 0.15


def trained(method: Method, digits: data.Dataset, examples: Examples, epochs: int) -> Training:
    import tensorflow as tf

    tf.keras.utils.set_random_seed(1)
    layers = tf.keras.layers
    model = tf.keras.Sequential(
        [
            layers.Input((8, 8, 1)),
            layers.Conv2D(16, 3, activation="relu"),
            layers.Flatten(),
            layers.Dense(64, activation="relu"),
            layers.Dense(10),
        ]
    )
    before = [w.copy() for w in model.get_weights()]
    settings = Settings(method, epochs, learning_rate=0.003)
    done = fit_robust(model, digits.x_train, digits.y_train, EPSILON, examples, settings)
    for left, right in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(left, right)
    return done


@pytest.fixture(scope="module")
def plain(digits: data.Dataset, examples: Examples) -> Training:
    return trained("plain", digits, examples, 10)


@pytest.mark.parametrize(
    ("method", "epochs"), [("fast", 10), ("free", 24), ("pgd", 10), ("trades", 10)]
)
def test_each_way_buys_robustness_that_plain_training_does_not(
    plain: Training, digits: data.Dataset, examples: Examples, method: Method, epochs: int
) -> None:
    best = max(epoch.many_steps for epoch in trained(method, digits, examples, epochs).history)
    assert best > max(epoch.many_steps for epoch in plain.history) + 0.1


def test_plain_training_is_accurate_and_nothing_else(plain: Training, examples: Examples) -> None:
    last = plain.history[-1]
    assert last.clean > 0.9
    assert last.many_steps < last.one_step <= last.clean
    inputs, labels = examples
    right = np.mean(np.argmax(plain.model(inputs), axis=1) == labels)
    assert right == max(epoch.clean for epoch in plain.history)


def test_a_gap_that_opens_by_a_fall_is_caught_and_an_old_gap_is_not() -> None:
    healthy = [Epoch(0.8, 0.5, 0.4), Epoch(0.85, 0.55, 0.45)]
    assert collapse(healthy) is None
    assert collapse([*healthy, Epoch(0.9, 0.95, 0.02)]) == 2
    always_wide = [Epoch(0.9, 0.5, 0.1), Epoch(0.9, 0.5, 0.1)]
    assert collapse(always_wide) is None
    both_fell = [*healthy, Epoch(0.3, 0.2, 0.1)]
    assert collapse(both_fell) is None


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(RobustnessError, match="method='magic'"):
        Settings("magic")  # type: ignore[arg-type]
    with pytest.raises(RobustnessError, match="epochs=0"):
        Settings(epochs=0)


def test_one_step_training_from_the_clean_input_collapses_on_real_digits_and_is_caught() -> None:
    mnist = data.load("mnist", source="offline")
    watch = mnist.x_test[-200:], mnist.y_test[-200:]
    settings = Settings("fgsm", 12, learning_rate=0.004)
    caught = fit_robust(models.wong_cnn(), mnist.x_train, mnist.y_train, 0.2, watch, settings)
    assert caught.collapsed == len(caught.history) - 1  # it stopped there
    fallen = caught.history[-1]
    best = max(epoch.many_steps for epoch in caught.history)
    assert fallen.many_steps < best / 2
    assert fallen.one_step > fallen.many_steps + 0.2
    # What comes back are the weights from before the fall.
    attacked = Pgd(caught.model)(*watch, 0.2, steps=10)
    given = np.argmax(caught.model(attacked), axis=1)
    assert np.mean(given == watch[1]) == pytest.approx(best, abs=0.03)
