"""Networks that cannot change fast: a certificate from the margin, and what int8 does to it.

If no change of length r moves the outputs by more than ``L * r``, a class that leads by m keeps its
lead against every change shorter than ``m / (sqrt(2) * L)``: no samples, one forward pass (Tsuzuku,
Sato and Sugiyama, *Lipschitz-margin training: scalable certification of perturbation invariance for
deep neural networks*, NeurIPS 2018). deel-lip trains layers whose constant is 1 (Serrurier et al.,
*Achieving robustness in classification using optimal transport with hinge regularization*, CVPR
2021).

**The int8 file has no such constant.** It moves in steps, so two inputs that are next to each other
may differ by a whole one, however slowly the network moves. :func:`largest_deviation` measures how
far the file strays from the network on some inputs, and :func:`search_deviation` finds inputs on
which it strays further: what was measured is no bound, so a margin less twice the measured
deviation is no certificate. Certify the file itself, by votes
(:func:`helpers.robustness.certification.smoothing.certify`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike, NDArray

from helpers.errors import RobustnessError
from helpers.robustness._checks import (
    checked_pairs,
    require_finite,
    require_not_negative,
    require_positive,
    require_whole,
)

Ask = Callable[[NDArray[np.float32]], NDArray[Any]]


def fit_lipschitz(
    inputs: ArrayLike,
    labels: ArrayLike,
    *,
    hidden: Sequence[int] = (128, 64),
    temperature: float = 20.0,
    epochs: int = 20,
    batch_size: int = 64,
    learning_rate: float = 2e-3,
    seed: int = 0,
) -> tf.keras.Model:
    """Train a dense network of Lipschitz constant 1 with deel-lip, and return it as plain Keras.

    Parameters
    ----------
    inputs, labels
        ``(n, ...)`` in [0, 1] and classes ``(n,)``.
    hidden
        Units of the hidden layers, even numbers; their activation sorts pairs, which turns no
        distance into a longer one and keeps the gradient's length, as ReLU does not.
    temperature
        Factor of the outputs inside the loss. Small asks for wide margins, large for accuracy.
    epochs, batch_size, learning_rate
        Of Adam.
    seed
        Of weights and order.

    Returns
    -------
    tf.keras.Model
        Inputs to logits. Check its constant with :func:`dense_constant`.

    Raises
    ------
    RobustnessError
        If a setting is out of its range.
    """
    from deel.lip.layers import GroupSort2, SpectralDense
    from deel.lip.losses import TauSparseCategoricalCrossentropy
    from deel.lip.model import Sequential

    clean, truth = checked_pairs(inputs, labels)
    require_positive("temperature", temperature)
    for name, value in (("epochs", epochs), ("batch_size", batch_size)):
        require_whole(name, value, at_least=1)
    if any(units < 2 or units % 2 for units in hidden):
        raise RobustnessError(f"hidden={tuple(hidden)} must be even numbers: pairs are sorted.")
    tf.keras.utils.set_random_seed(seed)
    sizes = (*hidden, int(truth.max()) + 1)
    dense = [
        SpectralDense(units, kernel_initializer=_orthogonal(seed, i))
        for i, units in enumerate(sizes)
    ]
    layers = [tf.keras.layers.Input(clean.shape[1:]), tf.keras.layers.Flatten()]
    for layer in dense[:-1]:
        layers += [layer, GroupSort2()]
    network = Sequential([*layers, dense[-1]])
    network.compile(
        tf.keras.optimizers.Adam(learning_rate), TauSparseCategoricalCrossentropy(temperature)
    )
    network.optimizer.build(network.trainable_variables)  # else Keras traces the first step twice
    network.fit(clean, truth, batch_size, epochs, verbose=0)
    return network.vanilla_export()


def _orthogonal(seed: int, layer: int) -> Any:
    """Return the initial weights of a layer: deel-lip's default is one for all, without a seed."""
    from deel.lip.initializers import SpectralInitializer

    drawn = np.random.default_rng([seed, layer]).integers(2**31)
    return SpectralInitializer(base_initializer=tf.keras.initializers.Orthogonal(seed=int(drawn)))


