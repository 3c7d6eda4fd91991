"""Fewer bits, fewer weights, fewer values: what makes a model fit the device.

Quantisation-aware training, pruning and clustering are TensorFlow Model Optimization's (TFMOT).
Weights below 8 bits are simulated by rounding: TFMOT trains at 4 bits, but the file it exports
still has a hundred and more levels a channel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from helpers.edge._checks import require_whole
from helpers.errors import EdgeError

if TYPE_CHECKING:
    import tensorflow as tf

MIN_BITS, MAX_BITS = 2, 8


def round_weights(
    weights: ArrayLike, bits: int, axis: int | None = -1
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Round weights to a few bits, symmetric about zero, with one scale a channel.

    The largest magnitude of a channel becomes the code ``2**(bits - 1) - 1``; two bits leave
    minus one, zero and one.

    Parameters
    ----------
    weights
        Real numbers of any shape.
    bits
        2 to 8.
    axis
        Dimension with one scale an entry; None is one scale for all.

    Returns
    -------
    values, scales
        float32: the rounded weights in the same shape, and the scales, ``(channels,)`` or ``(1,)``.

    Raises
    ------
    EdgeError
        If ``bits`` is out of range, there is no such axis, or a weight is not finite.

    References
    ----------
    Krishnamoorthi, *Quantizing deep convolutional networks for efficient inference*,
    arXiv:1806.08342, sections 2.2 and 3.1.1.
    """
    if isinstance(bits, bool) or not MIN_BITS <= bits <= MAX_BITS or bits != int(bits):
        raise EdgeError(f"bits={bits!r} must be a whole number from {MIN_BITS} to {MAX_BITS}.")
    values = np.asarray(weights, np.float64)
    if not np.isfinite(values).all():
        raise EdgeError("The weights hold NaN or infinity: they cannot be rounded.")
    if not values.size:
        raise EdgeError(f"Weights of shape {values.shape} hold nothing to round.")
    whole = isinstance(axis, int | np.integer) and not isinstance(axis, bool)
    if axis is not None and not (whole and -values.ndim <= axis < values.ndim):
        raise EdgeError(f"axis={axis!r} is none of the {values.ndim} of shape {values.shape}.")
    kept = None if axis is None else axis % values.ndim
    others = tuple(d for d in range(values.ndim) if d != kept)
    largest = np.abs(values).max(axis=others, keepdims=True)
    # A channel of zeros, or of what float32 cannot divide, rounds to zeros.
    scales = np.where(largest > 1e-30, largest / (2 ** (bits - 1) - 1), 1.0)
    return np.asarray(np.rint(values / scales) * scales, np.float32), scales.astype(
        np.float32
    ).reshape(-1)


def round_model(model: tf.keras.Model, bits: int) -> tf.keras.Model:
    """Return a copy of a Keras model with the kernels rounded to a few bits.

    Kernels of convolutions and dense layers get one scale an output channel (a depthwise kernel,
    one a channel); biases and normalisation stay as they are.

    Parameters
    ----------
    model
        Built model.
    bits
        2 to 8.

    Returns
    -------
    tf.keras.Model
        The copy; it computes in float32.

    Raises
    ------
    EdgeError
        If ``bits`` is out of range or a weight is not finite.
    """
    import tensorflow as tf

    copy = tf.keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    for layer in copy.layers:
        name = "depthwise_kernel" if hasattr(layer, "depthwise_kernel") else "kernel"
        kernel = getattr(layer, name, None)
        if kernel is not None:
            values = kernel.numpy()
            if name == "kernel":
                kernel.assign(round_weights(values, bits)[0])
            else:
                together = values.reshape(*values.shape[:2], -1)
                kernel.assign(round_weights(together, bits)[0].reshape(values.shape))
    return copy


def train_quantised(
    model: tf.keras.Model, x: ArrayLike, y: ArrayLike, **settings: Any
) -> tf.keras.Model:
    """Fine-tune a classifier with int8 rounding simulated in the forward pass.

    Parameters
    ----------
    model
        Trained, built Keras model (Sequential or functional); it is not changed.
    x, y
        Inputs ``(n, ...)`` and class indices ``(n,)``.
    **settings
        ``epochs`` (1), ``batch_size`` (64), ``learning_rate`` (1e-4), ``seed`` (0), ``verbose``
        (0; 1 shows a progress bar).

    Returns
    -------
    tf.keras.Model
        A model that ``to_tflite(model, "int8")`` converts without representative inputs.

    Raises
    ------
    EdgeError
        If TFMOT cannot quantise a layer, or a setting is unknown.

    References
    ----------
    Jacob et al., *Quantization and training of neural networks for efficient
    integer-arithmetic-only inference*, CVPR 2018.
    """
    import tensorflow_model_optimization as tfmot

    wrapped = _wrap(tfmot.quantization.keras.quantize_model, model)
    return _fit(wrapped, model, x, y, [], **settings)


