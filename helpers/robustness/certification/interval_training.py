"""Training for interval bounds: the loss of the worst logits, brought in slowly."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike
from tqdm import tqdm

from helpers.errors import RobustnessError
from helpers.robustness._checks import (
    checked_pairs,
    require_not_negative,
    require_positive,
    require_whole,
)
from helpers.robustness._training import batches, copy_to_train, finite
from helpers.robustness.certification.intervals import worst_logits
from helpers.robustness.losses import cross_entropy


@dataclass(frozen=True)
class IntervalTraining:
    """How to train for bounds.

    Attributes
    ----------
    epochs
        Passes over the inputs.
    batch_size, learning_rate
        Of Adam.
    clean_share
        Share of the passes on clean inputs only, before the radius grows.
    growth_share
        Share of the passes in which it grows from 0 to its full size.
    final_clean_weight
        Weight of the clean loss at the end; it falls from 1 as the radius grows (kappa).

    Raises
    ------
    RobustnessError
        If a setting is out of its range, or the two shares of the passes exceed 1 together.
    """

    epochs: int = 30
    batch_size: int = 64
    learning_rate: float = 1e-3
    clean_share: float = 0.1
    growth_share: float = 0.5
    final_clean_weight: float = 0.5

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size"):
            require_whole(name, getattr(self, name), at_least=1)
        require_positive("learning_rate", self.learning_rate)
        for name in ("clean_share", "growth_share", "final_clean_weight"):
            require_not_negative(name, getattr(self, name))
        if self.clean_share + self.growth_share > 1 or self.final_clean_weight > 1:
            raise RobustnessError(
                f"clean_share={self.clean_share} and growth_share={self.growth_share} must leave "
                "room within 1, and final_clean_weight must be at most 1."
            )

    def schedule(self, done: float) -> tuple[float, float]:
        """Return the share of the radius and the weight of the clean loss.

        Parameters
        ----------
        done
            Share of the training that is done, 0 to 1.
        """
        grown = (done - self.clean_share) / self.growth_share if self.growth_share else 1.0
        grown = min(1.0, max(0.0, grown)) if done >= self.clean_share else 0.0
        return grown, 1 - grown * (1 - self.final_clean_weight)


def fit_interval(
    model: tf.keras.Model,
    inputs: ArrayLike,
    labels: ArrayLike,
    epsilon: float,
    training: IntervalTraining | None = None,
    *,
    seed: int = 0,
    progress: bool = False,
) -> tf.keras.Model:
    """Train a network whose bounds are tight (Gowal et al. 2018).

    The loss is that of the worst logits any input in the box could have; it and the radius come in
    slowly, as a fresh network's bounds are so wide that it would learn nothing.

    Parameters
    ----------
    model
        As :func:`~helpers.robustness.certification.intervals.propagate` takes it, without batch
        normalisation, inputs in [0, 1] to logits; it is not changed.
    inputs, labels
        ``(n, ...)`` and classes ``(n,)``.
    epsilon
        L-infinity radius to train for.
    training
        How to train.
    seed
        Of the order.
    progress
        Whether to show a progress bar.

    Returns
    -------
    tf.keras.Model
        A new model.

    Raises
    ------
    RobustnessError
        If the network has no bounds here, or training diverges.
    """
    clean, truth = checked_pairs(inputs, labels)
    require_not_negative("epsilon", epsilon)
    how = training or IntervalTraining()
    if any(isinstance(x, tf.keras.layers.BatchNormalization) for x in model.layers):
        raise RobustnessError("fit_interval() takes no batch normalisation: train without it.")
    trained = copy_to_train(model, clean)
    update, rng = _updater(trained, how), np.random.default_rng(seed)
    steps, step = how.epochs * (len(clean) // min(how.batch_size, len(clean))), 0
    for _ in tqdm(range(how.epochs), desc="interval training", unit="epoch", disable=not progress):
        for rows, goal in batches(clean, truth, how.batch_size, rng):
            share, weight = how.schedule(step / steps)
            numbers = (tf.constant(value, tf.float32) for value in (share * epsilon, weight))
            finite(update(rows, goal, *numbers))
            step += 1
    return trained


def _updater(model: tf.keras.Model, how: IntervalTraining) -> Callable[[Any, Any, Any, Any], Any]:
    optimizer = tf.keras.optimizers.Adam(how.learning_rate)
    optimizer.build(model.trainable_variables)

    @tf.function
    def update(rows: Any, labels: Any, epsilon: Any, weight: Any) -> Any:
        with tf.GradientTape() as tape:
            calm = tf.reduce_mean(cross_entropy(model(rows, training=True), labels))
            worst = worst_logits(model, rows, labels, epsilon)
            loss = weight * calm + (1 - weight) * tf.reduce_mean(cross_entropy(worst, labels))
        variables = model.trainable_variables
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return loss

    return update
