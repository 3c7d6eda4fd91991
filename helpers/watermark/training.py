"""Teach a trained model something more without teaching it less: the step that all marks share."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from helpers.errors import WatermarkError
from helpers.models import fit_keywords

if TYPE_CHECKING:
    import tensorflow as tf

BATCH_SIZE = 64


def copy_of(model: tf.keras.Model) -> tf.keras.Model:
    """Return an independent model with the same layers and weights."""
    import tensorflow as tf

    copy = tf.keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    return copy


def train_on(
    model: tf.keras.Model,
    x: np.ndarray,
    y: np.ndarray,
    epochs: int,
    learning_rate: float,
    seed: int,
    progress: bool,
    penalty: Callable[[tf.keras.Model], Any] | None = None,
) -> tf.keras.Model:
    """Train a copy of a model on, with a penalty on its weights if one is given.

    Parameters
    ----------
    model
        Stays as it is.
    x, y
        Examples and labels.
    epochs, learning_rate, seed, progress
        As in :func:`helpers.models.fit_keywords`.
    penalty
        Model to a scalar that is added to the loss of every batch.

    Returns
    -------
    tf.keras.Model
        Without the penalty and the optimiser.
    """
    trained = copy_of(model)
    if penalty is not None:
        trained.add_loss(lambda: penalty(trained))
    fit_keywords(trained, x, y, epochs, BATCH_SIZE, learning_rate, seed, progress)
    return copy_of(trained)


def require_classes(classes: int, y: np.ndarray | None = None) -> None:
    """Refuse fewer than two classes, and labels outside them."""
    if classes < 2:
        raise WatermarkError(f"classes={classes}: a mark in the answers needs at least two.")
    if y is not None and not (np.min(y) >= 0 and np.max(y) < classes):
        raise WatermarkError(
            f"Labels from {np.min(y)} to {np.max(y)} do not fit {classes} classes."
        )
