"""Softmax regression in NumPy: the smallest model on which federated learning can be seen whole.

One dense layer of logits, ``x @ kernel + bias``, trained with cross-entropy. Its gradient fits
on a line (Bishop 2006, eq. 4.109), so nothing about a device's update is hidden in a framework.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.floating]


def probabilities(logits: FloatArray) -> FloatArray:
    """Softmax over the last axis.

    Parameters
    ----------
    logits : float array, shape (..., classes)

    Returns
    -------
    float array of the same shape; the last axis sums to 1.
    """
    # The largest logit becomes 0, so that exp() cannot overflow.
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def gradients(
    kernel: FloatArray, bias: FloatArray, x: FloatArray, y: NDArray[np.integer]
) -> tuple[FloatArray, FloatArray]:
    """Gradient of the mean cross-entropy over a batch.

    Parameters
    ----------
    kernel : float array, shape (features, classes)
    bias : float array, shape (classes,)
    x : float array, shape (batch, features)
    y : int array, shape (batch,), labels in ``0 .. classes - 1``

    Returns
    -------
    (kernel gradient, bias gradient), shaped like ``kernel`` and ``bias``.
    """
    error = probabilities(x @ kernel + bias)
    error[np.arange(len(y)), y] -= 1
    return x.T @ error / len(y), error.mean(axis=0)


def local_update(
    kernel: FloatArray,
    bias: FloatArray,
    x: FloatArray,
    y: NDArray[np.integer],
    batches: Iterable[NDArray[np.integer]],
    learning_rate: float,
) -> tuple[FloatArray, FloatArray]:
    """What one device sends: its weights after local SGD minus the weights it was given.

    ``ClientUpdate`` of McMahan et al. (2017), Algorithm 1, sent as a difference.

    Parameters
    ----------
    kernel, bias : the global weights, shapes (features, classes) and (classes,)
    x, y : the device's examples, shapes (n, features) and (n,)
    batches : index arrays into ``x``, one an SGD step, in order
    learning_rate : step size

    Returns
    -------
    (kernel difference, bias difference)
    """
    local_kernel, local_bias = kernel, bias
    for batch in batches:
        kernel_gradient, bias_gradient = gradients(local_kernel, local_bias, x[batch], y[batch])
        local_kernel = local_kernel - learning_rate * kernel_gradient
        local_bias = local_bias - learning_rate * bias_gradient
    return local_kernel - kernel, local_bias - bias


def accuracy(kernel: FloatArray, bias: FloatArray, x: FloatArray, y: NDArray[np.integer]) -> float:
    """Share of examples whose largest logit is the label's, in [0, 1].

    The arguments are as for :func:`local_update`.
    """
    return float(np.mean((x @ kernel + bias).argmax(axis=-1) == y))
