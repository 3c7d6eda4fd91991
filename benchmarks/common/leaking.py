"""The models that the leakage benchmarks attack: small networks that know few digits by heart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import tensorflow as tf

POOL = 1000


@dataclass(frozen=True, eq=False)
class Digits:
    """Real MNIST digits of 14 x 14 pixels; float32 images and int32 labels.

    Attributes
    ----------
    x, y
        The pool: each model is trained on half of it.
    x_test, y_test
        Seen by no model.
    """

    x: NDArray[np.float32]
    y: NDArray[np.int32]
    x_test: NDArray[np.float32]
    y_test: NDArray[np.int32]


def digits(pool: int = POOL) -> Digits:
    """Load the digits that an installed package carries, and average each 2 x 2 block."""
    from helpers import data

    mnist = data.load("mnist", source="offline")

    def half_size(images: NDArray[np.float32]) -> NDArray[np.float32]:
        blocks = images.reshape(-1, 14, 2, 14, 2)
        return blocks.mean(axis=(2, 4), dtype=np.float32)[..., None]

    return Digits(
        half_size(mnist.x_train[:pool]),
        mnist.y_train[:pool],
        half_size(mnist.x_test),
        mnist.y_test,
    )


def network(seed: int) -> tf.keras.Model:
    """Build the attacked network: 13,258 parameters."""
    from helpers import models

    return models.mlp((14, 14, 1), 10, hidden=(64,), seed=seed)
