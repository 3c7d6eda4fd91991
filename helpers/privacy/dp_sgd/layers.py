"""Which layers have a one-pass rule, and the rules.

A rule turns what a layer saw (its inputs, and the gradient of the loss at its output before the
activation) into the per-example gradients of its variables. A layer called more than once is
handled by lining its calls up as further positions of one call: gradients of one variable add.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import tensorflow as tf

from helpers.privacy.dp_sgd.per_example import Explicit, Lookups, OuterProducts, PerExample

keras = tf.keras.layers


class Use(NamedTuple):
    """One call of a layer.

    Attributes
    ----------
    inputs
        What it was called on, ``(n, ...)``.
    cotangent
        Gradient of the summed loss at its output before the activation, float32 ``(n, ...)``.
    """

    inputs: tf.Tensor
    cotangent: tf.Tensor


Rule = Callable[[tf.keras.layers.Layer, Sequence[Use]], PerExample]


def rule_for(layer: tf.keras.layers.Layer) -> Rule | None:
    """Find a layer's one-pass rule.

    Parameters
    ----------
    layer
        A built layer with trainable variables.

    Returns
    -------
    Rule or None
        None for a layer (also a subclass of a known one, which may compute anything) whose
        per-example gradients must be computed one example at a time.
    """
    kind = type(layer)
    if kind in (keras.Conv2D, keras.DepthwiseConv2D):
        known = layer.data_format == "channels_last" and layer.groups == 1
    elif kind is keras.LayerNormalization:
        known = list(layer.axis) == sorted(layer.axis) and min(layer.axis) > 0
    elif kind is keras.GroupNormalization:
        known = layer.axis in (-1, layer.input_spec.ndim - 1)
    else:
        known = kind in _RULES
    return _RULES[kind] if known else None


def _dense(layer: tf.keras.layers.Dense, uses: Sequence[Use]) -> PerExample:
    return OuterProducts(
        _joined([_positions(use.inputs) for use in uses]),
        _joined([_positions(use.cotangent) for use in uses]),
        layer.kernel.shape,
        layer.use_bias,
    )


def _conv2d(layer: tf.keras.layers.Conv2D, uses: Sequence[Use]) -> PerExample:
    return OuterProducts(
        _joined([_positions(_patches(layer, use.inputs)) for use in uses]),
        _joined([_positions(use.cotangent) for use in uses]),
        layer.kernel.shape,
        layer.use_bias,
    )


def _depthwise_conv2d(layer: tf.keras.layers.DepthwiseConv2D, uses: Sequence[Use]) -> PerExample:
    height, width, channels, multiplier = layer.depthwise_kernel.shape
    inputs = _joined([_positions(_patches(layer, use.inputs)) for use in uses])
    count = tf.shape(inputs)[1]
    inputs = tf.reshape(inputs, (-1, count, height * width, channels))
    cotangents = _joined([_positions(use.cotangent) for use in uses])
    by_channel = tf.reshape(cotangents, (-1, count, channels, multiplier))
    kernels = tf.einsum("ntkc,ntcm->nkcm", inputs, by_channel)
    gradients = [tf.reshape(kernels, (-1, height, width, channels, multiplier))]
    if layer.use_bias:
        gradients.append(tf.reduce_sum(cotangents, axis=1))
    return Explicit(gradients)


def _embedding(layer: tf.keras.layers.Embedding, uses: Sequence[Use]) -> PerExample:
    rows = _joined([_positions(tf.cast(use.inputs, tf.int32)[..., None]) for use in uses])
    cotangents = _joined([_positions(use.cotangent) for use in uses])
    return Lookups(rows[:, :, 0], cotangents, layer.input_dim)


def _layer_normalisation(
    layer: tf.keras.layers.LayerNormalization, uses: Sequence[Use]
) -> PerExample:
    def normalise(inputs: tf.Tensor) -> tf.Tensor:
        mean, variance = tf.nn.moments(inputs, layer.axis, keepdims=True)
        return (inputs - mean) * tf.math.rsqrt(variance + layer.epsilon)

    return _scale_and_shift(layer, uses, normalise, list(layer.axis))


def _group_normalisation(
    layer: tf.keras.layers.GroupNormalization, uses: Sequence[Use]
) -> PerExample:
    def normalise(inputs: tf.Tensor) -> tf.Tensor:
        channels = inputs.shape[-1]
        grouped = (tf.shape(inputs)[0], -1, layer.groups, channels // layer.groups)
        values = tf.reshape(inputs, grouped)
        mean, variance = tf.nn.moments(values, [1, 3], keepdims=True)
        values = (values - mean) * tf.math.rsqrt(variance + layer.epsilon)
        return tf.reshape(values, tf.shape(inputs))

    return _scale_and_shift(layer, uses, normalise, [layer.input_spec.ndim - 1])


def _scale_and_shift(
    layer: tf.keras.layers.Layer,
    uses: Sequence[Use],
    normalise: Callable[[tf.Tensor], tf.Tensor],
    axes: list[int],
) -> PerExample:
    """Gradients of gamma and beta, which span ``axes``; all other positions add up."""

    def over_positions(values: tf.Tensor) -> tf.Tensor:
        others = [axis for axis in range(1, values.shape.rank) if axis not in axes]
        return tf.reduce_sum(values, axis=others)

    gradients = []
    if layer.scale:
        products = [use.cotangent * normalise(use.inputs) for use in uses]
        gradients.append(tf.add_n([over_positions(product) for product in products]))
    if layer.center:
        gradients.append(tf.add_n([over_positions(use.cotangent) for use in uses]))
    return Explicit(gradients)


def _patches(layer: tf.keras.layers.Layer, inputs: tf.Tensor) -> tf.Tensor:
    """Cut out what each output position sees, ``(n, height, width, kernel area * channels)``."""
    # A kernel of one pixel sees the pixels themselves.
    if tuple(layer.kernel_size) == (1, 1):
        return inputs[:, :: layer.strides[0], :: layer.strides[1], :]
    return tf.image.extract_patches(
        inputs,
        sizes=(1, *layer.kernel_size, 1),
        strides=(1, *layer.strides, 1),
        rates=(1, *layer.dilation_rate, 1),
        padding=layer.padding.upper(),
    )


def _positions(values: tf.Tensor) -> tf.Tensor:
    """Flatten everything between the batch and the last axis: ``(n, T, size)``."""
    middle = values.shape[1:-1]
    count = middle.num_elements() if middle.is_fully_defined() else -1
    return tf.reshape(values, (tf.shape(values)[0], count, values.shape[-1]))


def _joined(parts: list[tf.Tensor]) -> tf.Tensor:
    return parts[0] if len(parts) == 1 else tf.concat(parts, axis=1)


_RULES: dict[type, Rule] = {
    keras.Dense: _dense,
    keras.Conv2D: _conv2d,
    keras.DepthwiseConv2D: _depthwise_conv2d,
    keras.Embedding: _embedding,
    keras.LayerNormalization: _layer_normalisation,
    keras.GroupNormalization: _group_normalisation,
}
