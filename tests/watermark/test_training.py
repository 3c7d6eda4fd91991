"""Many networks of one kind, each from a beginning of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from helpers.watermark.training import train_many

if TYPE_CHECKING:
    import tensorflow as tf


def build(seed: int) -> tf.keras.Model:
    import tensorflow as tf

    start = tf.keras.initializers.GlorotUniform(seed)
    layers = [tf.keras.layers.Input((6,)), tf.keras.layers.Dense(3, kernel_initializer=start)]
    return tf.keras.Sequential(layers)


def test_a_seed_decides_the_whole_training_whatever_was_drawn_before() -> None:
    import tensorflow as tf

    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(60, 6)).astype(np.float32), rng.integers(0, 3, 60)
    tf.keras.utils.set_random_seed(1)
    first, second = (m.get_weights()[0] for m in train_many(build, x, y, (7, 8), 3, batch_size=8))
    tf.keras.utils.set_random_seed(2)
    again, other = (m.get_weights()[0] for m in train_many(build, x, y, (8, 9), 3, batch_size=8))
    np.testing.assert_array_equal(second, again)
    assert len({weights.tobytes() for weights in (first, second, other)}) == 3
