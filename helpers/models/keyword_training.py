"""How the course trains its keyword spotter: one short recipe, the same everywhere."""

from __future__ import annotations

import math
from collections.abc import Sequence
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
    epochs: int = 15,
    batch_size: int = 64,
    learning_rate: float = 5e-3,
    seed: int = 0,
    progress: bool = True,
    versions: Sequence[np.ndarray] = (),
) -> np.ndarray:
    """Train a keyword spotter with Adam, its learning rate falling to 0 along a cosine.

    The model is changed in place. With :func:`helpers.models.ds_cnn` and the 9,600 synthetic
    training clips it takes about two minutes of CPU time, or one where TensorFlow may use oneDNN
    (``TF_ENABLE_ONEDNN_OPTS=1``).

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
        Of the order of the clips, and of the version of each.
    progress
        Whether to show a progress bar.
    versions
        Further features of the same clips, each of the shape of ``features``, such as those of
        clips that :func:`helpers.data.audio.stretch` made longer or shorter. In every epoch each
        clip comes as one of them or as itself, drawn at random.

    Returns
    -------
    numpy.ndarray
        float64 ``(epochs,)``: mean training loss of each epoch, in nats.

    Raises
    ------
    TaskError
        If features, versions and labels do not fit together or are not finite, or a setting is not
        positive.
    DivergenceError
        If the loss becomes NaN or infinite.

    References
    ----------
    Kingma and Ba, *Adam: a method for stochastic optimization*, ICLR 2015. Loshchilov and Hutter,
    *SGDR: stochastic gradient descent with warm restarts*, ICLR 2017, for the cosine.
    """
    if min(epochs, batch_size) < 1 or not learning_rate > 0:
        raise TaskError(
            f"epochs={epochs}, batch_size={batch_size} and learning_rate={learning_rate} must all "
            "be positive."
        )
    everything = _checked(labels, [features, *versions])
    import tensorflow as tf

    rng, targets = np.random.default_rng(seed), np.asarray(labels, np.int32)
    rate = tf.keras.optimizers.schedules.CosineDecay(
        learning_rate, epochs * math.ceil(len(targets) / batch_size)
    )
    model.compile(
        tf.keras.optimizers.Adam(rate),
        tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    # Keras traces the first step twice unless the optimiser is ready. Dropout's masks depend on how
    # often it was traced, so a network with dropout keeps to what has been measured with it.
    plain = not any(isinstance(layer, tf.keras.layers.Dropout) for layer in model.layers)
    if plain and model.built:
        model.optimizer.build(model.trainable_variables)
    losses = np.empty(epochs)
    with tqdm(total=epochs, desc="train", unit="epoch", disable=not progress) as bar:
        for epoch in range(epochs):
            order = rng.permutation(len(targets))
            clips = _drawn(everything, order, rng)
            history = model.fit(clips, targets[order], batch_size, shuffle=False, verbose=0).history
            losses[epoch] = history["loss"][0]
            if not np.isfinite(losses[epoch]):
                raise DivergenceError(
                    f"The loss of epoch {epoch + 1} is {losses[epoch]}: lower the learning rate "
                    f"of {learning_rate}."
                )
            bar.set_postfix(loss=f"{losses[epoch]:.3f}")
            bar.update()
    return losses


def _checked(labels: np.ndarray, everything: Sequence[np.ndarray]) -> list[np.ndarray]:
    versions = [np.asarray(version) for version in everything]
    if len(versions[0]) != len(labels) or len(labels) == 0:
        raise TaskError(
            f"{len(versions[0])} clips and {len(labels)} labels: give one label a clip."
        )
    if any(version.shape != versions[0].shape for version in versions):
        shapes = [version.shape for version in versions]
        raise TaskError(f"features and versions have shapes {shapes}: they must all be the same.")
    if not all(np.isfinite(version).all() for version in versions):
        raise TaskError(
            "features holds NaN or infinity, which ReLU would hide: remove those clips."
        )
    return versions


def _drawn(
    versions: Sequence[np.ndarray], order: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Return the clips in `order`, each in a version drawn at random."""
    drawn = rng.integers(len(versions), size=len(order))
    clips = np.empty_like(versions[0])
    for number, version in enumerate(versions):
        clips[drawn == number] = version[order[drawn == number]]
    return clips
