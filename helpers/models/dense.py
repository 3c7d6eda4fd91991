"""Networks of dense layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from helpers.errors import TaskError
from helpers.models._arguments import check, layer_seeds

if TYPE_CHECKING:
    import tensorflow as tf


def mlp(
    input_shape: Sequence[int],
    num_classes: int,
    hidden: Sequence[int] = (64,),
    seed: int = 0,
) -> tf.keras.Model:
    """Build a multilayer perceptron with ReLU hidden layers.

    With one hidden layer of 64 on 28x28 images it has 50,890 parameters.

    Parameters
    ----------
    input_shape
        Shape of one example, of any rank; it is flattened.
    num_classes
        Number of logits.
    hidden
        Width of each hidden layer; empty gives multinomial logistic regression.
    seed
        Seed of the initial weights (Glorot uniform; zero biases).

    Returns
    -------
    tf.keras.Model
        float32 ``(n, *input_shape)`` to float32 logits ``(n, num_classes)``.

    Raises
    ------
    TaskError
        If a size is not positive.

    References
    ----------
    Glorot and Bengio, *Understanding the difficulty of training deep feedforward neural
    networks*, AISTATS 2010, equation 16, for the initial weights.
    """
    import tensorflow as tf

    shape = check(input_shape, num_classes)
    if any(width < 1 for width in hidden):
        raise TaskError(f"hidden={tuple(hidden)} must hold positive widths.")
    seeds = layer_seeds(seed, len(hidden) + 1)
    layers = [tf.keras.layers.Input(shape), tf.keras.layers.Flatten()]
    for width, layer_seed in zip(hidden, seeds[:-1], strict=True):
        start = tf.keras.initializers.GlorotUniform(layer_seed)
        layers.append(tf.keras.layers.Dense(width, activation="relu", kernel_initializer=start))
    start = tf.keras.initializers.GlorotUniform(seeds[-1])
    layers.append(tf.keras.layers.Dense(num_classes, kernel_initializer=start))
    return tf.keras.Sequential(layers, name="mlp")


def mcmahan_2nn(
    input_shape: Sequence[int] = (28, 28, 1), num_classes: int = 10, seed: int = 0
) -> tf.keras.Model:
    """Build the "MNIST 2NN" of the paper that introduced federated averaging.

    Two hidden layers of 200 units with ReLU; 199,210 parameters on MNIST.

    Parameters
    ----------
    input_shape
        Shape of one example, of any rank; it is flattened.
    num_classes
        Number of logits.
    seed
        Seed of the initial weights.

    Returns
    -------
    tf.keras.Model
        float32 ``(n, *input_shape)`` to float32 logits ``(n, num_classes)``.

    Raises
    ------
    TaskError
        If a size is not positive.

    References
    ----------
    McMahan, Moore, Ramage, Hampson and Agüera y Arcas, *Communication-efficient learning of deep
    networks from decentralized data*, AISTATS 2017, section 3.
    """
    return mlp(input_shape, num_classes, hidden=(200, 200), seed=seed)
