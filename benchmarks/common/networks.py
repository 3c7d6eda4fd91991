"""Networks of published experiments that only benchmarks need."""

from __future__ import annotations

import tensorflow as tf


def tutorial_cnn(activation: str | None = "relu") -> tf.keras.Model:
    """Build the network of TensorFlow Privacy's MNIST tutorial: 26,010 parameters.

    Parameters
    ----------
    activation
        ``"relu"``, the network since February 2019; None, the first published one, which had no
        activation at all and He's initial weights.
    """
    layers = tf.keras.layers
    kind = {
        "activation": activation,
        "kernel_initializer": "glorot_uniform" if activation else "he_normal",
    }
    return tf.keras.Sequential(
        [
            layers.Input((28, 28, 1)),
            layers.Conv2D(16, 8, strides=2, padding="same", **kind),
            layers.MaxPool2D(2, 1),
            layers.Conv2D(32, 4, strides=2, **kind),
            layers.MaxPool2D(2, 1),
            layers.Flatten(),
            layers.Dense(32, **kind),
            layers.Dense(10, kernel_initializer=kind["kernel_initializer"]),
        ]
    )
