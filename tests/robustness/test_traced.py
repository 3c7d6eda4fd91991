"""An attack is traced once for a model, and does not keep the model alive."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from helpers.robustness._traced import _TRACED, traced
from helpers.robustness.budget import Budget
from helpers.robustness.frequency import Band, band_limited_pgd
from helpers.robustness.gradients import Pgd
from helpers.robustness.losses import margin
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


def test_the_same_functions_are_traced_once_for_each_key_and_others_anew() -> None:
    made: list[Any] = []

    def trace(*answers: Callable[..., Any]) -> Callable[..., Any]:
        made.append(answers)
        return answers[0]

    def double(inputs: Any) -> Any:
        return 2 * inputs

    first = traced((double,), "a", trace)
    assert first is not None
    assert traced((double,), "a", trace) is first
    assert traced((double,), "b", trace) is not first
    assert traced((lambda inputs: 3 * inputs,), "a", trace) is not first
    assert traced((double, abs), "a", trace) is traced((double, abs), "a", trace)
    assert len(made) == 4
    assert first(4) == 8


class Network:
    """Counts how often it is traced."""

    def __init__(self) -> None:
        self.layers, self.traces = make_network(), 0

    def logits(self, inputs: Any) -> Any:
        import tensorflow as tf

        self.traces += not tf.executing_eagerly()
        return self.layers(inputs)


class Unhashable(Network):
    __hash__ = None  # type: ignore[assignment]

    def __call__(self, inputs: Any) -> Any:
        return self.logits(inputs)


def test_a_bound_method_is_traced_once() -> None:
    network = Network()
    Pgd(network.logits)(X, Y, 0.1, steps=1)
    once = network.traces
    Pgd(network.logits)(X, Y, 0.2, steps=1)
    assert network.traces == once > 0


def test_what_can_be_kept_for_no_model_is_kept_with_the_attack() -> None:
    network = Unhashable()
    assert traced((network,), "a", lambda given: given) is None
    attack = Pgd(network)
    attack(X, Y, 0.1, steps=1)
    once = network.traces
    attack(X, Y, 0.0, steps=1, restarts=3)
    assert network.traces == once > 0


@dataclass(frozen=True)
class Scaled:
    """Equal to any other with the same factor, whatever the network."""

    factor: float
    network: Any = field(compare=False)

    def __call__(self, inputs: Any) -> Any:
        return self.factor * self.network(inputs)

    logits = __call__


@pytest.mark.parametrize("part", ["method", "itself"])
def test_what_is_kept_refers_to_the_model_that_it_is_kept_for(part: str) -> None:
    import tensorflow as tf

    network = make_network()
    first = Scaled(2.0, network)

    def attack(targeted: bool) -> Pgd:
        model = first.logits if part == "method" else Scaled(2.0, network)
        return Pgd(model, targeted=targeted)

    owner, second = attack(False), attack(True)
    owner(X, Y, 0.1, steps=1)
    second(X, Y, 0.1, steps=1)
    del second
    gc.collect()
    tf.config.run_functions_eagerly(True)
    try:
        attack(True)(X, Y, 0.1, steps=1)
    finally:
        tf.config.run_functions_eagerly(False)


def test_methods_of_equal_objects_are_not_taken_for_each_other() -> None:
    networks = make_network(), make_network()
    found = [Pgd(Scaled(2.0, network).logits)(X, Y, 0.1, steps=2) for network in networks]
    models = [Scaled(2.0, network) for network in networks]
    together = [Pgd(model.logits)(X, Y, 0.1, steps=2) for model in models]
    assert all(map(np.array_equal, found, together))
    assert not np.array_equal(together[0], together[1])


def holding(model: Any, factor: int) -> Callable[[Any, Any], Any]:
    """A loss that closes over the model."""

    def loss(outputs: Any, labels: Any) -> Any:
        return factor * margin(outputs, labels) + 0 * model.count_params()

    return loss


def test_a_loss_of_ones_own_goes_with_its_graph_and_keeps_no_model() -> None:
    network = make_network()
    losses = [holding(network, factor) for factor in (1, 2)]
    for number in (0, 1):
        Pgd(network, loss=losses[number])(X, Y, 0.1, steps=1)
    assert len(_TRACED[network].further) == 2
    del losses[1]
    gc.collect()
    assert len(_TRACED[network].further) == 1
    gone = weakref.ref(network)
    del losses, network
    gc.collect()
    assert gone() is None
