"""Local training of a dense network in NumPy: what a hospital's process computes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from helpers.federated.sampling import client_batches
from helpers.federated.task import ClientData, LocalTraining
from helpers.models.softmax_regression import probabilities

Weights = list[np.ndarray]


class Trained(NamedTuple):
    """What a client has after its local epochs.

    Attributes
    ----------
    weights
        Its weights, float32.
    train_loss
        Mean cross-entropy over every batch, each before its own step.
    """

    weights: Weights
    train_loss: float


def logits(weights: Sequence[np.ndarray], x: np.ndarray) -> np.ndarray:
    """Evaluate the network, ReLU between its layers.

    Parameters
    ----------
    weights
        Kernels and biases in turn, float32.
    x
        Features, float32 ``(n, features)``.

    Returns
    -------
    np.ndarray
        float32 ``(n, classes)``.
    """
    return _activations(weights, x)[-1]


def mean_loss(weights: Sequence[np.ndarray], data: ClientData) -> float:
    """Mean cross-entropy of the network on some examples, in nats."""
    return float(_losses(logits(weights, data.x), data.y).mean())


def accuracy(weights: Sequence[np.ndarray], data: ClientData) -> float:
    """Share of examples that the network classifies as labelled."""
    return float((logits(weights, data.x).argmax(axis=1) == data.y).mean())


def train_locally(
    weights: Sequence[np.ndarray],
    data: ClientData,
    local: LocalTraining,
    seed: int,
    round_number: int,
    client: int,
) -> Trained:
    """Train on a client's own data: ``ClientUpdate`` of McMahan et al. (2017), Algorithm 1.

    The batches are those of :func:`helpers.federated.client_batches`, so that every engine sees
    the same; the proximal term is that of :class:`~helpers.federated.LocalTraining`.

    Parameters
    ----------
    weights
        Global weights, float32, kernels and biases in turn.
    data
        The client's examples: float32 ``(n, features)``, int32 ``(n,)``.
    local
        Epochs, batch size, learning rate, proximal term.
    seed, round_number, client
        Decide the batches.

    Returns
    -------
    Trained
        New weights, and the mean loss on the way.
    """
    start = [np.asarray(weight, np.float32) for weight in weights]
    current = [weight.copy() for weight in start]
    batches = client_batches(seed, round_number, client, len(data), local.batch_size, local.epochs)
    rate, mu = np.float32(local.learning_rate), np.float32(local.proximal_mu)
    total = 0.0
    for batch in batches:
        loss, gradients = _gradients(current, data.x[batch], data.y[batch])
        total += loss
        for weight, gradient, origin in zip(current, gradients, start, strict=True):
            weight -= rate * (gradient + mu * (weight - origin))
    return Trained(current, total / sum(len(batch) for batch in batches))


def _activations(weights: Sequence[np.ndarray], x: np.ndarray) -> list[np.ndarray]:
    """Input, output of each hidden layer, and the logits."""
    layers = [np.asarray(x, np.float32)]
    pairs = list(zip(weights[::2], weights[1::2], strict=True))
    for index, (kernel, bias) in enumerate(pairs):
        output = layers[-1] @ kernel + bias
        layers.append(output if index == len(pairs) - 1 else np.maximum(output, 0))
    return layers


def _losses(scores: np.ndarray, y: np.ndarray) -> np.ndarray:
    shifted = scores - scores.max(axis=1, keepdims=True)
    return np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(y)), y]


def _gradients(
    weights: Sequence[np.ndarray], x: np.ndarray, y: np.ndarray
) -> tuple[float, Weights]:
    """Summed loss of a batch, and the gradient of its mean loss."""
    layers = _activations(weights, x)
    error = probabilities(layers[-1])
    error[np.arange(len(y)), y] -= 1
    error /= np.float32(len(y))
    gradients: Weights = []
    for index in range(len(weights) // 2 - 1, -1, -1):
        gradients = [layers[index].T @ error, error.sum(axis=0), *gradients]
        if index:
            error = (error @ weights[2 * index].T) * (layers[index] > 0)
    return float(_losses(layers[-1], y).sum()), gradients
