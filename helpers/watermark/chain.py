"""A Keras model as a chain of kernels, and the channels that pass from each to the next.

What an attacker may reorder or rescale without changing the function is the same thing that an
owner must put back in order before reading a mark: the channels between two kernels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from helpers.errors import WatermarkError

if TYPE_CHECKING:
    import tensorflow as tf

_MIXING = ("Conv2D", "Dense")
_DEPTHWISE = "DepthwiseConv2D"
_NORM = "BatchNormalization"
# Layers that treat every channel alike; those with f(s x) = s f(x) for s > 0 first.
_HOMOGENEOUS = (
    *("Dropout", "SpatialDropout2D", "MaxPooling2D", "AveragePooling2D", "ZeroPadding2D"),
    *("GlobalAveragePooling2D", "GlobalMaxPooling2D", "Flatten", "LeakyReLU"),
)
_CHANNELWISE = (*_HOMOGENEOUS, "ReLU", "Activation", "ELU", "Softmax")


@dataclass(frozen=True, eq=False)
class Group:
    """The channels between two kernels that mix channels.

    Attributes
    ----------
    producer, consumer
        Convolutions or dense layers; the producer's outputs are the channels.
    between
        Every layer in between, in order; depthwise ones and batch normalisation hold numbers too.
    channels
        How many there are.
    """

    producer: Any
    between: tuple[Any, ...]
    consumer: Any
    channels: int

    @property
    def links(self) -> Iterator[tuple[Any, tuple[Any, ...], Any]]:
        """Pairs of kernels, depthwise ones included, with the layers between the two."""
        passed: list[Any] = []
        first = self.producer
        for layer in (*self.between, self.consumer):
            if kind(layer) in (_DEPTHWISE, *_MIXING):
                yield first, tuple(passed), layer
                first, passed = layer, []
            else:
                passed.append(layer)


def kind(layer: Any) -> str:
    """Return the name of a layer's class."""
    return type(layer).__name__


def channel_groups(model: tf.keras.Model) -> list[Group]:
    """Find the channels between each kernel and the next.

    Parameters
    ----------
    model
        Built Keras model whose layers form a chain: convolutions, depthwise convolutions of
        multiplier 1, dense layers, batch normalisation, activations, pooling, dropout.

    Returns
    -------
    list of Group
        One fewer than the model has convolutions and dense layers, depthwise ones not counted.

    Raises
    ------
    WatermarkError
        If a layer has another kind, or two inputs; the message names it.
    """
    groups: list[Group] = []
    producer, between = None, []
    for layer in _chain(model):
        if kind(layer) not in _MIXING:
            between.append(layer)
            continue
        if producer is not None:
            channels = int(producer.kernel.shape[-1])
            groups.append(Group(producer, tuple(between), layer, channels))
        producer, between = layer, []
    if not groups:
        raise WatermarkError(
            f"{model.name!r} has no two convolutions or dense layers in a row, so no channels "
            "that could be reordered."
        )
    return groups


def _chain(model: tf.keras.Model) -> list[Any]:
    """Return the layers of a model in order, or raise if they are no chain of known layers."""
    layers = [layer for layer in model.layers if kind(layer) != "InputLayer"]
    before = None
    for layer in layers:
        try:
            follows = before is None or layer.input is before.output
        except (AttributeError, RuntimeError):  # shared, or not built
            follows = False
        if not follows:
            raise WatermarkError(
                f"Layer {layer.name!r} of {model.name!r} does not take the output of the layer "
                "before it alone: only a chain of layers can be reordered."
            )
        if kind(layer) not in (*_MIXING, _DEPTHWISE, _NORM, *_CHANNELWISE):
            raise WatermarkError(
                f"Layer {layer.name!r} is a {kind(layer)}, of which it is not known what it does "
                f"to channels. Known: {', '.join((*_MIXING, _DEPTHWISE, _NORM, *_CHANNELWISE))}."
            )
        if getattr(layer, "groups", 1) != 1 and kind(layer) == "Conv2D":
            raise WatermarkError(f"Layer {layer.name!r} has groups={layer.groups}: only 1 works.")
        if kind(layer) == _DEPTHWISE and layer.depth_multiplier != 1:
            raise WatermarkError(
                f"Layer {layer.name!r} has depth_multiplier={layer.depth_multiplier}: only 1 works."
            )
        before = layer
    return layers


def is_homogeneous(layer: Any) -> bool:
    """Say whether f(s x) = s f(x) for every s > 0, of what a layer does after its kernel."""
    if kind(layer) == "ReLU":
        return layer.max_value is None and float(layer.threshold) == 0
    activation = getattr(layer, "activation", None)
    if activation is not None:
        return getattr(activation, "__name__", "") in ("linear", "relu", "leaky_relu")
    return kind(layer) in (*_HOMOGENEOUS, _DEPTHWISE)


def input_view(kernel: NDArray[Any], channels: int) -> NDArray[Any]:
    """View a kernel as ``(places, channels, out)``.

    ``places`` are the positions of a convolution's window, or those that a flattening put in front
    of a dense layer.

    Raises
    ------
    WatermarkError
        If the kernel does not take so many channels.
    """
    if kernel.size == 0 or (kernel.size // kernel.shape[-1]) % channels:
        raise WatermarkError(f"A kernel of shape {kernel.shape} does not take {channels} channels.")
    return kernel.reshape(-1, channels, kernel.shape[-1])


def assign_input(layer: Any, view: NDArray[Any]) -> None:
    """Give a layer the kernel of which ``view`` is the :func:`input_view`."""
    layer.kernel.assign(np.asarray(view).reshape(layer.kernel.shape))
