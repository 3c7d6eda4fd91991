"""Plain networks of dense layers as plain values, and made again from them.

Compiling a step takes as long as dozens of them. What is compiled for a stand-in serves every
network with the same layers: it is given their weights.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import tensorflow as tf

# Width, activation, and whether there is a bias, of each layer.
Layers = tuple[tuple[int, Callable[[Any], Any], bool], ...]


def plain_layers(model: tf.keras.Model) -> Layers | None:
    """Return what a plain dense network is made of, None for any other.

    Plain is a chain of flatten and dense layers that trains in float32 alone and as a whole,
    without penalties or constraints.
    """
    import tensorflow as tf

    layers, own = model.layers, tf.keras.layers
    if type(model) is not tf.keras.Sequential or [type(layer) for layer in layers] != [
        own.Flatten,
        *[own.Dense] * (len(layers) - 1),
    ]:
        return None
    flatten, *dense = layers
    extras = ("kernel_regularizer", "bias_regularizer", "activity_regularizer",
              "kernel_constraint", "bias_constraint")  # fmt: skip
    known = list(vars(tf.keras.activations).values())
    is_plain = (
        flatten.data_format == "channels_last"
        and all(tensor.dtype == tf.float32 for tensor in model.inputs or ())
        and not model.losses
        and not model.non_trainable_weights
        and len(model.trainable_weights)
        == sum(1 + layer.use_bias for layer in dense)  # none shared
        and all(layer.compute_dtype == "float32" for layer in layers)
        and all(layer.activation in known for layer in dense)
        and not any(getattr(layer, name) for layer in dense for name in extras)
    )
    if not is_plain:
        return None
    return tuple((layer.units, layer.activation, layer.use_bias) for layer in dense)


def stand_in(shape: Sequence[int], dense: Layers) -> tf.keras.Model:
    """Make a network with these layers for inputs of a shape, all its weights zero."""
    import tensorflow as tf

    # Every call brings weights, so none are drawn: that would move the generators of others.
    layers = tf.keras.layers
    chain = [layers.Dense(*args, "zeros", dtype="float32") for args in dense]
    return tf.keras.Sequential([layers.Input(shape), layers.Flatten(dtype="float32"), *chain])
