"""What an attack climbs, and the logits that it needs to climb it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, get_args

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike

from helpers.errors import RobustnessError

LEAST_SCORE = 1e-6  # so that a score of zero has a logarithm
_PROBED = 8
LossName = Literal["cross_entropy", "margin", "dlr"]
# Logits (n, classes), labels (n,) -> how wrong each row is, (n,).
Loss = Callable[[Any, Any], Any]


def cross_entropy(logits: Any, labels: Any) -> Any:
    """Return the softmax cross-entropy: the loss of FGSM and PGD.

    Where the model is certain, float32 rounds its gradient to zero; the two others have one there.
    """
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)


def margin(logits: Any, labels: Any) -> Any:
    """Return the largest wrong logit less the right one: above zero exactly if the model errs.

    The objective of Carlini and Wagner, *Towards evaluating the robustness of neural networks*,
    IEEE S&P 2017, section V.
    """
    right = tf.one_hot(labels, tf.shape(logits)[1], on_value=True, off_value=False, dtype=tf.bool)
    wrong = tf.where(right, tf.constant(-np.inf, logits.dtype), logits)
    return tf.reduce_max(wrong, axis=1) - tf.gather(logits, labels, batch_dims=1)


def dlr(logits: Any, labels: Any) -> Any:
    """Return the difference-of-logits ratio: the margin, whatever scale the logits have.

    Croce and Hein, *Reliable evaluation of adversarial robustness with an ensemble of diverse
    parameter-free attacks*, ICML 2020. It needs three classes.
    """
    top = tf.math.top_k(logits, 3).values
    return margin(logits, labels) / (top[:, 0] - top[:, 2] + 1e-12)


LOSSES: dict[str, Loss] = {"cross_entropy": cross_entropy, "margin": margin, "dlr": dlr}


def find_loss(loss: LossName | Loss) -> Loss:
    """Return a loss by name; a function is returned as it is.

    Raises
    ------
    RobustnessError
        If the name is unknown.
    """
    if callable(loss):
        return loss
    if loss not in LOSSES:
        raise RobustnessError(
            f"loss={loss!r} is not known: choose one of {', '.join(get_args(LossName))}, or give a "
            "function of outputs and labels."
        )
    return LOSSES[loss]


def logits_of(model: tf.keras.Model) -> tf.keras.Model:
    """Return a Keras model without the softmax at its end; one that has none is returned as it is.

    Softmax in float32 is exactly 1 from a lead of about 17 on, and so its gradient exactly 0: the
    model looks robust because the attack stands still.

    Parameters
    ----------
    model
        Built Keras model; its weights are shared, not copied.

    Returns
    -------
    tf.keras.Model
        Inputs to logits.

    Raises
    ------
    RobustnessError
        If the softmax is part of a layer of another kind.
    """
    last = model.layers[-1]
    if not _is_softmax(last):
        return model
    if isinstance(last, tf.keras.layers.Dense):
        linear = tf.keras.layers.Dense(
            last.units, use_bias=last.use_bias, name=f"{last.name}_linear"
        )
        linear.build(last.input_shape)
        linear.kernel, linear.bias = last.kernel, last.bias
        outputs = linear(last.input)
    elif isinstance(last, tf.keras.layers.Softmax | tf.keras.layers.Activation):
        outputs = last.input
    else:
        raise RobustnessError(
            f"The softmax inside {type(last).__name__} cannot be taken off: end the model in a "
            "Dense, Activation or Softmax layer."
        )
    return tf.keras.Model(model.inputs, outputs, name=f"{model.name}_logits")


def logits_of_pictures(
    model: tf.keras.Model, span: tuple[float, float], pictures: ArrayLike
) -> tf.keras.Model:
    """Return a model over pictures in [0, 1] that gives logits, with the gradients of another.

    Parameters
    ----------
    model
        Takes numbers in ``span``; gives logits, or probabilities, whose logarithm then stands for
        the logits.
    span
        What the model takes black and white as.
    pictures
        A few, ``(n, height, width, channels)`` in [0, 1], by which the two are told apart.

    Returns
    -------
    tf.keras.Model
        Weights are shared with ``model``.
    """
    low, high = span
    picture = tf.keras.Input(model.input_shape[1:])
    scores = model(tf.keras.layers.Rescaling(high - low, low)(picture))
    made = tf.keras.Model(picture, scores)
    try:
        require_logits(made(tf.constant(np.asarray(pictures, np.float32)[:_PROBED])))
    except RobustnessError:
        made = tf.keras.Model(picture, tf.math.log(tf.maximum(scores, LEAST_SCORE)))
    return made


def require_logits(outputs: Any) -> None:
    """Raise RobustnessError if outputs are rows of probabilities, or not rows of scores at all."""
    values = np.asarray(outputs)
    if values.ndim != 2 or values.shape[1] < 2 or not np.isfinite(values).all():
        raise RobustnessError(
            f"The model gives outputs of shape {values.shape}; an attack needs finite logits "
            "(n, classes) with two classes or more."
        )
    if (values >= 0).all() and np.abs(values.sum(axis=1) - 1).max() < 0.02:
        raise RobustnessError(
            "The model gives probabilities, whose gradients vanish where it is certain. Attack its "
            "logits: logits_of(model), or build_replica(file, logits=True). To see what goes wrong "
            "otherwise, give a loss function of your own."
        )


def _is_softmax(layer: Any) -> bool:
    activation = getattr(layer, "activation", None)
    return type(layer).__name__ == "Softmax" or getattr(activation, "__name__", "") == "softmax"
