"""Ten classes of drawn shapes, for when no real images can be had.

Each image is one shape of random place, size, tilt and contrast (light on dark, or dark on
light), over a sloping background with noise. No single pixel tells a class, so a linear model
stays far below a small convolutional network, which finds the edges wherever they are.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

SHAPE_NAMES = (
    "disc",
    "ring",
    "square",
    "frame",
    "triangle",
    "plus",
    "bar",
    "crescent",
    "stripes",
    "checkerboard",
)

_LIGHT_ON_DARK = 0.75  # share of images
_MAX_TILT = np.pi / 8  # radians; more would turn some shapes into others
_NOISE = 0.08  # standard deviation, of a pixel range of 1


def shapes(
    num_images: int, side: int, channels: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draw `num_images` images, classes as equal in number as they can be, shuffled.

    Parameters
    ----------
    num_images, side, channels : int
        How many, their height and width in pixels, and 1 (grey) or 3 (colour).
    rng : numpy.random.Generator
        Source of all randomness.

    Returns
    -------
    images : numpy.ndarray
        float32 ``(num_images, side, side, channels)`` in [0, 1].
    labels : numpy.ndarray
        int32 ``(num_images,)``, indices into `SHAPE_NAMES`.
    """
    labels = rng.permutation(np.arange(num_images) % len(SHAPE_NAMES)).astype(np.int32)
    u, v, pixel = _own_coordinates(num_images, side, rng)
    cover = np.empty((num_images, side, side))
    for label, name in enumerate(SHAPE_NAMES):
        chosen = labels == label
        depth = _DEPTH[name](u[chosen], v[chosen])
        # half a pixel on either side of the edge is shaded: no jagged outline to key on
        cover[chosen] = np.clip(depth / pixel[chosen] + 0.5, 0.0, 1.0)
    return _paint(cover, channels, rng), labels


def _own_coordinates(
    num_images: int, side: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Place one shape an image: its coordinates at every pixel, and a pixel's width in them."""
    centres = (np.arange(side) + 0.5) / side * 2.0 - 1.0
    size = rng.uniform(0.45, 0.8, (num_images, 1, 1))
    shift_x, shift_y = rng.uniform(-0.25, 0.25, (2, num_images, 1, 1))
    tilt = rng.uniform(-_MAX_TILT, _MAX_TILT, (num_images, 1, 1))
    x, y = (centres[None, None, :] - shift_x) / size, (centres[None, :, None] - shift_y) / size
    u, v = np.cos(tilt) * x + np.sin(tilt) * y, np.cos(tilt) * y - np.sin(tilt) * x
    return u, v, 2.0 / side / size


def _paint(cover: np.ndarray, channels: int, rng: np.random.Generator) -> np.ndarray:
    """Colour shape and background, add a slope and noise."""
    num_images, side, _ = cover.shape
    per_image = (num_images, 1, 1, channels)
    dark, light = rng.uniform(0.05, 0.4, per_image), rng.uniform(0.6, 0.95, per_image)
    is_light = rng.random((num_images, 1, 1, 1)) < _LIGHT_ON_DARK
    ink, paper = np.where(is_light, light, dark), np.where(is_light, dark, light)
    axis = np.linspace(-1.0, 1.0, side)
    slope_x, slope_y = rng.uniform(-0.1, 0.1, (2, *per_image))
    paper = paper + slope_x * axis[None, None, :, None] + slope_y * axis[None, :, None, None]
    images = paper + cover[..., None] * (ink - paper)
    images += rng.normal(0.0, _NOISE, images.shape)
    return np.clip(images, 0.0, 1.0).astype(np.float32)


# Each shape is its depth: positive inside, zero on the outline, negative outside, in units where
# the shape fills about [-1, 1] x [-1, 1].


def _box(u: np.ndarray, v: np.ndarray, half_u: float, half_v: float) -> np.ndarray:
    return np.minimum(half_u - np.abs(u), half_v - np.abs(v))


def _disc(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return 0.95 - np.hypot(u, v)


def _ring(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return 0.2 - np.abs(np.hypot(u, v) - 0.75)


def _square(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return _box(u, v, 0.85, 0.85)


def _frame(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return np.minimum(_box(u, v, 0.85, 0.85), -_box(u, v, 0.45, 0.45))


def _triangle(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    sides = (0.9 + v - 2.0 * np.abs(u)) / np.sqrt(5.0)
    return np.minimum(sides, 0.8 - v)


def _plus(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return np.maximum(_box(u, v, 0.95, 0.25), _box(u, v, 0.25, 0.95))


def _bar(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return _box(u, v, 0.95, 0.35)


def _crescent(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return np.minimum(_disc(u, v), np.hypot(u - 0.45, v) - 0.75)


def _stripes(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return np.minimum(_box(u, v, 0.95, 0.95), 0.19 - np.abs((v + 0.95) % 0.76 - 0.38))


def _checkerboard(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    board = np.sin(np.pi * u / 0.48) * np.sin(np.pi * v / 0.48) * 0.15
    return np.minimum(_box(u, v, 0.95, 0.95), board)


_DEPTH: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "disc": _disc,
    "ring": _ring,
    "square": _square,
    "frame": _frame,
    "triangle": _triangle,
    "plus": _plus,
    "bar": _bar,
    "crescent": _crescent,
    "stripes": _stripes,
    "checkerboard": _checkerboard,
}
