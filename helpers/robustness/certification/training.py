"""Training for clear votes: on noisy inputs, and so that noisy copies agree.

A network that has never seen noise votes at random under it. Training on noise of the same size is
what makes certificates large (Cohen, Rosenfeld and Kolter 2019, section 3.3); rewarding agreement
among the noisy copies of an input makes them larger (Jeong and Shin, *Consistency regularization
for certified robustness of smoothed classifiers*, NeurIPS 2020).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike
from tqdm import tqdm

from helpers.robustness._checks import (
    checked_pairs,
    require_choice,
    require_not_negative,
    require_positive,
    require_whole,
)
from helpers.robustness._training import batches, copy_to_train, finite
from helpers.robustness.certification.noise import MID_GREY, Kind
from helpers.robustness.losses import cross_entropy

Method = Literal["noise", "consistency"]


@dataclass(frozen=True)
class NoiseTraining:
    """How to train for smoothing.

    Attributes
    ----------
    method
        ``"noise"``: the loss on noisy copies. ``"consistency"``: and how far the copies of an input
        are from agreeing.
    epochs
        Passes over the inputs.
    batch_size, learning_rate
        Of Adam.
    copies
        Noisy copies of an input in one update; 1 for ``"noise"`` if left out, else 2.
    agreement
        Weight of the divergence of each copy's answer from their mean (lambda in the paper, where
        it is 5 to 20; the more, the longer the training must be).
    certainty
        Weight of the entropy of that mean (eta).
    over
        What the noise moves; as in :class:`~helpers.robustness.certification.smoothing.Smoothing`.

    Raises
    ------
    RobustnessError
        If a setting is out of its range.
    """

    method: Method = "noise"
    epochs: int = 8
    batch_size: int = 64
    learning_rate: float = 1e-3
    copies: int | None = None
    agreement: float = 4.0
    certainty: float = 0.5
    over: Kind = "pixels"

    def __post_init__(self) -> None:
        require_choice("method", self.method, get_args(Method))
        require_choice("over", self.over, get_args(Kind))
        for name in ("epochs", "batch_size", "repeats"):
            require_whole(name, getattr(self, name), at_least=1)
        require_positive("learning_rate", self.learning_rate)
        for name in ("agreement", "certainty"):
            require_not_negative(name, getattr(self, name))

    @property
    def repeats(self) -> int:
        """Noisy copies of an input in one update."""
        return self.copies if self.copies is not None else 1 + (self.method == "consistency")


def fit_smoothed(
    model: tf.keras.Model,
    inputs: ArrayLike,
    labels: ArrayLike,
    sigma: float,
    training: NoiseTraining | None = None,
    *,
    seed: int = 0,
    progress: bool = False,
) -> tf.keras.Model:
    """Train a classifier that is to vote under noise.

    Parameters
    ----------
    model
        Built Keras model, inputs in [0, 1] to logits; it is not changed.
    inputs, labels
        ``(n, ...)`` and classes ``(n,)``.
    sigma
        Standard deviation of the noise; that of the votes is the usual choice.
    training
        How to train.
    seed
        Of order and noise.
    progress
        Whether to show a progress bar.

    Returns
    -------
    tf.keras.Model
        A new model.

    Raises
    ------
    RobustnessError
        If a setting is out of its range, the model gives probabilities, or training diverges.
    """
    clean, truth = checked_pairs(inputs, labels)
    require_positive("sigma", sigma)
    how = training or NoiseTraining()
    trained = copy_to_train(model, clean)
    update, rng = _updater(trained, sigma, how, seed), np.random.default_rng(seed)
    bar = tqdm(range(how.epochs), desc=f"{how.method} training", unit="epoch", disable=not progress)
    for _ in bar:
        for rows, goal in batches(clean, truth, how.batch_size, rng):
            loss = finite(update(rows, goal))
        bar.set_postfix(loss=f"{loss:.3f}")
    return trained


def _updater(
    model: tf.keras.Model, sigma: float, how: NoiseTraining, seed: int
) -> Callable[[Any, Any], Any]:
    optimizer = tf.keras.optimizers.Adam(how.learning_rate)
    optimizer.build(model.trainable_variables)
    drawing = tf.random.Generator.from_seed(seed)

    @tf.function
    def update(rows: Any, labels: Any) -> Any:
        copies = _noisy(drawing, tf.repeat(rows, how.repeats, axis=0), sigma, how.over)
        with tf.GradientTape() as tape:
            logits = model(copies, training=True)
            loss = tf.reduce_mean(cross_entropy(logits, tf.repeat(labels, how.repeats)))
            if how.method == "consistency":
                loss += _disagreement(logits, how)
        variables = model.trainable_variables
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return loss

    return update


def _noisy(drawing: tf.random.Generator, rows: Any, sigma: float, over: Kind) -> Any:
    shape = tf.shape(rows)
    if over == "pixels":
        return rows + drawing.normal(shape, stddev=sigma)
    ones = tf.ones(tf.rank(rows) - 1, tf.int32)
    drawn = drawing.normal(tf.concat([shape[:1], ones], 0), stddev=sigma)
    if over == "brightness":
        return rows + drawn
    return (rows - MID_GREY) * tf.exp(drawn) + MID_GREY


def _disagreement(logits: Any, how: NoiseTraining) -> Any:
    """Jeong and Shin (2020): divergence of the copies from their mean, and entropy."""
    apart = tf.reshape(logits, [-1, how.repeats, tf.shape(logits)[1]])
    log_each = tf.nn.log_softmax(apart)
    mean = tf.reduce_mean(tf.exp(log_each), axis=1, keepdims=True)
    log_mean = tf.math.log(mean + 1e-12)
    divergence = tf.reduce_sum(mean * (log_mean - log_each), axis=2)
    entropy = -tf.reduce_sum(mean * log_mean, axis=2)
    return how.agreement * tf.reduce_mean(divergence) + how.certainty * tf.reduce_mean(entropy)