def dense_constant(model: tf.keras.Model) -> float:
    """Return a bound of a network's L2 Lipschitz constant: the product over its dense layers.

    Parameters
    ----------
    model
        Keras model of dense layers, with nothing between them but flatten, reshape, ReLU and
        sorting in groups, none of which lengthens a distance.

    Returns
    -------
    float
        Product of the largest singular values, in float64.

    Raises
    ------
    RobustnessError
        If there is a layer of another kind.
    """
    constant = 1.0
    for layer in model.layers:
        kind = type(layer).__name__
        if isinstance(layer, tf.keras.layers.Dense):
            constant *= float(np.linalg.norm(layer.get_weights()[0].astype(np.float64), 2))
            kind = layer.activation.__name__
        if kind not in ("InputLayer", "Flatten", "Reshape", "ReLU", "GroupSort", "GroupSort2",
                        "FullSort", "linear", "relu"):  # fmt: skip
            raise RobustnessError(
                f"{layer.name!r} ({kind}) has no constant here: dense_constant() knows dense "
                "layers, flatten, reshape, ReLU and sorting."
            )
    return constant


def margin_radii(
    scores: ArrayLike, constant: float = 1.0, deviation: float = 0.0
) -> NDArray[np.float64]:
    """Return the L2 radii that margins certify.

    Parameters
    ----------
    scores
        Outputs ``(n, classes)``.
    constant
        L2 Lipschitz constant of the network.
    deviation
        A *proved* bound of how far each score may be from the network's.

    Returns
    -------
    numpy.ndarray
        float64 ``(n,)``, of the class that leads; 0 where the margin is used up.

    Raises
    ------
    RobustnessError
        If a number is out of its range, or there are fewer than two classes.
    """
    require_positive("constant", constant)
    require_not_negative("deviation", deviation)
    rows = np.asarray(scores, np.float64)
    if rows.ndim != 2 or rows.shape[1] < 2 or not np.isfinite(rows).all():
        raise RobustnessError(f"scores of shape {rows.shape} must be finite, (n, classes).")
    second, first = np.partition(rows, -2, axis=1)[:, -2:].T
    return np.maximum(first - second - 2 * deviation, 0) / (np.sqrt(2) * constant)


def largest_deviation(first: Ask, second: Ask, inputs: ArrayLike) -> float:
    """Return the largest difference between two models' scores on some inputs: no bound.

    Raises
    ------
    RobustnessError
        If there are no inputs, or the scores of one model have another shape or are not finite.
    """
    rows = np.asarray(inputs, np.float32)
    require_finite("inputs", rows)
    return float(_apart(first, second, rows).max())


def _apart(first: Ask, second: Ask, rows: NDArray[np.float32]) -> NDArray[Any]:
    """Return the largest difference between the scores of each input, ``(n,)``."""
    one, other = np.asarray(first(rows)), np.asarray(second(rows))
    if one.ndim != 2 or one.shape != other.shape or len(one) != len(rows):
        raise RobustnessError(
            f"The models answer {len(rows)} inputs with scores of shapes {one.shape} and "
            f"{other.shape}: expected (n, classes) twice."
        )
    for scores in (one, other):
        require_finite("scores", scores)
    return np.abs(one - other).max(axis=1)


def search_deviation(
    first: Ask,
    second: Ask,
    inputs: ArrayLike,
    *,
    radius: float,
    rounds: int = 20,
    seed: int = 0,
) -> float:
    """Look for inputs on which two models differ more, near the ones given: a random climb.

    Parameters
    ----------
    first, second
        Inputs ``(n, ...)`` to scores ``(n, classes)``.
    inputs
        Where to start, in [0, 1].
    radius
        How far any value may be moved in all.
    rounds
        Steps; each asks both models once for every input.
    seed
        Of the steps.

    Returns
    -------
    float
        The largest difference found; that at the inputs themselves, or larger.

    Raises
    ------
    RobustnessError
        If a number is out of its range, or as :func:`largest_deviation`.
    """
    require_positive("radius", radius)
    require_whole("rounds", rounds, at_least=1)
    clean = np.asarray(inputs, np.float32)
    require_finite("inputs", clean)
    rng = np.random.default_rng(seed)

    best, reached = clean, _apart(first, second, clean)
    for _ in range(rounds):
        wanted = best + rng.uniform(-radius, radius, clean.shape).astype(np.float32) / 2
        tried = np.clip(wanted, np.maximum(clean - radius, 0), np.minimum(clean + radius, 1))
        found = _apart(first, second, tried)
        better = (found > reached).reshape(-1, *[1] * (clean.ndim - 1))
        best, reached = np.where(better, tried, best), np.maximum(found, reached)
    return float(reached.max())
