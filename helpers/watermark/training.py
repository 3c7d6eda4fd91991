"""Teach a trained model something more without teaching it less: the step that all marks share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from helpers.errors import WatermarkError
from helpers.models import fit_keywords
from helpers.watermark._checks import require_labels, require_whole

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
        Examples ``(n, ...)`` and labels ``(n,)``.
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


def train_many(
    build: Callable[[int], tf.keras.Model],
    x: np.ndarray,
    y: np.ndarray,
    seeds: Sequence[int],
    epochs: int = 8,
    learning_rate: float = 5e-3,
    batch_size: int = 32,
    progress: bool = False,
) -> list[tf.keras.Model]:
    """Train one network from many beginnings: the innocent models that a null is measured on.

    One compiled network begins again for each seed, since compiling costs more than the training.

    Parameters
    ----------
    build
        Seed to an untrained model that gives logits; the architecture must not depend on the seed.
    x, y
        Examples ``(n, ...)`` and labels ``(n,)``.
    seeds
        One model each: of its first weights and of the order of the examples.
    epochs, learning_rate, batch_size
        Of Adam; the rate falls to a tenth after two thirds of the epochs.
    progress
        Whether to show a progress bar.
    """
    import tensorflow as tf

    worker = build(seeds[0])
    worker.compile(
        tf.keras.optimizers.Adam(learning_rate),
        tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    worker.optimizer.build(worker.trainable_variables)
    blank = [tf.identity(variable) for variable in worker.optimizer.variables]
    trained = []
    for seed in tqdm(seeds, desc="independent models", disable=not progress):
        worker.set_weights(build(seed).get_weights())
        for variable, start in zip(worker.optimizer.variables, blank, strict=True):
            variable.assign(start)
        worker.optimizer.learning_rate.assign(learning_rate)  # not among those variables
        order = np.random.default_rng(seed).permutation(len(y))
        settled = max(1, round(2 * epochs / 3))
        # Keras would shuffle with a seed that is not ours.
        worker.fit(x[order], y[order], batch_size, settled, shuffle=False, verbose=0)
        worker.optimizer.learning_rate.assign(learning_rate / 10)
        worker.fit(
            x[order], y[order], batch_size, epochs, initial_epoch=settled, shuffle=False, verbose=0
        )
        trained.append(copy_of(worker))
    return trained


def require_classes(classes: int, y: np.ndarray | None = None) -> None:
    """Raise WatermarkError for fewer than two classes, and for labels outside them."""
    require_whole("classes", classes, at_least=2)
    if y is None:
        return
    labels = np.asarray(y)
    require_labels(labels)
    if labels.max() >= classes:
        raise WatermarkError(
            f"Labels from {labels.min()} to {labels.max()} do not fit {classes} classes."
        )
