"""A patch to print: it fools the model wherever it lies, turned, near or far, in any light."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike, NDArray
from PIL import Image
from tqdm import tqdm

from helpers.errors import RobustnessError
from helpers.robustness._checks import checked_pairs, require_positive, require_whole
from helpers.robustness.losses import cross_entropy, require_logits


@dataclass(frozen=True)
class Placement:
    """How a patch may lie in a picture.

    Attributes
    ----------
    scale
        Smallest and largest side of the patch, as a share of the picture's shorter side.
    turn
        Largest rotation to either side, degrees.
    light
        Largest change of the patch's brightness to either side, as a share.

    Raises
    ------
    RobustnessError
        If a setting is out of its range.
    """

    scale: tuple[float, float] = (0.25, 0.4)
    turn: float = 20.0
    light: float = 0.15

    def __post_init__(self) -> None:
        low, high = self.scale
        if not 0 < low <= high <= 1 or not 0 <= self.turn <= 180 or not 0 <= self.light < 1:
            raise RobustnessError(
                f"{self}: expected 0 < scale <= 1, rising, 0 <= turn <= 180 and 0 <= light < 1."
            )


# What a printer gives back: neither the black nor the white of a screen.
PRINTABLE = (0.05, 0.95)


def train_patch(
    model: Callable[[Any], Any],
    inputs: ArrayLike,
    labels: ArrayLike,
    *,
    wanted: int | None = None,
    placement: Placement | None = None,
    side: int = 16,
    steps: int = 200,
    batch_size: int = 32,
    learning_rate: float = 0.05,
    smoothness: float = 0.01,
    seed: int = 0,
    progress: bool = False,
) -> NDArray[np.float32]:
    """Train a patch over random placements (expectation over transformation).

    Parameters
    ----------
    model
        Keras model or differentiable function, images to logits.
    inputs, labels
        Images ``(n, height, width, channels)`` in [0, 1] and classes ``(n,)``.
    wanted
        The class that the patch should make the model say; None for any but the right one.
    placement
        Where and how the patch may lie.
    side
        Height and width of the patch, pixels of its own: about as many as it takes in the picture,
        as sampling would skip more.
    steps
        Updates.
    batch_size
        Images an update, each with a placement of its own.
    learning_rate
        Of Adam.
    smoothness
        Weight of the mean absolute difference between neighbouring pixels: a camera does not see a
        pattern that changes from pixel to pixel.
    seed
        Of images, placements and first pixels.
    progress
        Whether to show a progress bar.

    Returns
    -------
    numpy.ndarray
        float32 ``(side, side, channels)`` within what a printer gives back.

    Raises
    ------
    RobustnessError
        If inputs are not images, a setting is out of its range or the model gives probabilities.

    References
    ----------
    Brown, Mané, Roy, Abadi and Gilmer, *Adversarial patch*, arXiv:1712.09665. Sharif, Bhagavatula,
    Bauer and Reiter, *Accessorize to a crime*, CCS 2016, for smooth and printable colours.
    """
    clean, truth = checked_pairs(inputs, labels)
    _require_images(clean)
    for name, value in (("side", side), ("steps", steps), ("batch_size", batch_size)):
        require_whole(name, value, at_least=1)
    require_positive("learning_rate", learning_rate)
    require_logits(model(tf.constant(clean[:8])))
    rng = np.random.default_rng(seed)
    lie = placement or Placement()
    patch = tf.Variable(rng.uniform(*PRINTABLE, (side, side, clean.shape[3])).astype(np.float32))
    update = _compiled(model, patch, learning_rate, smoothness, targeted=wanted is not None)
    size = min(batch_size, len(clean))
    for _ in tqdm(range(steps), desc="patch", unit="step", disable=not progress):
        rows = rng.choice(len(clean), size, replace=False)
        goal = truth[rows] if wanted is None else np.full(size, wanted, np.int64)
        transforms, light = _draw(lie, size, clean.shape[1:3], side, rng)
        update(*(tf.constant(a) for a in (clean[rows], goal, transforms, light)))
    return np.asarray(patch.numpy())


def apply_patch(
    inputs: ArrayLike,
    patch: ArrayLike,
    placement: Placement | None = None,
    seed: int = 0,
) -> NDArray[np.float32]:
    """Put a patch into images, each at a place, turn, size and light of its own.

    Parameters
    ----------
    inputs
        ``(n, height, width, channels)`` in [0, 1].
    patch
        ``(side, side, channels)`` in [0, 1].
    placement
        Where and how it may lie.
    seed
        Of the placements.

    Returns
    -------
    numpy.ndarray
        float32, the shape of the inputs, in [0, 1].

    Raises
    ------
    RobustnessError
        If inputs or patch are not images that fit each other.
    """
    clean, print_ = np.asarray(inputs, np.float32), np.asarray(patch, np.float32)
    _require_images(clean)
    if print_.ndim != 3 or print_.shape[0] != print_.shape[1] or print_.shape[2] != clean.shape[3]:
        raise RobustnessError(
            f"A patch of shape {print_.shape} must be (side, side, {clean.shape[3]})."
        )
    rng = np.random.default_rng(seed)
    size = clean.shape[1:3]
    transforms, light = _draw(placement or Placement(), len(clean), size, len(print_), rng)
    return np.asarray(_placed(tf.constant(clean), tf.constant(print_), transforms, light))


def save_patch(path: str | os.PathLike[str], patch: ArrayLike, centimetres: float = 10.0) -> Path:
    """Save a patch as a PNG that prints at a given size.

    Parameters
    ----------
    path
        File to write, ending in ``.png``.
    patch
        ``(side, side, channels)`` in [0, 1], one channel or three.
    centimetres
        Side of the print; it is written into the file as dots a metre.

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    RobustnessError
        If the patch is not such an image or the name does not end in ``.png``.
    """
    target, pixels = Path(path), np.asarray(patch, np.float64)
    require_positive("centimetres", centimetres)
    if pixels.ndim != 3 or pixels.shape[2] not in (1, 3) or target.suffix != ".png":
        raise RobustnessError(
            f"A patch of shape {pixels.shape} for {target.name!r}: expected (side, side, 1 or 3) "
            "and a name that ends in .png."
        )
    codes = np.rint(np.clip(pixels, 0, 1) * 255).astype(np.uint8)
    large = np.kron(codes, np.ones((max(1, 512 // len(codes)),) * 2 + (1,), np.uint8))
    image = Image.fromarray(large[..., 0] if large.shape[2] == 1 else large)
    dots = len(large) / centimetres * 2.54
    image.save(target, dpi=(dots, dots))
    return target


def _compiled(
    model: Callable[[Any], Any],
    patch: tf.Variable,
    learning_rate: float,
    smoothness: float,
    targeted: bool,
) -> Callable[..., None]:
    optimizer = tf.keras.optimizers.Adam(learning_rate)
    optimizer.build([patch])

    @tf.function
    def update(rows: Any, goal: Any, transforms: Any, light: Any) -> None:
        with tf.GradientTape() as tape:
            losses = cross_entropy(model(_placed(rows, patch, transforms, light)), goal)
            climb = tf.reduce_mean(losses) * (1.0 if targeted else -1.0)
            cost = climb + smoothness * apart(patch)
        optimizer.apply_gradients([(tape.gradient(cost, patch), patch)])
        patch.assign(tf.clip_by_value(patch, *PRINTABLE))

    return update


def _draw(
    lie: Placement, count: int, size: tuple[int, ...], side: int, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Draw projective transforms from picture to patch, ``(n, 8)``, and light, ``(n, 1, 1, 1)``."""
    height, width = size
    pixels = rng.uniform(*lie.scale, count) * min(height, width)
    angle = np.deg2rad(rng.uniform(-lie.turn, lie.turn, count))
    # A turned square is wider than its side: keep all of it in the picture where that is possible.
    half = pixels / 2 * (np.abs(np.cos(angle)) + np.abs(np.sin(angle)))
    centre = [
        low + (high - low) * rng.random(count)
        for low, high in (
            (np.minimum(half, s / 2), np.maximum(s - half, s / 2)) for s in (width, height)
        )
    ]
    transforms = patch_transforms(centre[0], centre[1], pixels, angle, side)
    light = 1 + rng.uniform(-lie.light, lie.light, (count, 1, 1, 1))
    return transforms, light.astype(np.float32)


