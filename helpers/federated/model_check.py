"""Checks that a model can be trained federated, and its initial weights."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf

from helpers.errors import TaskError

if TYPE_CHECKING:
    from helpers.federated.task import FederatedTask

_PROBE = 8


def checked_initial_weights(task: FederatedTask) -> tuple[np.ndarray, ...]:
    """Build the task's model once, check it, and return its weights.

    Parameters
    ----------
    task
        A task whose data and settings are already checked.

    Returns
    -------
    tuple of np.ndarray
        float32 arrays, read-only, in the order of ``model.trainable_weights``.

    Raises
    ------
    TaskError
        If the model cannot be built, or cannot be trained federated as it is.
    """
    with _numpy_and_python_state_kept():
        tf.keras.utils.set_random_seed(task.seed % 2**32)
        model = build_model(task)
    _check_layers(model)
    _check_output(model, task)
    weights = tuple(np.array(w) for w in model.trainable_weights)
    for weight in weights:
        weight.setflags(write=False)
    return weights


def build_model(task: FederatedTask) -> tf.keras.Model:
    """Call ``task.model_fn`` and make sure that a built Keras model came back.

    Raises
    ------
    TaskError
        If ``model_fn`` raises, returns something else, or the model does not take the data.
    """
    try:
        model = task.model_fn()
    except Exception as error:
        raise TaskError(f"model_fn raised {type(error).__name__}: {error}") from error
    if not isinstance(model, tf.keras.Model):
        hint = " Does it end with return?" if model is None else ""
        raise TaskError(f"model_fn returned {type(model).__name__}, not a tf.keras.Model.{hint}")
    shape = task.clients[0].x.shape[1:]
    try:
        model(tf.zeros((1, *shape)))
    except Exception as error:
        raise TaskError(
            f"The model does not take examples of shape {shape}: {error}. Give the model that "
            "input shape, or reshape the data."
        ) from error
    return model


def describe_layers(task: FederatedTask) -> list[str]:
    """Name kind, activation and weight shapes of each layer, the same in every process.

    Raises
    ------
    TaskError
        As for :func:`build_model`.
    """
    return [
        f"{type(layer).__name__} {getattr(_activation(layer), '__name__', '')} "
        f"{[tuple(w.shape) for w in layer.weights]}"
        for layer in build_model(task).layers
    ]


def _activation(layer: tf.keras.layers.Layer | None) -> object:
    return getattr(layer, "activation", None)


@contextmanager
def _numpy_and_python_state_kept() -> Iterator[None]:
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002


def _check_layers(model: tf.keras.Model) -> None:
    layers = [m for m in model.submodules if isinstance(m, tf.keras.layers.Layer)]
    for layer in layers:
        if isinstance(layer, tf.keras.layers.BatchNormalization):
            raise TaskError(
                f"Layer {layer.name!r} is batch normalisation. Its running statistics are not "
                "trained by gradients, differ from client to client and break averaging on "
                "non-IID data (Hsieh et al., ICML 2020). Use tf.keras.layers.GroupNormalization."
            )
        if isinstance(layer, tf.keras.__internal__.layers.BaseRandomLayer):
            raise TaskError(
                f"Layer {layer.name!r} ({type(layer).__name__}) draws random numbers of its own "
                "while training, so that no two engines would agree and a resumed run would not "
                "repeat. Remove it; a kernel_regularizer works."
            )
    if model.non_trainable_weights:
        names = ", ".join(w.name for w in model.non_trainable_weights[:3])
        raise TaskError(
            f"The model has {len(model.non_trainable_weights)} non-trainable weights ({names}...). "
            "Engines send and average trained weights only: make every layer trainable, or "
            "compute the frozen part's features beforehand and train the rest on those."
        )
    if not model.trainable_weights:
        raise TaskError("The model has no trainable weights: there is nothing to learn.")
    if any(w.dtype != tf.float32 for w in model.trainable_weights):
        raise TaskError("The model's weights must be float32: do not set another dtype policy.")


def _check_output(model: tf.keras.Model, task: FederatedTask) -> None:
    probe = task.stacked.x[:_PROBE]
    output = model(probe)
    if not isinstance(output, tf.Tensor) or output.shape.rank != 2 or len(output) != len(probe):
        raise TaskError(
            f"The model turns {probe.shape} into {getattr(output, 'shape', type(output))}; logits "
            f"of shape ({len(probe)}, num_classes) are needed."
        )
    _check_labels(task, int(output.shape[1]))
    logits = output.numpy()
    if not np.isfinite(logits).all():
        raise TaskError("The untrained model gives NaN or infinity: check its initial weights.")
    _check_logits(model, logits)


def _check_labels(task: FederatedTask, outputs: int) -> None:
    binary = task.loss == "binary_crossentropy"
    if binary and outputs != 1:
        raise TaskError(
            f"binary_crossentropy needs one logit, the model has {outputs} outputs; use "
            "sparse_categorical_crossentropy or a Dense(1) at the end."
        )
    if not binary and outputs < 2:
        raise TaskError(
            "The model has one output; sparse_categorical_crossentropy needs one a class. Use "
            'loss="binary_crossentropy" or at least two outputs.'
        )
    classes = 2 if binary else outputs
    named = [(f"client {i}", c.y) for i, c in enumerate(task.clients)]
    for who, labels in [*named, ("the test set", task.test.y)]:
        if labels.max() >= classes:
            raise TaskError(
                f"{who} has label {labels.max()}, but the model tells {classes} classes apart "
                f"(0 to {classes - 1}): widen its last layer or fix the labels."
            )


def _check_logits(model: tf.keras.Model, output: np.ndarray) -> None:
    last = model.layers[-1] if model.layers else None
    ends = (
        _activation(last) in (tf.keras.activations.softmax, tf.keras.activations.sigmoid)
        or isinstance(last, tf.keras.layers.Softmax)
        # Catches a softmax inside a custom layer: real logits do not sum to one on every row.
        or (output.shape[1] > 1 and bool(np.all(np.abs(output.sum(axis=1) - 1) < 1e-4)))
    )
    if ends:
        raise TaskError(
            "The model ends with a softmax or sigmoid, but the loss takes logits and would apply "
            "it twice. Remove the last activation."
        )
