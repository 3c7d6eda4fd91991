"""Interval bound propagation: how far every layer can move when every input may move a little.

A box around an input is pushed through the network, layer by layer, as a box around the output. If
the right class is ahead even in the worst corner, no change of at most ``epsilon`` in any pixel
fools the network. It costs two forward passes and no randomness, and is crude: each layer forgets
how its values depend on each other, so a network must be trained for it (Gowal et al., *On the
effectiveness of interval bound propagation for training verifiably robust models*, 2018).

The bounds are computed in float64 and hold for the network as mathematics, up to the rounding of
those sums. They say nothing of the int8 file made from it, whose every layer rounds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike, NDArray

from helpers.errors import RobustnessError
from helpers.robustness._checks import checked_pairs, require_positive

BISECTIONS = 20


class Box(NamedTuple):
    """A box of values.

    Attributes
    ----------
    low, high
        Tensors ``(n, ...)``.
    """

    low: Any
    high: Any


def propagate(model: tf.keras.Model, box: Box) -> Box:
    """Push a box through a network.

    Parameters
    ----------
    model
        Keras model whose layers follow one another: dense, convolution (also depthwise), ReLU,
        batch normalisation at inference, maximum and average pooling (also global), padding with
        zeros, flatten, reshape and dropout.
    box
        Around inputs ``(n, ...)``.

    Returns
    -------
    Box
        Around the outputs: whatever input lies in the box, its output lies in this one.

    Raises
    ------
    RobustnessError
        If a layer is of another kind, or the layers form no chain.
    """
    for layer in chain(model):
        box = _through(layer, box)
    return box


def chain(model: tf.keras.Model) -> list[tf.keras.layers.Layer]:
    """Return the layers of a network in their order.

    Raises
    ------
    RobustnessError
        If one of them is used twice, or has several inputs.
    """
    layers = [x for x in model.layers if not isinstance(x, tf.keras.layers.InputLayer)]
    if not isinstance(model, tf.keras.Sequential):
        order: list[Any] = []
        tensor = model.outputs[0]
        while not isinstance(tensor._keras_history.layer, tf.keras.layers.InputLayer):
            layer = tensor._keras_history.layer
            order.insert(0, layer)
            tensor = layer.input
            if isinstance(tensor, list) or len(layer.inbound_nodes) != 1:
                raise RobustnessError(f"{layer.name!r} joins or repeats: the layers form no chain.")
        layers = order
    return layers


def _through(layer: tf.keras.layers.Layer, box: Box) -> Box:
    """Push a box through one layer.

    Only the very types count: a layer derived from one of them may compute something else.
    """
    keras, kind = tf.keras.layers, type(layer)
    if kind in (keras.Dense, keras.Conv2D, keras.DepthwiseConv2D):
        linear, constant, activation = _linear(layer, box.low.dtype)
        middle, reach = (box.low + box.high) / 2, (box.high - box.low) / 2
        middle, reach = linear(middle, False) + constant, linear(reach, True)
        return _activated(activation, Box(middle - reach, middle + reach), layer.name)
    if kind is keras.BatchNormalization and list(layer.axis) == [len(box.low.shape) - 1]:
        return _normalised(layer, box)
    if kind is keras.Activation:
        return _activated(layer.activation, box, layer.name)
    if kind is keras.Dropout:
        return box
    if kind in _RISING:  # each output rises with each input, or stays: corner goes to corner
        return Box(*(layer.call(end) for end in box))
    raise RobustnessError(
        f"{layer.name!r} ({kind.__name__}) has no bounds here: propagate() knows dense, "
        "convolution, ReLU, batch normalisation, pooling, padding, flatten, reshape and dropout."
    )


_RISING = (
    tf.keras.layers.ReLU,
    tf.keras.layers.Flatten,
    tf.keras.layers.Reshape,
    tf.keras.layers.ZeroPadding2D,
    tf.keras.layers.MaxPooling2D,
    tf.keras.layers.AveragePooling2D,
    tf.keras.layers.GlobalMaxPooling2D,
    tf.keras.layers.GlobalAveragePooling2D,
)


def _linear(
    layer: tf.keras.layers.Layer, dtype: Any
) -> tuple[Callable[[Any, bool], Any], Any, Callable[..., Any]]:
    """Return the linear part of a layer (of its absolute weights, if so asked) and the rest."""
    depthwise = isinstance(layer, tf.keras.layers.DepthwiseConv2D)
    kernel = tf.cast(layer.depthwise_kernel if depthwise else layer.kernel, dtype)
    constant = tf.cast(layer.bias, dtype) if layer.use_bias else tf.zeros((), dtype)
    if isinstance(layer, tf.keras.layers.Dense):
        return (
            lambda value, size: tf.linalg.matmul(value, tf.abs(kernel) if size else kernel),
            constant,
            layer.activation,
        )
    if layer.data_format != "channels_last" or getattr(layer, "groups", 1) != 1:
        raise RobustnessError(f"{layer.name!r}: convolutions must be channels last, in one group.")
    strides, padding = layer.strides, layer.padding.upper()
    if depthwise:
        steps = [1, *strides, 1]
        return (
            lambda value, size: tf.nn.depthwise_conv2d(
                value, tf.abs(kernel) if size else kernel, steps, padding,
                dilations=layer.dilation_rate,
            ),
            constant,
            layer.activation,
        )  # fmt: skip
    return (
        lambda value, size: tf.nn.conv2d(
            value, tf.abs(kernel) if size else kernel, strides, padding,
            dilations=layer.dilation_rate,
        ),
        constant,
        layer.activation,
    )  # fmt: skip


def _normalised(layer: tf.keras.layers.BatchNormalization, box: Box) -> Box:
    kind = box.low.dtype
    scale = tf.math.rsqrt(tf.cast(layer.moving_variance, kind) + layer.epsilon)
    if layer.scale:
        scale *= tf.cast(layer.gamma, kind)
    shift = -tf.cast(layer.moving_mean, kind) * scale
    if layer.center:
        shift += tf.cast(layer.beta, kind)
    ends = [end * scale + shift for end in box]  # a negative scale exchanges them
    return Box(tf.minimum(*ends), tf.maximum(*ends))


def _activated(activation: Callable[..., Any], box: Box, name: str) -> Box:
    if activation is tf.keras.activations.linear:
        return box
    if activation is tf.keras.activations.relu:
        return Box(*(tf.nn.relu(end) for end in box))
    known = getattr(activation, "__name__", repr(activation))
    raise RobustnessError(
        f"{name!r} ends in {known!r}: bounds need ReLU, or nothing; take a softmax off with "
        "logits_of()."
    )


def worst_logits(model: tf.keras.Model, inputs: Any, labels: Any, epsilon: Any) -> Any:
    """Return an upper bound of how far each wrong class can get ahead of the right one.

    The last layer is joined with the difference of its outputs, which is tighter than bounding each
    output by itself (Gowal et al. 2018, section 3).

    Parameters
    ----------
    model
        As :func:`propagate` takes it, ending in a dense layer.
    inputs, labels
        Tensors ``(n, ...)`` and ``(n,)``.
    epsilon
        Most that any value of an input may change; one number, or one an input. The box is cut to
        [0, 1].

    Returns
    -------
    tensorflow.Tensor
        ``(n, classes)``, 0 for the right class. If all others are below 0 the class is certified.

    Raises
    ------
    RobustnessError
        If the last layer is not dense, or :func:`propagate` does not know a layer.
    """
    *body, head = chain(model)
    if not isinstance(head, tf.keras.layers.Dense):
        raise RobustnessError(f"{head.name!r} must be a dense layer that gives the logits.")
    _activated(head.activation, Box(inputs, inputs), head.name)
    reach = tf.reshape(tf.cast(epsilon, inputs.dtype), [-1, *[1] * (len(inputs.shape) - 1)])
    box = Box(*(tf.clip_by_value(inputs + side * reach, 0.0, 1.0) for side in (-1.0, 1.0)))
    for layer in body:
        box = _through(layer, box)
    middle, half = (box.low + box.high) / 2, (box.high - box.low) / 2
    kernel = tf.cast(head.kernel, inputs.dtype)
    right = tf.gather(kernel, labels, axis=1)  # (features, n)
    gap = kernel[:, None, :] - right[:, :, None]  # (features, n, classes)
    bound = tf.einsum("nf,fnc->nc", middle, gap) + tf.einsum("nf,fnc->nc", half, tf.abs(gap))
    if head.use_bias:
        bias = tf.cast(head.bias, inputs.dtype)
        bound += bias - tf.gather(bias, labels)[:, None]
    return bound


def certified_linf_radii(
    model: tf.keras.Model, inputs: ArrayLike, labels: ArrayLike, most: float = 1.0
) -> NDArray[np.float64]:
    """Return the largest change of every pixel under which the right class is certified.

    Parameters
    ----------
    model
        As :func:`propagate` takes it, inputs in [0, 1] to logits of a dense layer.
    inputs, labels
        ``(n, ...)`` and classes ``(n,)``.
    most
        Radius at which the search begins.

    Returns
    -------
    numpy.ndarray
        float64 ``(n,)``: radii, found by bisection from below, -1 where the class is wrong without
        any change.

    Raises
    ------
    RobustnessError
        If the network has no bounds here.
    """
    clean, truth = checked_pairs(inputs, labels)
    require_positive("most", most)
    rows, goal = tf.constant(clean, tf.float64), tf.constant(truth)

    @tf.function
    def holds(epsilon: Any) -> Any:
        ahead = worst_logits(model, rows, goal, epsilon)
        others = tf.one_hot(goal, tf.shape(ahead)[1], on_value=False, off_value=True, dtype=tf.bool)
        return tf.reduce_all((ahead < 0) | ~others, axis=1)

    low, high = np.zeros(len(clean)), np.full(len(clean), float(most))
    right = holds(tf.constant(low)).numpy()
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        good = holds(tf.constant(middle)).numpy()
        low, high = np.where(good, middle, low), np.where(good, high, middle)
    return np.where(right, low, -1.0)