def patch_transforms(
    x: NDArray[np.floating],
    y: NDArray[np.floating],
    pixels: NDArray[np.floating],
    angle: NDArray[np.floating],
    side: int,
) -> NDArray[np.float32]:
    """Return projective transforms from picture to patch, ``(n, 8)``, for :func:`rendered`.

    Parameters
    ----------
    x, y
        Middle of the patch in the picture, ``(n,)``, in pixels; the edge of the picture is 0.
    pixels
        Side of the patch in the picture, ``(n,)``.
    angle
        Radians, ``(n,)``.
    side
        Side of the patch in pixels of its own.
    """
    zoom = side / pixels
    cosine, sine = zoom * np.cos(angle), zoom * np.sin(angle)
    # Centres of pixels are whole numbers here, so a picture of s pixels has its middle at (s-1)/2.
    x, y, middle = x - 0.5, y - 0.5, (side - 1) / 2
    zero = np.zeros(len(pixels))
    transforms = np.stack(
        [cosine, sine, middle - cosine * x - sine * y,
         -sine, cosine, middle + sine * x - cosine * y, zero, zero],
        axis=1,
    )  # fmt: skip
    return transforms.astype(np.float32)


def apart(patch: Any) -> Any:
    """Return how far neighbouring pixels of a patch are apart: the mean over rows and columns."""
    steps = patch[1:] - patch[:-1], patch[:, 1:] - patch[:, :-1]
    return tf.add_n([tf.reduce_mean(tf.abs(step)) for step in steps])


def rendered(patch: Any, count: Any, size: Any, transforms: Any) -> tuple[Any, Any]:
    """Draw a patch on empty pictures; differentiable in the patch.

    Returns
    -------
    colours, mask
        ``(count, *size, channels)``, 0 where the patch is not, and ``(count, *size, 1)``.
    """
    # With a mask as one more channel, so that both are sampled alike.
    layered = tf.concat([patch, tf.ones_like(patch[..., :1])], axis=-1)
    laid = tf.raw_ops.ImageProjectiveTransformV3(
        images=tf.repeat(layered[None], count, axis=0),
        transforms=transforms,
        output_shape=size,
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    )
    return laid[..., :-1], laid[..., -1:]


def _placed(rows: Any, patch: Any, transforms: Any, light: Any) -> Any:
    """Lay the patch over images; differentiable in the patch."""
    colours, mask = rendered(patch, tf.shape(rows)[0], tf.shape(rows)[1:3], transforms)
    return tf.clip_by_value(rows * (1 - mask) + colours * light, 0.0, 1.0)


def _require_images(clean: NDArray[np.float32]) -> None:
    if clean.ndim != 4 or clean.shape[3] not in (1, 3):
        raise RobustnessError(
            f"inputs of shape {clean.shape} must be images (n, height, width, 1 or 3)."
        )
