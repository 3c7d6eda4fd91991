"""How the course trains its keyword spotter: one short recipe, the same everywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from helpers.errors import DivergenceError, TaskError

if TYPE_CHECKING:
    import tensorflow as tf


def fit_keywords(
    model: tf.keras.Model,
    features: np.ndarray,
    labels: np.ndarray,
    epochs: int = 10,
    batch_size: int = 64,
    learning_rate: float = 5e-3,
    seed: int = 0,
    progress: bool = True,
) -> np.ndarray:
    """Train a keyword spotter with Adam, its learning rate falling to 0 along a cosine.

    The model is changed in place. With :func:`helpers.models.ds_cnn` and the 9,600 synthetic
    training clips it takes about a minute of CPU time.

    Parameters
    ----------
    model
        Gives logits.
    features
        float32 ``(n, 49, 10, 1)``, or what else the model takes.
    labels
        Integers ``(n,)``.
    epochs, batch_size
        Passes over the clips, and clips a step.
    learning_rate
        At the first step.
    seed
        Of the order of the clips.
    progress
        Whether to show a progress bar.

    Returns
    -------
    numpy.ndarray
        float64 ``(epochs,)``: mean training loss of each epoch, in nats.

    Raises
    ------
    TaskError
        If features and labels do not fit together or are not finite, or a setting is not positive.
    DivergenceError
        If the loss becomes NaN or infinite.

    References
    ----------
    Kingma and Ba, *Adam: a method for stochastic optimization*, ICLR 2015. Loshchilov and Hutter,
    *SGDR: stochastic gradient descent with warm restarts*, ICLR 2017, for the cosine.
    """
    if len(features) != len(labels) or len(features) == 0:
        raise TaskError(f"{len(features)} clips and {len(labels)} labels: give one label a clip.")
    if min(epochs, batch_size) < 1 or not learning_rate > 0:
        raise TaskError(
            f"epochs={epochs}, batch_size={batch_size} and learning_rate={learning_rate} must all "
            "be positive."
        )
    if not np.isfinite(features).all():
        raise TaskError(
            "features holds NaN or infinity, which ReLU would hide: remove those clips."
        )
    import tensorflow as tf

    clips = tf.data.Dataset.from_tensor_slices((features, np.asarray(labels, np.int32)))
    batches = clips.shuffle(len(features), seed=seed).batch(batch_size)
    rate = tf.keras.optimizers.schedules.CosineDecay(learning_rate, epochs * len(batches))
    model.compile(
        tf.keras.optimizers.Adam(rate),
        tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    losses = np.empty(epochs)
    with tqdm(total=epochs, desc="train", unit="epoch", disable=not progress) as bar:
        for epoch in range(epochs):
            losses[epoch] = model.fit(batches, verbose=0).history["loss"][0]
            if not np.isfinite(losses[epoch]):
                raise DivergenceError(
                    f"The loss of epoch {epoch + 1} is {losses[epoch]}: lower the learning rate "
                    f"of {learning_rate}."
                )
            bar.set_postfix(loss=f"{losses[epoch]:.3f}")
            bar.update()
    return losses
