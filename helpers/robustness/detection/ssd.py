"""The detector's network: MobileNetV2 cut early, a small feature pyramid, two sets of anchors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from helpers.errors import RobustnessError
from helpers.robustness.detection.anchors import SHAPES, STRIDES

if TYPE_CHECKING:
    import tensorflow as tf

WIDTHS = (0.35, 0.5, 0.75, 1.0)
_BATCH_NORM_MOMENTUM = 0.97
_FEATURES = 48
_PRIOR = 0.01  # chance that an untrained anchor sees an object


def build_ssd(
    num_classes: int = 2, side: int = 96, width: float = 0.35, seed: int = 0
) -> tf.keras.Model:
    """Build the single-shot detector.

    The backbone is MobileNetV2 up to the expansion of its 14th block, where the maps are a
    sixteenth of the picture; deeper layers see more than such small objects need. The maps at an
    eighth and at a sixteenth go through a feature pyramid, which adds what the coarse map knows to
    the fine one, and then each has a head. At 96 pixels, with two classes and width 0.35, it has
    122,488 parameters.

    Parameters
    ----------
    num_classes
        At least 1.
    side
        Height and width of the input, a multiple of 16, at least 32.
    width
        Multiplier of the backbone's channels: 0.35, 0.5, 0.75 or 1.
    seed
        Of the initial weights.

    Returns
    -------
    tf.keras.Model
        float32 ``(n, side, side, 3)`` in [0, 1] to float32 ``(n, anchors, num_classes + 4)``:
        logits, then offsets. One tensor, so that no converter can swap two.

    Raises
    ------
    RobustnessError
        If an argument is not as said.

    References
    ----------
    Liu et al., *SSD: single shot multibox detector*, ECCV 2016. Sandler et al., *MobileNetV2:
    inverted residuals and linear bottlenecks*, CVPR 2018. Lin et al., *Feature pyramid networks for
    object detection*, CVPR 2017.
    """
    import tensorflow as tf

    if num_classes < 1 or side < 32 or side % STRIDES[-1]:
        raise RobustnessError(
            f"num_classes={num_classes} must be at least 1 and side={side} a multiple of "
            f"{STRIDES[-1]}, at least 32."
        )
    if width not in WIDTHS:
        raise RobustnessError(f"width={width} must be one of {', '.join(map(str, WIDTHS))}.")
    image = tf.keras.Input((side, side, 3), name="image")
    centred = tf.keras.layers.Rescaling(2.0, -1.0)(image)
    backbone = tf.keras.applications.MobileNetV2(
        input_tensor=centred, alpha=width, include_top=False, weights=None
    )
    fine, coarse = (
        _convolved(backbone.get_layer(f"block_{block}_expand_relu").output, f"lateral_{block}")
        for block in (6, 13)
    )
    finer = tf.keras.layers.Add()([fine, tf.keras.layers.UpSampling2D(2)(coarse)])
    heads = [
        _head(maps, len(shapes), num_classes, f"stride_{stride}")
        for maps, shapes, stride in zip((finer, coarse), SHAPES, STRIDES, strict=True)
    ]
    raw = tf.keras.layers.Concatenate(axis=1, name="raw")(heads)
    model = tf.keras.Model(image, raw, name="ssd_mobilenet_v2")
    _start(model, num_classes, seed)
    return model


def _convolved(maps: Any, name: str) -> Any:
    from tensorflow.keras import layers

    maps = layers.Conv2D(_FEATURES, 1, use_bias=False, name=name)(maps)
    return layers.ReLU(6.0)(layers.BatchNormalization()(maps))


def _head(maps: Any, shapes: int, num_classes: int, name: str) -> Any:
    """Return ``(n, positions * shapes, num_classes + 4)`` from one map."""
    from tensorflow.keras import layers

    maps = layers.DepthwiseConv2D(3, padding="same", use_bias=False, name=f"{name}_depthwise")(maps)
    maps = layers.ReLU(6.0)(layers.BatchNormalization()(maps))
    maps = _convolved(maps, f"{name}_mix")
    values = layers.Conv2D(shapes * (num_classes + 4), 1, name=f"{name}_raw")(maps)
    return layers.Reshape((-1, num_classes + 4))(values)


def _start(model: tf.keras.Model, num_classes: int, seed: int) -> None:
    """Draw every kernel anew, as ``tf.keras.applications`` takes no seed; set the rare-object bias.

    The bias makes the untrained network say "nothing here" nearly everywhere (Lin et al., *Focal
    loss for dense object detection*, ICCV 2017, section 3.3); otherwise the many empty anchors
    drown the few others in the first steps.
    """
    import tensorflow as tf

    kernels = [weight for weight in model.trainable_weights if "kernel" in weight.name]
    seeds = np.random.SeedSequence(seed).generate_state(len(kernels)) >> 1
    for kernel, kernel_seed in zip(kernels, seeds, strict=True):
        depthwise = "depthwise_kernel" in kernel.name
        fan_in = int(np.prod(kernel.shape[:2] if depthwise else kernel.shape[:-1]))
        deviation = 0.01 if "_raw/" in kernel.name else (2.0 / fan_in) ** 0.5
        draw = tf.keras.initializers.TruncatedNormal(0.0, deviation, int(kernel_seed))
        kernel.assign(draw(kernel.shape))
    rare = -np.log((1 - _PRIOR) / _PRIOR)
    for layer in model.layers:
        if isinstance(layer, tf.keras.layers.BatchNormalization):
            layer.momentum = _BATCH_NORM_MOMENTUM
        if layer.name.endswith("_raw"):
            bias = np.zeros((layer.filters // (num_classes + 4), num_classes + 4), np.float32)
            bias[:, :num_classes] = rare
            layer.bias.assign(bias.ravel())
