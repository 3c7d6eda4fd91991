"""The server's arithmetic: averaging updates, and the step that applies the average."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from helpers.errors import TaskError

if TYPE_CHECKING:
    from helpers.federated.task import ServerOptimizer

Weights = list[np.ndarray]


def weighted_average(
    updates: Sequence[Sequence[np.ndarray]], num_examples: Sequence[float] | np.ndarray
) -> Weights:
    """Average the clients' arrays, each weighted by its number of examples.

    Parameters
    ----------
    updates
        One list of arrays a client, all with the same shapes.
    num_examples
        Weight of each client, not negative, with a positive sum.

    Returns
    -------
    list of np.ndarray
        The averages, summed in float64 and returned in the dtype of the first client's arrays.

    Raises
    ------
    TaskError
        If the lists are empty or of different lengths, shapes differ, or the weights are not
        finite, negative, or all zero.

    References
    ----------
    McMahan et al., AISTATS 2017, Algorithm 1, last line of the server's loop.
    """
    shares = normalised_shares(num_examples)
    if len(updates) != len(shares):
        raise TaskError(f"{len(updates)} updates came with {len(shares)} example counts.")
    shapes = [np.shape(array) for array in updates[0]]
    for index, update in enumerate(updates):
        if [np.shape(array) for array in update] != shapes:
            raise TaskError(
                f"update {index} has shapes {[np.shape(a) for a in update]}, update 0 has {shapes}."
            )
    return [
        np.tensordot(shares, np.stack(arrays).astype(np.float64), axes=1).astype(
            np.asarray(arrays[0]).dtype
        )
        for arrays in zip(*updates, strict=True)
    ]


def normalised_shares(weights: Sequence[float] | np.ndarray) -> np.ndarray:
    """Scale weights to a sum of one, float64 ``(n,)``.

    Raises
    ------
    TaskError
        If there are none, one is negative or not finite, or all are zero.
    """
    values = np.asarray(weights, dtype=np.float64)
    if values.ndim != 1 or not len(values):
        raise TaskError(f"weights of shape {values.shape} must be a list with one value a client.")
    if not np.isfinite(values).all() or values.min() < 0 or values.sum() <= 0:
        raise TaskError(
            f"weights {values.tolist()} must be finite and not negative, with a positive sum."
        )
    return values / values.sum()


def initial_server_state(optimizer: ServerOptimizer, weights: Sequence[np.ndarray]) -> Weights:
    """Make the arrays that a server optimiser remembers between rounds (see `server_step`)."""
    zeros = [np.zeros_like(weight) for weight in weights]
    if optimizer.name == "fedavgm":
        return zeros
    if optimizer.name == "fedadam":
        return [np.zeros((), np.int64), *zeros, *(zero.copy() for zero in zeros)]
    return []


def server_step(
    optimizer: ServerOptimizer,
    state: Sequence[np.ndarray],
    weights: Sequence[np.ndarray],
    update: Sequence[np.ndarray],
) -> tuple[Weights, Weights]:
    """Apply the averaged update to the global weights.

    Parameters
    ----------
    optimizer
        Which optimiser, with its settings.
    state
        What it remembers: nothing (FedAvg), the velocity (FedAvgM), or the number of steps, first
        and second moments (FedAdam).
    weights
        Global weights, float32.
    update
        Averaged change that the clients propose (new minus old), float32.

    Returns
    -------
    state, weights
        New arrays; the arguments are unchanged.
    """
    rate = np.float32(optimizer.learning_rate)
    if optimizer.name == "fedavg":
        return [], [w + rate * d for w, d in zip(weights, update, strict=True)]
    if optimizer.name == "fedavgm":
        momentum = np.float32(optimizer.momentum)
        velocity = [momentum * v + d for v, d in zip(state, update, strict=True)]
        return velocity, [w + rate * v for w, v in zip(weights, velocity, strict=True)]
    return _adam_step(optimizer, state, weights, update)


def _adam_step(
    optimizer: ServerOptimizer,
    state: Sequence[np.ndarray],
    weights: Sequence[np.ndarray],
    update: Sequence[np.ndarray],
) -> tuple[Weights, Weights]:
    step, count = int(state[0]) + 1, len(weights)
    keep_1, keep_2 = np.float32(1 - optimizer.beta_1), np.float32(1 - optimizer.beta_2)
    first = [m + (d - m) * keep_1 for m, d in zip(state[1 : 1 + count], update, strict=True)]
    second = [v + (d * d - v) * keep_2 for v, d in zip(state[1 + count :], update, strict=True)]
    correction = np.sqrt(1 - optimizer.beta_2**step) / (1 - optimizer.beta_1**step)
    rate = np.float32(optimizer.learning_rate * correction)
    epsilon = np.float32(optimizer.epsilon)
    moved = [
        w + rate * m / (np.sqrt(v) + epsilon)
        for w, m, v in zip(weights, first, second, strict=True)
    ]
    return [np.asarray(step, np.int64), *first, *second], moved
