"""The two halves of a DP-SGD step, compiled.

Compiling takes as long as dozens of steps. For networks of plain dense layers it is done once, on a
stand-in, and then serves all runs with the same loss, clip norm, method and momentum, on examples
of the same shape and kind.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from helpers._dense import Layers, plain_layers, stand_in
from helpers.privacy.dp_sgd.clipping import ClippedSum, Method, clipped_sum, plan
from helpers.privacy.dp_sgd.validation import LossFunction, LossName, loss_function

# Shape of one example and dtype, of x and of y.
_Signature = tuple[tuple[tuple[int, ...], str], ...]


@dataclass(frozen=True)
class CompiledStep:
    """What a run calls, once or more a step.

    Attributes
    ----------
    clipped
        Inputs and labels to a :class:`~helpers.privacy.dp_sgd.clipping.ClippedSum`. Batches of any
        size use what is compiled once.
    release
        Takes the step: sum of clipped gradients, a seed a variable, int32 ``(variables, 2)``, the
        deviation of the noise, and the expected size of the batch.
    """

    clipped: Callable[[tf.Tensor, tf.Tensor], ClippedSum]
    release: Callable[[list[tf.Tensor], tf.Tensor, tf.Tensor, tf.Tensor], None]


def compiled_step(
    model: tf.keras.Model,
    optimizer: tf.keras.optimizers.SGD,
    x: NDArray[Any],
    y: NDArray[Any],
    l2_norm_clip: float,
    loss: LossName | LossFunction,
    method: Method,
) -> CompiledStep:
    """Return the compiled halves of a step on a model.

    Parameters
    ----------
    model, optimizer
        A checked model and its built optimiser.
    x, y
        Arrays of examples, for their shapes and dtypes.
    l2_norm_clip, loss, method
        As for :func:`~helpers.privacy.dp_sgd.training.fit_dp`.
    """
    signature = tuple((array.shape[1:], array.dtype.name) for array in (x, y))
    dense = plain_layers(model) if x.dtype == np.float32 else None
    if dense is None or callable(loss):
        clipped, release = _compile(
            model, optimizer, signature, l2_norm_clip, loss_function(loss), method, False
        )
        return CompiledStep(
            lambda *batch: clipped([], *batch), lambda *arguments: release([], *arguments)
        )
    shared = _shared(dense, signature, l2_norm_clip, loss, method, optimizer.momentum)
    weights = model.trainable_variables
    state = _state(model, optimizer)
    return CompiledStep(
        lambda *batch: shared.clipped(weights, *batch),
        lambda *arguments: shared.release(state, *arguments),
    )


def _state(model: tf.keras.Model, optimizer: tf.keras.optimizers.SGD) -> list[tf.Variable]:
    """Return all that a step reads or changes."""
    return [*model.trainable_variables, *optimizer.variables, optimizer.learning_rate]


@lru_cache(maxsize=8)
def _shared(
    dense: Layers,
    signature: _Signature,
    l2_norm_clip: float,
    loss: LossName,
    method: Method,
    momentum: float,
) -> _Shared:
    """Compile a step once for all networks with these layers, and data so shaped."""
    network = stand_in(signature[0][0], dense)
    optimizer = tf.keras.optimizers.SGD(momentum=momentum)
    optimizer.build(network.trainable_variables)
    function = loss_function(loss)
    return _Shared(*_compile(network, optimizer, signature, l2_norm_clip, function, method, True))


class _Shared:
    """Compiled halves whose network's variables are those of one call at a time."""

    def __init__(self, clipped: Callable[..., ClippedSum], release: Callable[..., None]) -> None:
        self._clipped, self._release, self._lock = clipped, release, threading.Lock()

    def clipped(self, *arguments: Any) -> ClippedSum:
        with self._lock:
            return self._clipped(*arguments)

    def release(self, *arguments: Any) -> None:
        with self._lock:
            self._release(*arguments)


def _compile(
    model: tf.keras.Model,
    optimizer: tf.keras.optimizers.SGD,
    signature: _Signature,
    l2_norm_clip: float,
    loss: LossFunction,
    method: Method,
    stands_in: bool,
) -> tuple[Callable[..., ClippedSum], Callable[..., None]]:
    """Compile both halves; of a stand-in, each call brings the weights, or all that changes."""
    variables, how, state = model.trainable_variables, plan(model, method), _state(model, optimizer)
    weights_like = [tf.TensorSpec(v.shape, v.dtype) for v in variables if stands_in]
    # Shapes with an open batch size: compiled once, whatever sizes are drawn.
    batch_like = [tf.TensorSpec((None, *shape), dtype) for shape, dtype in signature]

    @tf.function(input_signature=[weights_like, *batch_like])
    def clipped(weights: list[tf.Tensor], x: tf.Tensor, y: tf.Tensor) -> ClippedSum:
        for own, brought in zip(variables, weights, strict=False):
            own.assign(brought)
        return clipped_sum(model, how, x, y, l2_norm_clip, loss)

    @tf.function
    def release(
        brought: list[tf.Variable],
        total: list[tf.Tensor],
        seeds: tf.Tensor,
        deviation: tf.Tensor,
        expected: tf.Tensor,
    ) -> None:
        for own, theirs in zip(state, brought, strict=False):
            own.assign(theirs)
        noisy = [
            value + tf.random.stateless_normal(value.shape, seeds[index], stddev=deviation)
            for index, value in enumerate(total)
        ]
        gradients = [value * tf.math.reciprocal(expected) for value in noisy]
        optimizer.apply_gradients(zip(gradients, variables, strict=True))
        for own, theirs in zip(state, brought, strict=False):
            theirs.assign(own)

    return clipped, release
