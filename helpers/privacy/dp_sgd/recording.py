"""Run a model once and note what its layers see, without rebuilding it.

For the length of a ``with`` block, chosen layers report their inputs and their output *before* the
activation. Any Keras model works: functional, sequential or subclassed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

import tensorflow as tf


class Call(NamedTuple):
    """One call of a layer: the layer, its inputs, and its output before the activation."""

    layer: tf.keras.layers.Layer
    inputs: tf.Tensor
    output: tf.Tensor


@contextmanager
def recorded_calls(
    layers: Sequence[tf.keras.layers.Layer], tape: tf.GradientTape
) -> Iterator[list[Call]]:
    """Record every call of some layers, and have a tape watch their outputs.

    Parameters
    ----------
    layers
        Layers to record.
    tape
        An open tape; gradients with respect to the recorded outputs can be asked of it.

    Yields
    ------
    list of Call
        Filled as the layers are called.
    """
    calls: list[Call] = []
    with ExitStack() as stack:
        for layer in layers:
            stack.enter_context(_recorded(layer, tape, calls))
        yield calls


@contextmanager
def _recorded(
    layer: tf.keras.layers.Layer, tape: tf.GradientTape, calls: list[Call]
) -> Iterator[None]:
    original = layer.call
    activation = getattr(layer, "activation", None)

    def call(inputs: tf.Tensor, *args: Any, **kwargs: Any) -> tf.Tensor:
        def note(output: tf.Tensor) -> tf.Tensor:
            tape.watch(output)
            calls.append(Call(layer, inputs, output))
            return output

        if activation is None:
            return note(original(inputs, *args, **kwargs))
        layer.activation = lambda output: activation(note(output))
        try:
            return original(inputs, *args, **kwargs)
        finally:
            layer.activation = activation

    layer.call = call
    try:
        yield
    finally:
        del layer.call
