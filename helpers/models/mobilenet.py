"""The image classifier of a phone or a Raspberry Pi: MobileNetV2, whole or at a reduced width."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from helpers.errors import TaskError
from helpers.models._arguments import check, layer_seeds

if TYPE_CHECKING:
    import tensorflow as tf

_BATCH_NORM_MOMENTUM = 0.99
WIDTHS = (0.35, 0.5, 0.75, 1.0, 1.3, 1.4)
WEIGHTS = Path(__file__).parent / "weights" / "mobilenet_v2_cifar10.npz"
Trained = Literal["cifar10", "imagenet"]


def mobilenet_v2(
    input_shape: Sequence[int] = (32, 32, 3),
    num_classes: int = 10,
    width: float = 0.35,
    enlarge: int = 2,
    seed: int = 0,
) -> tf.keras.Model:
    """Build MobileNetV2 for small photographs.

    The network halves its maps five times, which leaves nothing of 32 pixels. So the first layer
    enlarges the image, and the file that ships takes the photograph as it is. On 32x32x3 images,
    enlarged to 64 with 10 classes at width 0.35, it has 423,018 parameters. The moving averages of
    batch normalisation have a momentum of 0.99: 0.999, the library's, is for trainings of days.

    Parameters
    ----------
    input_shape
        ``(height, width, 3)`` of one image; values in [0, 1].
    num_classes
        Number of logits.
    width
        Multiplier of all channel counts: 0.35, 0.5, 0.75, 1, 1.3 or 1.4.
    enlarge
        Whole factor by which the first layer enlarges the image, bilinear; 1 leaves the layer out.
    seed
        Seed of the initial weights (He normal; zero biases).

    Returns
    -------
    tf.keras.Model
        float32 ``(n, height, width, 3)`` to float32 logits ``(n, num_classes)``.

    Raises
    ------
    TaskError
        If a size is not positive, the enlarged image is smaller than 32 pixels or not of three
        channels, or the width is not one of those above.

    References
    ----------
    Sandler, Howard, Zhu, Zhmoginov and Chen, *MobileNetV2: inverted residuals and linear
    bottlenecks*, CVPR 2018, table 2; built by ``tf.keras.applications``.
    """
    import tensorflow as tf

    shape = check(input_shape, num_classes, rank=3)
    if width not in WIDTHS:
        raise TaskError(f"width={width} must be one of {', '.join(map(str, WIDTHS))}.")
    if enlarge < 1 or shape[2] != 3 or min(shape[:2]) * enlarge < 32:
        raise TaskError(
            f"input_shape={shape} enlarged {enlarge} times must be a colour image of at least 32 "
            "pixels a side: raise enlarge."
        )
    image = tf.keras.Input(shape)
    larger = image
    if enlarge > 1:
        larger = tf.keras.layers.UpSampling2D(enlarge, interpolation="bilinear")(image)
    body = tf.keras.applications.MobileNetV2(
        input_tensor=larger, alpha=width, include_top=False, weights=None, pooling="avg"
    )
    model = tf.keras.Model(
        image, tf.keras.layers.Dense(num_classes)(body.output), name="mobilenet_v2"
    )
    for layer in model.layers:
        if isinstance(layer, tf.keras.layers.BatchNormalization):
            layer.momentum = _BATCH_NORM_MOMENTUM
    _start(model, seed)
    return model


def pretrained_mobilenet_v2(source: Trained = "cifar10") -> tf.keras.Model:
    """Return a trained MobileNetV2 that takes photographs in [0, 1] and gives logits.

    Parameters
    ----------
    source
        ``"cifar10"``: :func:`mobilenet_v2` at width 0.35 with the ten classes of CIFAR-10, trained
        once on its 50,000 training photographs by ``scripts/train_mobilenet.py``. The weights ship
        with this package; the log of the training lies beside them. ``"imagenet"``: the full
        network at 224 pixels with the 1,000 classes of ImageNet, whose weights (14 MB)
        ``tf.keras.applications`` downloads once.

    Returns
    -------
    tf.keras.Model
        float32 ``(n, 32, 32, 3)`` to logits ``(n, 10)``, or ``(n, 224, 224, 3)`` to
        ``(n, 1000)``.

    Raises
    ------
    TaskError
        If the source is unknown, or the weights of ImageNet cannot be downloaded.
    """
    if source not in get_args(Trained):
        raise TaskError(f"source={source!r} must be one of {', '.join(get_args(Trained))}.")
    if source == "imagenet":
        return _imagenet()
    model = mobilenet_v2()
    with np.load(WEIGHTS) as stored:
        model.set_weights([stored[key].astype(np.float32) for key in sorted(stored)])
    return model


def with_new_head(
    model: tf.keras.Model, images: ArrayLike, labels: ArrayLike, num_classes: int
) -> tf.keras.Model:
    """Keep what a network sees and teach its last layer other classes.

    Everything below the last layer stays as it is; the layer itself is a multinomial logistic
    regression on what comes out there, with an L2 penalty. It takes seconds.

    Parameters
    ----------
    model
        Ends in a Dense layer that gives logits.
    images
        float32 ``(n, ...)``, of the shape that the model takes.
    labels
        Class indices ``(n,)``; each of ``num_classes`` at least once.
    num_classes
        Number of logits; at least 3.

    Returns
    -------
    tf.keras.Model
        Images to logits ``(n, num_classes)``; the layers below the last are shared.

    Raises
    ------
    TaskError
        If a class has no example, or there are fewer than three.
    """
    import tensorflow as tf
    from sklearn.linear_model import LogisticRegression

    classes = np.asarray(labels)
    if num_classes < 3 or sorted(set(classes.tolist())) != list(range(num_classes)):
        raise TaskError(
            f"labels hold {sorted(set(classes.tolist()))[:12]}; a new head needs each class from 0 "
            f"to {num_classes - 1} at least once, and at least three classes."
        )
    seen = model.layers[-1].input
    features = tf.keras.Model(model.input, seen).predict(np.asarray(images), 256, verbose=0)
    found = LogisticRegression(max_iter=500).fit(features, classes)
    head = tf.keras.layers.Dense(num_classes)
    renewed = tf.keras.Model(model.input, head(seen), name=model.name)
    head.set_weights([found.coef_.T.astype(np.float32), found.intercept_.astype(np.float32)])
    return renewed


def calibrated(model: tf.keras.Model, images: ArrayLike, labels: ArrayLike) -> tf.keras.Model:
    """End a network in a softmax whose scores mean what they say.

    Logits are divided by one number, the temperature under which the labels of held-out images are
    most likely. No label changes; a score of 0.9 is then right about nine times in ten.

    Parameters
    ----------
    model
        Gives logits ``(n, classes)``.
    images, labels
        float32 ``(n, ...)`` that the network was not trained on, and class indices ``(n,)``.

    Returns
    -------
    tf.keras.Model
        Images to probabilities ``(n, classes)``.

    Raises
    ------
    TaskError
        If there are no images, or the numbers of images and labels differ.

    References
    ----------
    Guo, Pleiss, Sun and Weinberger, *On calibration of modern neural networks*, ICML 2017,
    section 4.2.
    """
    import tensorflow as tf
    from scipy import optimize, special

    rows, truth = np.asarray(images, np.float32), np.asarray(labels)
    if not len(rows) or truth.shape != (len(rows),):
        raise TaskError(
            f"images {rows.shape} and labels {truth.shape}: expected (n, ...) and (n,), n above 0."
        )
    logits = model.predict(rows, 256, verbose=0).astype(np.float64)

    def unlikely(log_temperature: float) -> float:
        said = special.log_softmax(logits / np.exp(log_temperature), axis=1)
        return -float(said[np.arange(len(truth)), truth].mean())

    found = optimize.minimize_scalar(unlikely, bounds=(-3, 3), method="bounded")
    cooled = tf.keras.layers.Rescaling(float(np.exp(-found.x)))(model.output)
    return tf.keras.Model(model.input, tf.keras.layers.Softmax()(cooled), name=model.name)


def _imagenet() -> tf.keras.Model:
    """The whole network, behind the scaling that it was trained with."""
    import tensorflow as tf

    image = tf.keras.Input((224, 224, 3))
    centred = tf.keras.layers.Rescaling(2.0, -1.0)(image)
    try:
        body = tf.keras.applications.MobileNetV2(
            input_tensor=centred, weights="imagenet", classifier_activation=None
        )
    # Keras raises a bare Exception where a download fails.
    except Exception as error:
        raise TaskError(
            "The ImageNet weights of MobileNetV2 cannot be downloaded here: "
            f"{error} Go on with the weights that ship: source='cifar10'."
        ) from error
    return tf.keras.Model(image, body.output, name="mobilenet_v2_imagenet")


def _start(model: tf.keras.Model, seed: int) -> None:
    """Draw every kernel anew: ``tf.keras.applications`` takes no seed."""
    import tensorflow as tf

    kernels = [weight for weight in model.trainable_weights if "kernel" in weight.name]
    for kernel, layer_seed in zip(kernels, layer_seeds(seed, len(kernels)), strict=True):
        depthwise = "depthwise_kernel" in kernel.name
        # Keras counts the inputs of a depthwise kernel over all channels; each sees only its own.
        fan_in = int(tf.reduce_prod(kernel.shape[:2] if depthwise else kernel.shape[:-1]))
        start = tf.keras.initializers.TruncatedNormal(0.0, (2.0 / fan_in) ** 0.5, layer_seed)
        kernel.assign(start(kernel.shape))
