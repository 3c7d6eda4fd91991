"""Attacks that train on the stolen model itself, or copy it into a fresh one.

Each returns an attack for :func:`helpers.watermark.survival.survival`: a function of the victim and
a seed. What the thief has is given when the attack is made: some data of the same kind, usually far
less than the owner's, or unlabelled recordings only. Pruning, quantisation and training for it are
those of ``helpers.edge``; any function from model to model is an attack too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from helpers.errors import WatermarkError
from helpers.models import fit_keywords
from helpers.watermark._checks import require_positive, require_whole
from helpers.watermark.chain import kind
from helpers.watermark.key import Key
from helpers.watermark.scheme import Scheme
from helpers.watermark.survival import Attack, Victim
from helpers.watermark.suspect import Suspect
from helpers.watermark.training import BATCH_SIZE, copy_of, train_on

if TYPE_CHECKING:
    import tensorflow as tf


def fine_tune(x: ArrayLike, y: ArrayLike, epochs: int = 3, learning_rate: float = 1e-3) -> Attack:
    """Train on: all layers, at a rate that falls to zero along a cosine.

    Parameters
    ----------
    x, y
        The thief's labelled data, ``(n, ...)`` and ``(n,)``.
    epochs, learning_rate
        Gentle is a tenth of the rate that the model was trained with; hard is that rate itself.

    Returns
    -------
    callable
        Returns the trained copy.

    Raises
    ------
    WatermarkError
        If a setting is not positive.
    """
    require_whole("epochs", epochs, at_least=1)
    require_positive("learning_rate", learning_rate)
    inputs, labels = np.asarray(x, np.float32), np.asarray(y)
    return lambda victim, seed: train_on(
        victim.model, inputs, labels, epochs, learning_rate, seed, progress=False
    )


def replace_head(
    x: ArrayLike,
    y: ArrayLike,
    epochs: int = 3,
    learning_rate: float = 1e-3,
    body: bool = False,
) -> Attack:
    """Draw the last layer afresh and train it, the rest frozen or trained along.

    Parameters
    ----------
    x, y
        The thief's labelled data, ``(n, ...)`` and ``(n,)``.
    epochs, learning_rate
        As :func:`fine_tune`.
    body
        Whether the other layers learn too.

    Returns
    -------
    callable
        Returns the trained copy.

    Raises
    ------
    WatermarkError
        If a setting is not positive; on the attack, if the last layer is not a dense head of
        logits.

    References
    ----------
    Adi et al., *Turning your weakness into a strength: watermarking deep neural networks by
    backdooring*, USENIX Security 2018, section 5.3, where these are RTLL and RTAL.
    """
    require_whole("epochs", epochs, at_least=1)
    require_positive("learning_rate", learning_rate)

    def attack(victim: Victim, seed: int) -> tf.keras.Model:
        copy = copy_of(victim.model)
        head = copy.layers[-1]
        if kind(head) != "Dense":
            raise WatermarkError(
                f"The last layer of {copy.name!r} is a {kind(head)}: only a Dense head of logits "
                "can be replaced."
            )
        limit = np.sqrt(6 / sum(head.kernel.shape))
        rng = np.random.default_rng(seed)
        head.kernel.assign(rng.uniform(-limit, limit, head.kernel.shape).astype(np.float32))
        if head.bias is not None:
            head.bias.assign(np.zeros(head.bias.shape, np.float32))
        for layer in copy.layers[:-1]:
            layer.trainable = body
        fit_keywords(
            copy, np.asarray(x, np.float32), np.asarray(y), epochs, BATCH_SIZE, learning_rate,
            seed, progress=False,
        )  # fmt: skip
        return copy_of(copy)

    return attack


def overwrite(scheme: Scheme, x: ArrayLike, y: ArrayLike) -> Attack:
    """Mark the stolen model as one's own, with the same scheme and another key.

    Parameters
    ----------
    scheme
        What the thief marks with; a court then finds two marks.
    x, y
        The thief's labelled data, ``(n, ...)`` and ``(n,)``.

    Returns
    -------
    callable
        Returns the copy with the thief's mark in it too.
    """
    inputs, labels = np.asarray(x, np.float32), np.asarray(y)
    return lambda victim, seed: scheme.embed(victim.model, inputs, labels, thief_key(seed), seed)


def thief_key(seed: int) -> Key:
    """Return the key that :func:`overwrite` marks with, so that both marks can be read."""
    return Key(np.random.default_rng([seed, 0x7E1F]).bytes(32))


def distil(
    make_student: Callable[[int], tf.keras.Model],
    x: ArrayLike,
    epochs: int = 10,
    learning_rate: float = 5e-3,
    temperature: float = 4.0,
) -> Attack:
    """Train a fresh model on the scores of the stolen one, without a label.

    Parameters
    ----------
    make_student
        ``(seed)`` to an untrained Keras model that gives logits.
    x
        Unlabelled inputs, ``(n, ...)``.
    epochs, learning_rate
        Adam, the rate falling to zero along a cosine.
    temperature
        Divides both models' logits; above 1 the student also learns which mistakes are likely.

    Returns
    -------
    callable
        Returns the student.

    Raises
    ------
    WatermarkError
        If a setting is not positive.

    References
    ----------
    Hinton, Vinyals and Dean, *Distilling the knowledge in a neural network*, arXiv:1503.02531.
    """
    require_whole("epochs", epochs, at_least=1)
    require_positive("temperature", temperature)
    require_positive("learning_rate", learning_rate)

    def attack(victim: Victim, seed: int) -> tf.keras.Model:
        inputs = np.asarray(x, np.float32)
        logits = victim.model.predict(inputs, batch_size=512, verbose=0)
        student = make_student(seed)
        fit_scores(student, inputs, softmax(logits / temperature), epochs, learning_rate,
                   temperature, seed)  # fmt: skip
        return student

    return attack


def softmax(logits: NDArray[np.floating]) -> NDArray[np.float32]:
    """Turn logits ``(n, classes)`` into probabilities, float32."""
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True), dtype=np.float64)
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True), np.float32)


def fit_scores(
    student: tf.keras.Model,
    x: NDArray[np.float32],
    targets: NDArray[np.float32],
    epochs: int,
    learning_rate: float,
    temperature: float,
    seed: int,
    before_batch: Callable[[], object] | None = None,
) -> None:
    """Train a model in place to give the probabilities ``targets`` at a temperature.

    ``before_batch`` is called before each batch; what it raises ends the training.
    """
    import tensorflow as tf

    def loss(wanted: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        return tf.nn.softmax_cross_entropy_with_logits(wanted, logits / temperature)

    batches = tf.data.Dataset.from_tensor_slices((x, targets))
    batches = batches.shuffle(len(x), seed=seed).batch(BATCH_SIZE)
    rate = tf.keras.optimizers.schedules.CosineDecay(learning_rate, epochs * len(batches))
    # The gradient of a softened loss is as much smaller; Adam does not mind.
    student.compile(tf.keras.optimizers.Adam(rate), loss)
    watch = tf.keras.callbacks.LambdaCallback(
        on_train_batch_begin=lambda *_: before_batch() if before_batch else None
    )
    student.fit(batches, epochs=epochs, verbose=0, callbacks=[watch])


def independent(train: Callable[[int], tf.keras.Model]) -> Attack:
    """Train a model that has never seen the victim: what the evidence of an innocent looks like.

    Parameters
    ----------
    train
        ``(seed)`` to a trained model; the seeds differ from those of the victims.
    """
    return lambda victim, seed: train(10_000 + seed)


def as_it_is(change: Callable[[tf.keras.Model], tf.keras.Model | Suspect]) -> Attack:
    """Turn a function of the stolen model into an attack that needs no seed."""
    return lambda victim, seed: change(victim.model)
