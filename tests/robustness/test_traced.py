"""An attack is traced once for a model, and does not keep the model alive."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from helpers.robustness._traced import traced
from helpers.robustness.budget import Budget
from helpers.robustness.frequency import Band, band_limited_pgd
from helpers.robustness.gradients import Pgd
from helpers.robustness.screening import Unsure, calibrate, evade
from helpers.robustness.target import Target

if TYPE_CHECKING:
    import tensorflow as tf

X = np.random.default_rng(0).random((6, 4, 4, 1)).astype(np.float32)
Y = np.arange(6) % 3


def make_network() -> tf.keras.Model:
    import tensorflow as tf

    layers = [tf.keras.layers.Input((4, 4, 1)), tf.keras.layers.Flatten(), tf.keras.layers.Dense(3)]
    return tf.keras.Sequential(layers)


def by_pgd(network: tf.keras.Model) -> None:
    Pgd(network)(X, Y, 0.1, steps=2)


def by_pgd_on_a_function(network: tf.keras.Model) -> None:
    Pgd(lambda inputs: network(inputs))(X, Y, 0.1, steps=2)


def in_a_band(network: tf.keras.Model) -> None:
    band_limited_pgd(network, X, Y, 0.1, Band(0, 2), steps=2)


def around_a_detector(network: tf.keras.Model) -> None:
    import tensorflow as tf

    target = Target(lambda x: tf.nn.softmax(network(x)).numpy(), network)
    evade(calibrate(target, Unsure(), X, 0.5), X, Y, Budget(0.1), steps=2, restarts=1)


@pytest.mark.parametrize(
    "attack", [by_pgd, by_pgd_on_a_function, in_a_band, around_a_detector],
    ids=lambda attack: str(attack.__name__),
)  # fmt: skip
def test_a_model_that_was_attacked_can_be_forgotten(attack: Callable[[Any], None]) -> None:
    network = make_network()
    gone = weakref.ref(network)
    attack(network)
    del network
    gc.collect()
    assert gone() is None


def test_the_same_model_is_traced_once_for_each_key_and_another_anew() -> None:
    made: list[Any] = []

    def trace(answers: Callable[[Any], Any]) -> Callable[..., Any]:
        made.append(answers)
        return answers

    def double(inputs: Any) -> Any:
        return 2 * inputs

    first = traced(double, "a", trace)
    assert traced(double, "a", trace) is first
    assert traced(double, "b", trace) is not first
    assert traced(lambda inputs: 3 * inputs, "a", trace) is not first
    assert len(made) == 3
    assert first(4) == 8


def test_what_cannot_be_a_key_is_traced_each_time() -> None:
    class Unhashable(list[Any]):
        def __call__(self, inputs: Any) -> Any:
            return inputs + 1

    model = Unhashable()
    answers = [traced(model, "a", lambda given: given) for _ in range(2)]
    assert answers[0] is not answers[1]
    assert answers[0](1) == 2
