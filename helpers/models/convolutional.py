"""Convolutional networks for small images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from helpers.errors import TaskError
from helpers.models._arguments import check, layer_seeds

if TYPE_CHECKING:
    import tensorflow as tf


def mcmahan_cnn(
    input_shape: Sequence[int] = (28, 28, 1), num_classes: int = 10, seed: int = 0
) -> tf.keras.Model:
    """Build the MNIST CNN of the paper that introduced federated averaging.

    Two 5x5 convolutions (32 then 64 channels), each followed by 2x2 max pooling, a dense layer of
    512 with ReLU and the logits; 1,663,370 parameters on MNIST. The paper's count holds only with
    zero-padded ("same") convolutions.

    Parameters
    ----------
    input_shape
        ``(height, width, channels)`` of one image.
    num_classes
        Number of logits.
    seed
        Seed of the initial weights (Glorot uniform; zero biases).

    Returns
    -------
    tf.keras.Model
        float32 ``(n, height, width, channels)`` to float32 logits ``(n, num_classes)``.

    Raises
    ------
    TaskError
        If a size is not positive or the input is not an image.

    References
    ----------
    McMahan, Moore, Ramage, Hampson and Agüera y Arcas, *Communication-efficient learning of deep
    networks from decentralized data*, AISTATS 2017, section 3.
    """
    import tensorflow as tf

    shape = check(input_shape, num_classes, rank=3)
    starts = [tf.keras.initializers.GlorotUniform(s) for s in layer_seeds(seed, 4)]
    conv = {"kernel_size": 5, "padding": "same", "activation": "relu"}
    return tf.keras.Sequential(
        [
            tf.keras.layers.Input(shape),
            tf.keras.layers.Conv2D(32, kernel_initializer=starts[0], **conv),
            tf.keras.layers.MaxPool2D(2),
            tf.keras.layers.Conv2D(64, kernel_initializer=starts[1], **conv),
            tf.keras.layers.MaxPool2D(2),
            tf.keras.layers.Flatten(),
            tf.keras.layers.Dense(512, activation="relu", kernel_initializer=starts[2]),
            tf.keras.layers.Dense(num_classes, kernel_initializer=starts[3]),
        ],
        name="mcmahan_cnn",
    )


def lenet_dlg(
    input_shape: Sequence[int] = (32, 32, 3), num_classes: int = 100, seed: int = 0
) -> tf.keras.Model:
    """Build the LeNet that *Deep leakage from gradients* attacks.

    Three 5x5 convolutions of 12 channels with strides 2, 2, 1 and two pixels of padding, each
    followed by a sigmoid (the attack needs second derivatives, which ReLU does not have), then
    the logits. Weights and biases start uniform in [-0.5, 0.5]. On 32x32x3 images with 100 classes
    it has 85,036 parameters.

    Parameters
    ----------
    input_shape
        ``(height, width, channels)`` of one image.
    num_classes
        Number of logits.
    seed
        Seed of the initial weights.

    Returns
    -------
    tf.keras.Model
        float32 ``(n, height, width, channels)`` to float32 logits ``(n, num_classes)``.

    Raises
    ------
    TaskError
        If a size is not positive or the input is not an image.

    References
    ----------
    Zhu, Liu and Han, *Deep leakage from gradients*, NeurIPS 2019, section 4.1, and the LeNet of
    the code published with it (https://github.com/mit-han-lab/dlg).
    """
    import tensorflow as tf

    shape = check(input_shape, num_classes, rank=3)
    starts = [tf.keras.initializers.RandomUniform(-0.5, 0.5, s) for s in layer_seeds(seed, 8)]
    layers = [tf.keras.layers.Input(shape)]
    for index, stride in enumerate((2, 2, 1)):
        # Keras "same" pads a strided convolution unevenly; the paper pads two pixels a side.
        layers.append(tf.keras.layers.ZeroPadding2D(2))
        layers.append(
            tf.keras.layers.Conv2D(
                12,
                5,
                strides=stride,
                activation="sigmoid",
                kernel_initializer=starts[2 * index],
                bias_initializer=starts[2 * index + 1],
            )
        )
    layers.append(tf.keras.layers.Flatten())
    layers.append(
        tf.keras.layers.Dense(num_classes, kernel_initializer=starts[6], bias_initializer=starts[7])
    )
    return tf.keras.Sequential(layers, name="lenet_dlg")


def small_cnn(
    input_shape: Sequence[int] = (28, 28, 1),
    num_classes: int = 10,
    filters: Sequence[int] = (32, 64),
    norm: Literal["group"] | None = None,
    seed: int = 0,
) -> tf.keras.Model:
    """Build a small image classifier: 3x3 convolutions with 2x2 max pooling, then the logits.

    The default is the Keras MNIST example without its dropout: 34,826 parameters. With
    ``norm="group"`` each convolution is group-normalised before its ReLU, which federated
    learning can use where it cannot use batch normalisation.

    Parameters
    ----------
    input_shape
        ``(height, width, channels)`` of one image.
    num_classes
        Number of logits.
    filters
        Channels of each convolution.
    norm
        ``"group"`` or None. A group is at most 8 channels that divide the layer evenly.
    seed
        Seed of the initial weights (Glorot uniform; zero biases).

    Returns
    -------
    tf.keras.Model
        float32 ``(n, height, width, channels)`` to float32 logits ``(n, num_classes)``.

    Raises
    ------
    TaskError
        If a size is not positive, the input is not an image, the image is too small for that many
        poolings, or ``norm`` is unknown.

    References
    ----------
    Chollet, *Simple MNIST convnet*, https://keras.io/examples/vision/mnist_convnet/.
    Wu and He, *Group normalization*, ECCV 2018; Hsieh, Phanishayee, Mutlu and Gibbons, *The
    non-IID data quagmire of decentralized machine learning*, ICML 2020, section 5, for why.
    """
    import tensorflow as tf

    shape = check(input_shape, num_classes, rank=3)
    if norm not in (None, "group"):
        raise TaskError(f'norm={norm!r} is not known: use "group" or None.')
    if not filters or min(filters) < 1:
        raise TaskError(f"filters={tuple(filters)} must hold positive channel counts.")
    _check_poolings(shape, len(filters))
    starts = [tf.keras.initializers.GlorotUniform(s) for s in layer_seeds(seed, len(filters) + 1)]
    layers = [tf.keras.layers.Input(shape)]
    for channels, start in zip(filters, starts[:-1], strict=True):
        layers.append(tf.keras.layers.Conv2D(channels, 3, kernel_initializer=start))
        if norm == "group":
            layers.append(tf.keras.layers.GroupNormalization(channels // _group_size(channels)))
        layers.append(tf.keras.layers.ReLU())
        layers.append(tf.keras.layers.MaxPool2D(2))
    layers.append(tf.keras.layers.Flatten())
    layers.append(tf.keras.layers.Dense(num_classes, kernel_initializer=starts[-1]))
    return tf.keras.Sequential(layers, name="small_cnn")


def wong_cnn(
    input_shape: Sequence[int] = (28, 28, 1), num_classes: int = 10, seed: int = 0
) -> tf.keras.Model:
    """Build the small strided network on which provable defences were first trained on MNIST.

    Two 4x4 convolutions of stride 2 (16 then 32 channels), a dense layer of 100, each with ReLU,
    and the logits; 166,406 parameters on MNIST. It has no pooling, and so is quick to train and to
    attack.

    Parameters
    ----------
    input_shape
        ``(height, width, channels)`` of one image.
    num_classes
        Number of logits.
    seed
        Seed of the initial weights (Glorot uniform; zero biases).

    Returns
    -------
    tf.keras.Model
        float32 ``(n, height, width, channels)`` to float32 logits ``(n, num_classes)``.

    Raises
    ------
    TaskError
        If a size is not positive or the input is not an image.

    References
    ----------
    Wong and Kolter, *Provable defenses against adversarial examples via the convex outer
    adversarial polytope*, ICML 2018.
    """
    import tensorflow as tf

    shape = check(input_shape, num_classes, rank=3)
    starts = [tf.keras.initializers.GlorotUniform(s) for s in layer_seeds(seed, 4)]
    conv = {"kernel_size": 4, "strides": 2, "padding": "same", "activation": "relu"}
    return tf.keras.Sequential(
        [
            tf.keras.layers.Input(shape),
            tf.keras.layers.Conv2D(16, kernel_initializer=starts[0], **conv),
            tf.keras.layers.Conv2D(32, kernel_initializer=starts[1], **conv),
            tf.keras.layers.Flatten(),
            tf.keras.layers.Dense(100, activation="relu", kernel_initializer=starts[2]),
            tf.keras.layers.Dense(num_classes, kernel_initializer=starts[3]),
        ],
        name="wong_cnn",
    )


def _group_size(channels: int) -> int:
    return max(size for size in range(1, 9) if channels % size == 0)


def _check_poolings(shape: tuple[int, ...], blocks: int) -> None:
    side = min(shape[:2])
    for _ in range(blocks):
        side = (side - 2) // 2
    if side < 1:
        raise TaskError(
            f"An image of {shape[0]}x{shape[1]} is too small for {blocks} convolutions with "
            "pooling; give fewer filters or larger images."
        )
