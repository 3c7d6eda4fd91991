"""What every trainer of this room does: a copy to train, batches in random order, a finite loss."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from helpers.errors import RobustnessError
from helpers.robustness.losses import require_logits


def copy_to_train(model: tf.keras.Model, inputs: NDArray[np.float32]) -> tf.keras.Model:
    """Return a copy of a model, which must give logits on the inputs.

    Raises
    ------
    RobustnessError
        If it does not.
    """
    copy = tf.keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    require_logits(copy(tf.constant(inputs[:8])))
    return copy


def batches(
    inputs: NDArray[np.float32], labels: NDArray[np.int64], size: int, rng: np.random.Generator
) -> Iterator[tuple[tf.Tensor, tf.Tensor]]:
    """Yield one epoch in random order; what is left and fills no batch is left out of it."""
    size, order = min(size, len(inputs)), rng.permutation(len(inputs))
    for start in range(0, len(inputs) - size + 1, size):
        rows = order[start : start + size]
        yield tf.constant(inputs[rows]), tf.constant(labels[rows])


def finite(loss: Any) -> float:
    """Return a loss as a number, which training must keep finite.

    Raises
    ------
    RobustnessError
        If it is not.
    """
    if not np.isfinite(value := float(loss)):
        raise RobustnessError("Training has reached NaN or infinity: lower learning_rate.")
    return value
