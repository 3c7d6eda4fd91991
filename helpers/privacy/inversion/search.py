"""Search for the input that a model is surest of, class by class.

Fredrikson, Jha and Ristenpart 2015, "Model inversion attacks that exploit confidence information
and basic countermeasures", descend the gradient of one minus the confidence from a blank face
(their MI-Face). Two terms are added: images lie near what the attacker expects, and differ from it
smoothly.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike, NDArray

from helpers.errors import PrivacyError
from helpers.privacy._checks import (
    require_choice,
    require_not_negative,
    require_positive,
    require_whole,
)

# A probability below this gives no more loss, so that an int8 softmax of exactly 0 gives no NaN.
_FLOOR = 1e-7


@dataclass(frozen=True, eq=False)
class Inversion:
    """What the search found.

    Attributes
    ----------
    images
        float32 ``(n, height, width, channels)`` in [0, 1].
    labels
        Class that each was to show, int32 ``(n,)``.
    confidence
        Probability that the attacked model gives each, float64 ``(n,)``.
    losses
        Mean cross-entropy at every step, float64 ``(steps,)``.
    """

    images: NDArray[np.float32]
    labels: NDArray[np.int32]
    confidence: NDArray[np.float64]
    losses: NDArray[np.float64]


def invert(
    model: Callable[[Any], Any],
    labels: ArrayLike,
    start: ArrayLike,
    *,
    kind: Literal["logits", "probabilities"] = "logits",
    steps: int = 300,
    learning_rate: float = 0.02,
    total_variation: float = 0.1,
    prior: float = 0.1,
) -> Inversion:
    r"""Find one image a label by gradient descent.

    Minimises for each image

    .. math:: -\log p_y(x) + \lambda\,\mathrm{TV}(x - x_0) + \mu\,\overline{(x - x_0)^2}

    with Adam, clipped to [0, 1] after every step: TV is the mean absolute difference of
    neighbouring pixels, and :math:`x_0` the start.

    Parameters
    ----------
    model
        Differentiable: images to scores, ``(n, classes)``; a Keras model, or the replica of a
        file from a device.
    labels
        Classes to show, integers ``(n,)``.
    start
        What the attacker expects before looking: one image ``(height, width, channels)`` for all,
        such as the mean of public faces, or one a label.
    kind
        Whether the scores are logits or probabilities.
    steps
        Steps of the search.
    learning_rate
        Of Adam, in units of pixel values.
    total_variation
        :math:`\lambda`: more of it gives smoother differences.
    prior
        :math:`\mu`: more of it stays nearer to the start.

    Returns
    -------
    Inversion
        Images, and how sure the model is of them.

    Raises
    ------
    PrivacyError
        If shapes or settings do not fit, or the model has no gradient.
    """
    require_choice("kind", kind, ("logits", "probabilities"))
    require_whole("steps", steps, at_least=1)
    require_positive("learning_rate", learning_rate)
    require_not_negative("total_variation", total_variation)
    require_not_negative("prior", prior)
    wanted, first = _checked(labels, start)
    expected, classes = tf.constant(first), tf.constant(wanted)
    images = tf.Variable(first)

    def losses(current: tf.Tensor) -> tf.Tensor:
        return _losses(model(current), classes, kind)

    with tf.GradientTape() as tape:
        found = losses(images)
    if tape.gradient(found, images) is None:
        raise PrivacyError(
            "The model has no gradient with respect to its input. A file's interpreter gives none: "
            "attack a replica of the file."
        )
    if found.shape != (len(wanted),):
        raise PrivacyError(f"The model must give scores ({len(wanted)}, classes).")

    def objective(current: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        own = losses(current)
        distance = tf.reduce_mean((current - expected) ** 2, axis=(1, 2, 3))
        return tf.reduce_sum(
            own + total_variation * _roughness(current - expected) + prior * distance
        ), own

    history = _descend(images, objective, steps, learning_rate)
    certain = np.exp(-losses(images).numpy().astype(np.float64))
    return Inversion(images.numpy(), wanted, certain, np.asarray(history, np.float64))


def _descend(
    images: tf.Variable,
    objective: Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]],
    steps: int,
    learning_rate: float,
) -> NDArray[Any]:
    """Take Adam steps within [0, 1] in one compiled call; returns the mean loss of each."""
    optimizer = tf.keras.optimizers.Adam(learning_rate)
    optimizer.build([images])

    @tf.function
    def search() -> tf.Tensor:
        history = tf.TensorArray(tf.float32, steps)
        for step in tf.range(steps):
            with tf.GradientTape() as tape:
                total, own = objective(images)
            optimizer.apply_gradients([(tape.gradient(total, images), images)])
            images.assign(tf.clip_by_value(images, 0.0, 1.0))
            history = history.write(step, tf.reduce_mean(own))
        return history.stack()

    # Called through its one concrete form: each search compiles anew, which is no mistake here, and
    # TensorFlow would warn of it.
    found: NDArray[Any] = search.get_concrete_function()().numpy()
    return found


def _losses(scores: tf.Tensor, labels: tf.Tensor, kind: str) -> tf.Tensor:
    if kind == "logits":
        return tf.nn.sparse_softmax_cross_entropy_with_logits(labels, scores)
    own = tf.gather(scores, labels, axis=1, batch_dims=1)
    return -tf.math.log(tf.maximum(own, _FLOOR))


def _roughness(images: tf.Tensor) -> tf.Tensor:
    """Mean absolute difference of neighbouring pixels of each image."""
    down = tf.abs(images[:, 1:] - images[:, :-1])
    right = tf.abs(images[:, :, 1:] - images[:, :, :-1])
    return tf.reduce_mean(down, axis=(1, 2, 3)) + tf.reduce_mean(right, axis=(1, 2, 3))


def _checked(labels: ArrayLike, start: ArrayLike) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    wanted, images = np.asarray(labels), np.asarray(start, np.float32)
    if wanted.ndim != 1 or not len(wanted) or wanted.dtype.kind not in "iu" or wanted.min() < 0:
        raise PrivacyError(f"labels={wanted!r} must be at least one class index, 0 or more.")
    if images.ndim == 3:
        images = np.repeat(images[None], len(wanted), axis=0)
    if images.ndim != 4 or len(images) != len(wanted) or min(images.shape[1:3]) < 2:
        raise PrivacyError(
            f"start of shape {np.shape(start)} must be one image (height, width, channels), or "
            f"{len(wanted)} of them."
        )
    if not (images.min() >= 0 and images.max() <= 1):
        raise PrivacyError("start must lie in [0, 1], without NaN: scale the images.")
    return wanted.astype(np.int32), images
