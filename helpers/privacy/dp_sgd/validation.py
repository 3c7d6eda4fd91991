"""Which models, losses and data DP-SGD can take, decided before any work."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike

from helpers.errors import PrivacyError

LossFunction = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
LossName = Literal["sparse_categorical_crossentropy", "binary_crossentropy"]


def check_model(model: tf.keras.Model) -> None:
    """Refuse a model for which clipping each example's gradient does not bound its influence.

    Parameters
    ----------
    model
        A built Keras model.

    Raises
    ------
    PrivacyError
        If the model is not built, has nothing to train, mixes the examples of a batch, keeps
        state between batches, adds losses of its own, or is not float32.
    """
    if not isinstance(model, tf.keras.Model):
        raise PrivacyError(f"model is a {type(model).__name__}; a tf.keras.Model is needed.")
    if not model.built or not model.trainable_variables:
        raise PrivacyError(
            f"Model {model.name!r} has no trainable variables. Build it (call it once, or give "
            "its first layer an input shape) and leave at least one layer trainable."
        )
    for layer in _all_layers(model):
        _check_layer(layer)
    if model.losses:
        raise PrivacyError(
            f"Model {model.name!r} adds {len(model.losses)} losses of its own (a regulariser or "
            "add_loss). They are outside the per-example loss that is clipped: remove them."
        )
    wrong = [v.name for v in model.trainable_variables if v.dtype != tf.float32]
    if wrong:
        raise PrivacyError(f"{wrong[0]} is not float32: do not set another dtype policy.")


def _all_layers(model: tf.keras.Model) -> list[tf.keras.layers.Layer]:
    return [m for m in (model, *model.submodules) if isinstance(m, tf.keras.layers.Layer)]


def _check_layer(layer: tf.keras.layers.Layer) -> None:
    name = f"Layer {layer.name!r} ({type(layer).__name__})"
    if isinstance(layer, tf.keras.layers.BatchNormalization) and layer.trainable:
        raise PrivacyError(
            f"{name} is batch normalisation: each example's output depends on the others in its "
            "batch, so no example has a gradient of its own that could be clipped, and the "
            "running statistics leave without noise. Use GroupNormalization or "
            "LayerNormalization, or freeze a layer that was trained on public data "
            "(trainable=False)."
        )
    if isinstance(layer, tf.keras.layers.LayerNormalization) and 0 in np.atleast_1d(layer.axis):
        raise PrivacyError(f"{name} normalises over axis 0, which is the batch: take another axis.")
    if getattr(layer, "stateful", False) and isinstance(layer, tf.keras.layers.RNN):
        raise PrivacyError(
            f"{name} is stateful: it carries one example's state into the next batch. Use "
            "stateful=False."
        )
    if getattr(layer, "activity_regularizer", None) is not None:
        raise PrivacyError(
            f"{name} has an activity_regularizer, a loss outside the per-example loss that is "
            "clipped: remove it."
        )


def check_method(method: str) -> None:
    """Raise PrivacyError unless ``method`` is a way to clip."""
    if method not in ("ghost", "per_example"):
        raise PrivacyError(f'method={method!r} is not known: use "ghost" or "per_example".')


def loss_function(loss: LossName | LossFunction) -> LossFunction:
    """Turn a loss's name into a function of ``(labels, outputs)`` that keeps examples apart.

    Parameters
    ----------
    loss
        ``"sparse_categorical_crossentropy"`` on logits ``(n, classes)``,
        ``"binary_crossentropy"`` on one logit ``(n, 1)``, or a function that returns one value an
        example, ``(n,)``.

    Returns
    -------
    callable
        Returns float32 ``(n,)``.

    Raises
    ------
    PrivacyError
        If the name is not known.
    """
    if callable(loss):
        return loss
    if loss == "sparse_categorical_crossentropy":
        return tf.nn.sparse_softmax_cross_entropy_with_logits
    if loss == "binary_crossentropy":
        return _binary_crossentropy
    raise PrivacyError(
        f"loss={loss!r} is not known: use sparse_categorical_crossentropy, binary_crossentropy or "
        "a function (labels, outputs) -> one value an example."
    )


def _binary_crossentropy(labels: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
    return tf.nn.sigmoid_cross_entropy_with_logits(tf.cast(labels, tf.float32), outputs[:, 0])


def losses_of(
    function: LossFunction, labels: tf.Tensor, outputs: tf.Tensor, count: Any
) -> tf.Tensor:
    """Apply a loss, and refuse one that does not keep examples apart.

    Parameters
    ----------
    function
        Loss of ``(labels, outputs)``.
    labels, outputs
        Labels and model outputs, ``(n, ...)``.
    count
        Number of examples where it is known, else None.

    Returns
    -------
    tf.Tensor
        float32 ``(n,)``.

    Raises
    ------
    PrivacyError
        If the loss has another shape.
    """
    values = function(labels, outputs)
    if values.shape.rank != 1 or not values.shape.is_compatible_with((count,)):
        raise PrivacyError(
            f"The loss has shape {values.shape}; one value an example, shape ({count or 'n'},), "
            "is needed. A Keras loss object needs reduction='none'."
        )
    return values


def checked_data(
    model: tf.keras.Model, x: ArrayLike, y: ArrayLike
) -> tuple[np.ndarray, np.ndarray]:
    """Check a training set against a model.

    Parameters
    ----------
    model
        A built model with one input.
    x
        Inputs, shape ``(n, *input_shape)``.
    y
        Labels, shape ``(n, ...)``.

    Returns
    -------
    x, y
        Floating inputs as float32, other arrays as they are.

    Raises
    ------
    PrivacyError
        If lengths or shapes do not fit, there are no examples, or inputs are not finite.
    """
    inputs, labels = np.asarray(x), np.asarray(y)
    if inputs.dtype == object or not np.issubdtype(inputs.dtype, np.number):
        raise PrivacyError(f"x has dtype {inputs.dtype}; one array of numbers is needed.")
    if inputs.ndim < 2 or len(inputs) != len(np.atleast_1d(labels)) or not len(inputs):
        raise PrivacyError(
            f"x of shape {inputs.shape} and y of shape {labels.shape} must hold the same number "
            "of examples, at least one."
        )
    if np.issubdtype(inputs.dtype, np.floating):
        inputs = np.ascontiguousarray(inputs, np.float32)
        if not np.isfinite(inputs.sum(dtype=np.float64)):
            raise PrivacyError("x holds NaN or infinity: clean or impute the data.")
    expected = getattr(model, "input_shape", None)
    if isinstance(expected, tuple) and not tf.TensorShape(expected).is_compatible_with(
        (None, *inputs.shape[1:])
    ):
        raise PrivacyError(
            f"x has examples of shape {inputs.shape[1:]}; model {model.name!r} takes "
            f"{tuple(expected[1:])}."
        )
    return inputs, labels
