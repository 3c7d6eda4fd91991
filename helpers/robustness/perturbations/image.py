"""What every perturbation shares: checks, linear light, point-spread functions, smooth noise."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Concatenate, ParamSpec

import numpy as np
from numpy.typing import NDArray

from helpers.errors import RobustnessError

Image = NDArray[np.float32]
Extra = ParamSpec("Extra")

SEVERITIES = (1, 2, 3, 4, 5)
REFERENCE_SIDE = 224.0  # pixels; the size at which the constants of ImageNet-C are published


def perturbation(
    change: Callable[Concatenate[Image, int, np.random.Generator, Extra], NDArray[np.floating]],
) -> Callable[Concatenate[Image, int, np.random.Generator, Extra], Image]:
    """Make a perturbation out of a function for severities 1 to 5.

    What it adds: the checks of :func:`require_image` and :func:`require_severity`, severity 0 as a
    copy, and a float32 result clipped to [0, 1], as a sensor clips.
    """

    @functools.wraps(change)
    def checked(
        image: Image,
        severity: int,
        rng: np.random.Generator,
        *args: Extra.args,
        **kwargs: Extra.kwargs,
    ) -> Image:
        require_image(image)
        require_severity(severity)
        if severity == 0:
            return image.copy()
        changed = change(image, severity, rng, *args, **kwargs)
        return np.clip(changed, 0.0, 1.0).astype(np.float32)

    return checked


def require_image(image: NDArray[np.generic]) -> None:
    """Raise RobustnessError unless this is a float32 image ``(h, w, 3)`` in [0, 1]."""
    if image.dtype != np.float32 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise RobustnessError(
            f"The image is {image.dtype} {image.shape}; it must be float32 (height, width, 3)."
        )
    low, high = image.min(), image.max()
    if not (low >= 0.0 and high <= 1.0):  # NaN fails both
        raise RobustnessError(
            f"The image spans [{low:g}, {high:g}]; scale it to [0, 1], without NaN."
        )


def require_severity(severity: int) -> None:
    """Raise RobustnessError unless the severity is a whole number from 0 to 5."""
    if isinstance(severity, bool) or severity not in (0, *SEVERITIES):
        raise RobustnessError(f"severity={severity!r} must be a whole number from 0 to 5.")


def require_boxes(boxes: NDArray[np.floating]) -> None:
    """Raise RobustnessError unless these are boxes ``(k, 4)`` with corners in order."""
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise RobustnessError(f"boxes have shape {boxes.shape}; they must be (k, 4).")
    if not (boxes[:, 2:] > boxes[:, :2]).all():  # NaN fails
        raise RobustnessError("A box must have x1 < x2 and y1 < y2, in pixels.")


def scale_of(image: Image) -> float:
    """Return how many pixels here are one pixel of a 224-pixel picture of the same view."""
    return float(np.sqrt(image.shape[0] * image.shape[1]) / REFERENCE_SIDE)


def to_linear(coded: NDArray[np.floating]) -> NDArray[np.float32]:
    """Turn sRGB values in [0, 1] into linear light (IEC 61966-2-1)."""
    values = np.asarray(coded, np.float32)
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def to_coded(light: NDArray[np.floating]) -> NDArray[np.float32]:
    """Turn linear light into sRGB values in [0, 1]; light above 1 saturates."""
    values = np.clip(np.asarray(light, np.float32), 0.0, 1.0)
    return np.where(values <= 0.0031308, values * 12.92, 1.055 * values ** (1 / 2.4) - 0.055)


def spread_light(light: NDArray[np.floating], kernel: NDArray[np.floating]) -> NDArray[np.float32]:
    """Convolve with a point-spread function, the picture mirrored at its edges.

    Parameters
    ----------
    light
        ``(h, w, channels)``.
    kernel
        ``(2r + 1, 2r + 1)``, sums to 1.
    """
    from scipy.signal import fftconvolve

    radius = kernel.shape[0] // 2
    padded = np.pad(light, ((radius, radius), (radius, radius), (0, 0)), mode="symmetric")
    return fftconvolve(padded, kernel[..., None], mode="valid", axes=(0, 1)).astype(np.float32)


def disc_kernel(radius: float) -> NDArray[np.float64]:
    """Return the point-spread function of a lens out of focus: a disc, its edge antialiased.

    Parameters
    ----------
    radius
        In pixels, above 0.

    Returns
    -------
    numpy.ndarray
        float64 ``(side, side)``, an odd side; it sums to 1.
    """
    reach, fine = int(np.ceil(radius)), 9
    points = (np.arange((2 * reach + 1) * fine) + 0.5) / fine - reach - 0.5
    inside = points[:, None] ** 2 + points[None, :] ** 2 <= radius**2
    side = 2 * reach + 1
    kernel = inside.reshape(side, fine, side, fine).mean(axis=(1, 3))
    return kernel / kernel.sum()


def line_kernel(length: float, angle: float) -> NDArray[np.float64]:
    """Return the point-spread function of uniform motion: a line through the centre.

    Parameters
    ----------
    length
        In pixels.
    angle
        Radians, from the x axis towards y.

    Returns
    -------
    numpy.ndarray
        float64 ``(side, side)``, an odd side; it sums to 1.
    """
    reach = int(np.ceil(length / 2)) + 1
    points = max(int(np.ceil(length * 8)), 1)
    along = ((np.arange(points) + 0.5) / points - 0.5) * length
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1))
    deposit(kernel, reach + along * np.cos(angle), reach + along * np.sin(angle), 1.0)
    return kernel / kernel.sum()


def deposit(
    canvas: NDArray[np.floating],
    x: NDArray[np.floating],
    y: NDArray[np.floating],
    amount: float,
) -> None:
    """Add an amount at points between pixels, shared by the four pixels around each.

    The canvas ``(h, w)`` is changed in place; `x` and `y`, ``(n,)``, are in pixels. Points outside
    the canvas are dropped.
    """
    column, row = np.floor(x).astype(int), np.floor(y).astype(int)
    right, down = x - column, y - row
    for r, c, share in (
        (row, column, (1 - down) * (1 - right)),
        (row, column + 1, (1 - down) * right),
        (row + 1, column, down * (1 - right)),
        (row + 1, column + 1, down * right),
    ):
        held = (r >= 0) & (r < canvas.shape[0]) & (c >= 0) & (c < canvas.shape[1])
        np.add.at(canvas, (r[held], c[held]), share[held] * amount)


def smooth_noise(
    shape: tuple[int, ...], rng: np.random.Generator, cells: int
) -> NDArray[np.float32]:
    """Draw a smooth random surface, the same surface at every resolution.

    Parameters
    ----------
    shape
        ``(h, w)``.
    rng
        Draws one normal number a node of a grid of ``cells`` by ``cells``.
    cells
        Hills along a side, roughly.

    Returns
    -------
    numpy.ndarray
        float32 ``(h, w)`` with mean 0; cubic between the nodes.
    """
    from scipy.ndimage import map_coordinates

    nodes = rng.normal(size=(cells + 3, cells + 3))
    rows, columns = ((np.arange(size) + 0.5) / size * cells + 1.0 for size in shape)
    at = np.meshgrid(rows, columns, indexing="ij")
    return map_coordinates(nodes, at, order=3, mode="nearest", prefilter=False).astype(np.float32)


def fractal_noise(
    shape: tuple[int, ...], rng: np.random.Generator, decay: float
) -> NDArray[np.float32]:
    """Add smooth surfaces of halving size, each weaker by a factor: clouds, foliage.

    Parameters
    ----------
    shape
        ``(h, w)``.
    rng
        Source of randomness.
    decay
        Factor between one size and the next smaller, above 1; near 1 is rough.

    Returns
    -------
    numpy.ndarray
        float32 ``(h, w)`` with mean 0 and a standard deviation near 1.
    """
    weights = decay ** -np.arange(5.0)
    layers = [smooth_noise(shape, rng, 2 ** (2 + octave)) for octave in range(len(weights))]
    # A cubic B-spline of unit normal nodes has a standard deviation near 0.48.
    scale = 0.48 * np.sqrt((weights**2).sum())
    return sum(w * layer for w, layer in zip(weights, layers, strict=True)) / np.float32(scale)


def unit_coordinates(shape: tuple[int, ...]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return x ``(1, w)`` and y ``(h, 1)`` of the pixel centres, the mean side being 1 long."""
    side = np.sqrt(shape[0] * shape[1])
    x = (np.arange(shape[1], dtype=np.float32) + 0.5 - shape[1] / 2) / side
    y = (np.arange(shape[0], dtype=np.float32) + 0.5 - shape[0] / 2) / side
    return x[None, :], y[:, None]
