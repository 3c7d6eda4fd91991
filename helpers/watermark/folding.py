"""A Keras model as a device would hold it: batch normalisation folded into the kernel before it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from helpers.watermark.suspect import Suspect

if TYPE_CHECKING:
    import tensorflow as tf

_BATCH = 512


def suspect_of(model: tf.keras.Model, name: str = "") -> Suspect:
    """Show a Keras model as a suspect: its answers, and its folded kernels and biases.

    A model inside a model, such as the one behind a service, shows none of its kernels.

    Parameters
    ----------
    model
        Built Keras model.
    name
        For reports; the model's own name if empty.
    """
    layers = kernel_layers(model)
    return Suspect(
        ask=partial(_answers, model),
        kernels=[np.asarray(folded_kernel(*pair), np.float32) for pair in layers],
        biases=[_folded_bias(*pair) for pair in layers],
        name=name or model.name,
    )


def _answers(model: tf.keras.Model, inputs: NDArray[np.float32]) -> NDArray[np.floating]:
    if not len(inputs):  # TensorFlow's convolutions do not take none
        return np.zeros((0, *model.output_shape[1:]), np.float32)
    # Called as it is: `predict` compiles for each model first, which takes longer than the answers.
    starts = range(0, len(inputs), _BATCH)
    return np.concatenate([model(inputs[i : i + _BATCH], training=False) for i in starts])


def kernel_layers(model: tf.keras.Model) -> list[tuple[Any, Any | None]]:
    """Pair each layer that has a kernel, in running order, with the normalisation right after it.

    Returns
    -------
    list of (layer, batch normalisation or None)
    """
    import tensorflow as tf

    pairs: list[tuple[Any, Any | None]] = []
    for layer in model.layers:
        if not hasattr(layer, "kernel") and not hasattr(layer, "depthwise_kernel"):
            continue
        after = [node.outbound_layer for node in layer.outbound_nodes if node.outbound_layer]
        after = [following for following in after if following in model.layers]
        is_folded = len(after) == 1 and isinstance(after[0], tf.keras.layers.BatchNormalization)
        pairs.append((layer, after[0] if is_folded else None))
    return pairs


def folded_kernel(layer: Any, norm: Any | None) -> tf.Tensor:
    """Return a layer's kernel times the scale of the normalisation after it, with a gradient."""
    import tensorflow as tf

    kernel = _kernel(layer)
    if norm is None:
        return tf.convert_to_tensor(kernel)
    scale = tf.math.rsqrt(norm.moving_variance + norm.epsilon)
    scale = scale if norm.gamma is None else scale * norm.gamma
    return kernel * (tf.reshape(scale, kernel.shape[-2:]) if _is_depthwise(layer) else scale)


def _folded_bias(layer: Any, norm: Any | None) -> NDArray[np.float32]:
    kernel = _kernel(layer)
    size = int(np.prod(kernel.shape[-2:])) if _is_depthwise(layer) else int(kernel.shape[-1])
    bias = np.zeros(size, np.float32) if layer.bias is None else layer.bias.numpy()
    if norm is None:
        return bias
    gamma = 1.0 if norm.gamma is None else norm.gamma.numpy()
    beta = 0.0 if norm.beta is None else norm.beta.numpy()
    scale = gamma / np.sqrt(norm.moving_variance.numpy() + norm.epsilon)
    return np.asarray((bias - norm.moving_mean.numpy()) * scale + beta, np.float32)


def _is_depthwise(layer: Any) -> bool:
    return hasattr(layer, "depthwise_kernel")


def _kernel(layer: Any) -> Any:
    return layer.depthwise_kernel if _is_depthwise(layer) else layer.kernel
