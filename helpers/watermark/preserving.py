"""Attacks that change every weight and no answer: reordered neurons, rescaled channels.

They cost nothing: no data, no training, no accuracy. A verifier that reads the weights as they
stand reads noise afterwards; :mod:`helpers.watermark.alignment` puts them back.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from helpers.errors import WatermarkError
from helpers.watermark.chain import (
    assign_input,
    channel_groups,
    input_view,
    is_homogeneous,
    kind,
)
from helpers.watermark.training import copy_of

if TYPE_CHECKING:
    import tensorflow as tf

_PER_CHANNEL = ("bias", "gamma", "beta", "moving_mean", "moving_variance")


def permute_neurons(model: tf.keras.Model, seed: int = 0) -> tf.keras.Model:
    """Put the channels between any two kernels into another order.

    The function stays the same up to the order in which floating-point sums are formed.

    Parameters
    ----------
    model
        Built Keras model, a chain of layers; it is not changed.
    seed
        Of the orders.

    Returns
    -------
    tf.keras.Model
        The copy.

    Raises
    ------
    WatermarkError
        If the layers are no chain of known layers.

    References
    ----------
    Hecht-Nielsen, *On the algebraic structure of feedforward network weight spaces*, Advanced
    Neural Computers, 1990.
    """
    copy = copy_of(model)
    rng = np.random.default_rng(seed)
    for group in channel_groups(copy):
        order = rng.permutation(group.channels)
        for layer in (group.producer, *group.between):
            _reorder(layer, order)
        view = input_view(group.consumer.kernel.numpy(), group.channels)
        assign_input(group.consumer, view[:, order])
    return copy


def _reorder(layer: Any, order: NDArray[np.int64]) -> None:
    if hasattr(layer, "depthwise_kernel"):
        layer.depthwise_kernel.assign(layer.depthwise_kernel.numpy()[:, :, order])
    elif hasattr(layer, "kernel"):
        layer.kernel.assign(layer.kernel.numpy()[..., order])
    for name in _PER_CHANNEL:
        values = getattr(layer, name, None)
        if values is not None:
            values.assign(values.numpy()[order])


def rescale_channels(model: tf.keras.Model, seed: int = 0, largest: float = 4.0) -> tf.keras.Model:
    """Multiply channels before an activation and divide what reads them by the same factors.

    A ReLU passes a positive factor through, so the function stays the same up to rounding. Links
    whose activation does not (a ReLU6, say) are left as they are.

    Parameters
    ----------
    model
        Built Keras model, a chain of layers; it is not changed.
    seed
        Of the factors.
    largest
        Factors are drawn log-uniformly from ``[1 / largest, largest]``; above 1.

    Returns
    -------
    tf.keras.Model
        The copy.

    Raises
    ------
    WatermarkError
        If the layers are no chain of known layers, no link can be rescaled, or ``largest`` is not
        above 1.

    References
    ----------
    Neyshabur, Salakhutdinov and Srebro, *Path-SGD: path-normalized optimization in deep neural
    networks*, NeurIPS 2015, section 2.
    """
    if not 1 < largest < math.inf:
        raise WatermarkError(f"largest={largest} must be a finite number above 1.")
    copy = copy_of(model)
    rng = np.random.default_rng(seed)
    changed = 0
    for group in channel_groups(copy):
        for first, passed, second in group.links:
            target = _rescalable(first, passed)
            if target is None:
                continue
            factors = np.exp(rng.uniform(-1, 1, group.channels) * math.log(largest))
            _multiply_output(target, factors.astype(np.float32))
            _divide_input(second, factors.astype(np.float32))
            changed += 1
    if not changed:
        raise WatermarkError(
            f"No activation of {model.name!r} passes a positive factor through, as a ReLU does: "
            "its channels cannot be rescaled."
        )
    return copy


def _rescalable(first: Any, passed: Sequence[Any]) -> Any | None:
    """Return the layer whose output can be scaled with the effect undone by the next kernel."""
    norms = [k for k, layer in enumerate(passed) if kind(layer) == "BatchNormalization"]
    target = passed[norms[-1]] if norms else first
    after = passed[norms[-1] + 1 :] if norms else (first, *passed)
    if norms and (target.gamma is None or target.beta is None):
        return None
    return target if all(is_homogeneous(layer) for layer in after) else None


def _multiply_output(layer: Any, factors: NDArray[np.float32]) -> None:
    if kind(layer) == "BatchNormalization":
        layer.gamma.assign(layer.gamma.numpy() * factors)
        layer.beta.assign(layer.beta.numpy() * factors)
        return
    if hasattr(layer, "depthwise_kernel"):
        layer.depthwise_kernel.assign(layer.depthwise_kernel.numpy() * factors[:, None])
    else:
        layer.kernel.assign(layer.kernel.numpy() * factors)
    if layer.bias is not None:
        layer.bias.assign(layer.bias.numpy() * factors)


def _divide_input(layer: Any, factors: NDArray[np.float32]) -> None:
    if hasattr(layer, "depthwise_kernel"):
        layer.depthwise_kernel.assign(layer.depthwise_kernel.numpy() / factors[:, None])
    else:
        view = input_view(layer.kernel.numpy(), len(factors))
        assign_input(layer, view / factors[:, None])
