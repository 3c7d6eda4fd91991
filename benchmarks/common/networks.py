"""Networks of published experiments that only benchmarks need."""

from __future__ import annotations

import tensorflow as tf


def tutorial_cnn() -> tf.keras.Model:
    """Build the network of TensorFlow Privacy's MNIST tutorial: 26,010 parameters."""
    layers = tf.keras.layers
    return tf.keras.Sequential(
        [
            layers.Input((28, 28, 1)),
            layers.Conv2D(16, 8, strides=2, padding="same", activation="relu"),
            layers.MaxPool2D(2, 1),
            layers.Conv2D(32, 4, strides=2, activation="relu"),
            layers.MaxPool2D(2, 1),
            layers.Flatten(),
            layers.Dense(32, activation="relu"),
            layers.Dense(10),
        ]
    )