def prune(
    model: tf.keras.Model, x: ArrayLike, y: ArrayLike, sparsity: float = 0.5, **settings: Any
) -> tf.keras.Model:
    """Set the smallest weights to zero and fine-tune the rest, with TFMOT.

    Parameters
    ----------
    model
        Trained, built Keras model; it is not changed.
    x, y
        Inputs ``(n, ...)`` and class indices ``(n,)``.
    sparsity
        Share of each kernel that becomes zero, in (0, 1).
    **settings
        As :func:`train_quantised`.

    Returns
    -------
    tf.keras.Model
        A plain Keras model with the zeros in place.

    Raises
    ------
    EdgeError
        If ``sparsity`` is out of range or TFMOT cannot prune a layer.

    References
    ----------
    Zhu and Gupta, *To prune, or not to prune: exploring the efficacy of pruning for model
    compression*, arXiv:1710.01878.
    """
    import tensorflow_model_optimization as tfmot

    if not 0 < sparsity < 1:
        raise EdgeError(f"sparsity={sparsity!r} must lie between 0 and 1.")
    tools = tfmot.sparsity.keras
    schedule = tools.ConstantSparsity(sparsity, begin_step=0, frequency=1)
    wrapped = _wrap(lambda m: tools.prune_low_magnitude(m, pruning_schedule=schedule), model)
    trained = _fit(wrapped, model, x, y, [tools.UpdatePruningStep()], **settings)
    return tools.strip_pruning(trained)


def cluster(
    model: tf.keras.Model, x: ArrayLike, y: ArrayLike, clusters: int = 16, **settings: Any
) -> tf.keras.Model:
    """Let the weights of each kernel share a few values and fine-tune those, with TFMOT.

    Parameters
    ----------
    model
        Trained, built Keras model; it is not changed.
    x, y
        Inputs ``(n, ...)`` and class indices ``(n,)``.
    clusters
        Distinct values a kernel may hold, at least 2.
    **settings
        As :func:`train_quantised`.

    Returns
    -------
    tf.keras.Model
        A plain Keras model.

    Raises
    ------
    EdgeError
        If ``clusters`` is out of range or TFMOT cannot cluster a layer.

    References
    ----------
    Han, Mao and Dally, *Deep compression: compressing deep neural networks with pruning, trained
    quantization and Huffman coding*, ICLR 2016, section 3.
    """
    import tensorflow_model_optimization as tfmot

    require_whole("clusters", clusters, at_least=2)
    tools = tfmot.clustering.keras
    start = tools.CentroidInitialization.KMEANS_PLUS_PLUS
    wrapped = _wrap(
        lambda m: tools.cluster_weights(
            m, number_of_clusters=int(clusters), cluster_centroids_init=start
        ),
        model,
    )
    return tools.strip_clustering(_fit(wrapped, model, x, y, [], **settings))


def _wrap(tool: Any, model: tf.keras.Model) -> tf.keras.Model:
    import tensorflow as tf

    copy = tf.keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    try:
        return tool(copy)
    except (ValueError, RuntimeError) as error:
        raise EdgeError(f"TFMOT cannot work on {model.name!r}: {error}") from error


def _fit(
    wrapped: tf.keras.Model,
    model: tf.keras.Model,
    x: ArrayLike,
    y: ArrayLike,
    callbacks: list[Any],
    *,
    epochs: int = 1,
    batch_size: int = 64,
    learning_rate: float = 1e-4,
    seed: int = 0,
    verbose: int = 0,
) -> tf.keras.Model:
    import tensorflow as tf

    tf.keras.utils.set_random_seed(seed)
    wrapped.compile(
        tf.keras.optimizers.Adam(learning_rate),
        tf.keras.losses.SparseCategoricalCrossentropy(from_logits=not _ends_in_softmax(model)),
    )
    wrapped.fit(
        np.asarray(x), np.asarray(y), batch_size, epochs, verbose=verbose, callbacks=callbacks
    )
    return wrapped


def _ends_in_softmax(model: tf.keras.Model) -> bool:
    last = model.layers[-1]
    activation = getattr(last, "activation", None)
    return type(last).__name__ == "Softmax" or getattr(activation, "__name__", "") == "softmax"
