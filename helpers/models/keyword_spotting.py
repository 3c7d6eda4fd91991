"""The keyword-spotting network of MLPerf Tiny."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from helpers.errors import TaskError
from helpers.models._arguments import check, layer_seeds

if TYPE_CHECKING:
    import tensorflow as tf

_BATCH_NORM_MOMENTUM = 0.9


def ds_cnn(
    input_shape: Sequence[int] = (49, 10, 1),
    num_classes: int = 12,
    batch_norm: bool = True,
    dropout: tuple[float, float] = (0.1, 0.1),
    seed: int = 0,
    *,
    channels: int = 64,
    blocks: int = 4,
) -> tf.keras.Model:
    """Build the depthwise-separable CNN of MLPerf Tiny's keyword-spotting task.

    A 10x4 convolution of 64 channels with stride 2, then four blocks of a 3x3 depthwise and a 1x1
    convolution, each convolution followed by batch normalisation and ReLU; global average pooling
    and the logits. On 49x10 features with 12 classes it has 24,908 parameters, of which training
    changes 23,756; folded into the convolutions, 22,604 are left on a device.

    The moving averages of batch normalisation have a momentum of 0.9 here: with Keras' 0.99, as in
    the reference, a training of a minute ends before they have settled.

    Parameters
    ----------
    input_shape
        ``(frames, coefficients, channels)`` of one example, as :func:`helpers.data.audio.mfcc`
        makes them.
    num_classes
        Number of logits.
    batch_norm
        False leaves batch normalisation out. Differential privacy needs that, since it lets one
        example of a batch change what the network computes for another.
    dropout
        Shares of activations dropped while training: after the first convolution, and before the
        pooling. The reference, which trains for longer, has 0.2 and 0.4. 0 leaves a layer out.
    seed
        Seed of the initial weights (Glorot uniform; He uniform without batch normalisation) and
        of the dropout.
    channels, blocks
        Width of every convolution, and pairs of a depthwise and a 1x1 convolution; the reference
        has 64 and 4. Fewer make quicker networks for measurements that train hundreds of them.

    Returns
    -------
    tf.keras.Model
        float32 ``(n, frames, coefficients, channels)`` to float32 logits ``(n, num_classes)``.

    Raises
    ------
    TaskError
        If a size is not positive, the input has no channel dimension, or ``dropout`` is not two
        shares in [0, 1).

    References
    ----------
    Zhang, Suda, Lai and Chandra, *Hello Edge: keyword spotting on microcontrollers*, 2017,
    arXiv:1711.07128. Banbury et al., *MLPerf Tiny benchmark*, NeurIPS 2021 datasets and
    benchmarks, arXiv:2106.07597, and its reference implementation,
    https://github.com/mlcommons/tiny.
    """
    import tensorflow as tf

    shape = check(input_shape, num_classes, rank=3)
    _check_sizes(dropout, channels, blocks)
    seeds = iter(layer_seeds(seed, 2 * blocks + 4))
    initializer = (
        tf.keras.initializers.GlorotUniform if batch_norm else tf.keras.initializers.HeUniform
    )
    depthwise_initializer = initializer if batch_norm else _he_uniform_depthwise

    def then(convolution: tf.keras.layers.Layer) -> list[tf.keras.layers.Layer]:
        norm = [tf.keras.layers.BatchNormalization(momentum=_BATCH_NORM_MOMENTUM)] * batch_norm
        return [convolution, *norm, tf.keras.layers.ReLU()]

    layers = [
        tf.keras.layers.Input(shape),
        *then(
            tf.keras.layers.Conv2D(
                channels,
                (10, 4),
                strides=2,
                padding="same",
                kernel_initializer=initializer(next(seeds)),
            )
        ),
        tf.keras.layers.Dropout(dropout[0], seed=next(seeds)),
    ]
    for _ in range(blocks):
        depthwise = tf.keras.layers.DepthwiseConv2D(
            3, padding="same", depthwise_initializer=depthwise_initializer(next(seeds))
        )
        pointwise = tf.keras.layers.Conv2D(channels, 1, kernel_initializer=initializer(next(seeds)))
        layers += [*then(depthwise), *then(pointwise)]
    layers += [
        tf.keras.layers.Dropout(dropout[1], seed=next(seeds)),
        tf.keras.layers.GlobalAveragePooling2D(),
        tf.keras.layers.Dense(
            num_classes, kernel_initializer=tf.keras.initializers.GlorotUniform(next(seeds))
        ),
    ]
    kept = [layer for layer in layers if getattr(layer, "rate", 1) > 0]
    return tf.keras.Sequential(kept, name="ds_cnn")


def _check_sizes(dropout: tuple[float, float], channels: int, blocks: int) -> None:
    if len(dropout) != 2 or not all(0 <= share < 1 for share in dropout):
        raise TaskError(f"dropout={dropout} must be two shares, each at least 0 and below 1.")
    if min(channels, blocks) < 1:
        raise TaskError(f"channels={channels} and blocks={blocks} must both be at least 1.")


def _he_uniform_depthwise(seed: int) -> tf.keras.initializers.Initializer:
    """He uniform weights of a 3x3 depthwise convolution.

    Keras takes its kernel for one over all channels, and would start it 8 times too low.
    """
    import tensorflow as tf

    bound = math.sqrt(6 / 3**2)
    return tf.keras.initializers.RandomUniform(-bound, bound, seed)
