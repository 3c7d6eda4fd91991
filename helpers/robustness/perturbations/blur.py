"""Blur: a lens out of focus, a camera that moves while the shutter is open, and one that shakes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from helpers.robustness.perturbations.image import (
    Image,
    disc_kernel,
    line_kernel,
    perturbation,
    scale_of,
    spread_light,
    to_coded,
    to_linear,
)

DEFOCUS_RADIUS = (3.0, 4.0, 6.0, 8.0, 10.0)  # ImageNet-C, pixels at 224
# ImageNet-C: radius of the kernel and sigma of the half Gaussian in it, pixels at 224
MOTION_RADIUS_SIGMA = ((10, 3.0), (15, 5.0), (15, 8.0), (15, 12.0), (20, 15.0))
VIBRATION_AMPLITUDE = (0.006, 0.012, 0.018, 0.027, 0.036)  # of the side
_EXPOSURE = 0.15  # of the time that the whole frame takes to read out
_EXPOSURE_STEPS = 7


@perturbation
def defocus(image: Image, severity: int, rng: np.random.Generator) -> NDArray[np.floating]:
    """Blur as a lens does that is focused elsewhere.

    A point out of focus becomes the *circle of confusion*, an even disc the shape of the aperture.
    The picture is the convolution of linear light with that disc. The radii are the published ones
    of ImageNet-C's defocus blur: 3, 4, 6, 8, 10 pixels at 224.

    Parameters
    ----------
    image
        float32 ``(h, w, 3)`` in [0, 1].
    severity
        0 (unchanged) to 5.
    rng
        Not used: nothing about it is random.

    Returns
    -------
    numpy.ndarray
        float32, as the image.

    Raises
    ------
    RobustnessError
        If the image or the severity is not as said.
    """
    kernel = disc_kernel(DEFOCUS_RADIUS[severity - 1] * scale_of(image))
    return to_coded(spread_light(to_linear(image), kernel))


def motion_length(severity: int) -> float:
    """Return the length of the streak that a point makes, in pixels at 224.

    ImageNet-C draws half a Gaussian, cut at twice the radius plus one. Even motion gives an even
    line, so ours has the length that spreads light as far: the same standard deviation, which for a
    line is its length over the root of 12.
    """
    radius, sigma = MOTION_RADIUS_SIGMA[severity - 1]
    steps = np.arange(2 * radius + 1)
    weights = np.exp(-(steps**2) / (2 * sigma**2))
    weights /= weights.sum()
    variance = (weights * steps**2).sum() - (weights * steps).sum() ** 2
    return float(np.sqrt(12 * variance))


@perturbation
def motion_blur(image: Image, severity: int, rng: np.random.Generator) -> NDArray[np.floating]:
    """Blur as even motion during the exposure does.

    While the shutter is open, a camera on a moving drone sweeps every point along a line, and the
    sensor adds up the light. The line lies in a random direction and is centred, so that objects
    stay where their boxes are. Its length is :func:`motion_length`, from ImageNet-C.

    Parameters
    ----------
    image, severity
        As for :func:`defocus`.
    rng
        Draws the direction.

    Returns
    -------
    numpy.ndarray
        float32, as the image.

    Raises
    ------
    RobustnessError
        If the image or the severity is not as said.
    """
    kernel = line_kernel(motion_length(severity) * scale_of(image), rng.uniform(0.0, np.pi))
    return to_coded(spread_light(to_linear(image), kernel))


@perturbation
def vibration(image: Image, severity: int, rng: np.random.Generator) -> NDArray[np.floating]:
    """Shake the camera while its rolling shutter reads the frame.

    Most cameras read one row after the other. Propellers that shake the camera meanwhile move each
    row by a different amount: straight edges become waves (*jello*), and what moves during one
    row's exposure blurs. The motion is a sine of a few periods a frame in a random direction. Its
    amplitude is 0.6, 1.2, 1.8, 2.7 and 3.6 % of the side; the constants are ours.

    Objects move with it: :func:`row_shifts` with a generator of the same state says where each row
    went, and :func:`~helpers.robustness.perturbations.registry.perturb` moves the boxes.

    Parameters
    ----------
    image, severity
        As for :func:`defocus`.
    rng
        Draws the direction, the number of periods and the phase.

    Returns
    -------
    numpy.ndarray
        float32, as the image.

    Raises
    ------
    RobustnessError
        If the image or the severity is not as said.
    """
    shifts = row_shifts(image.shape[:2], severity, rng, _EXPOSURE_STEPS)
    light = to_linear(image)
    return to_coded(np.mean([_moved(light, dx, dy) for dx, dy in shifts], axis=0))


def row_shifts(
    shape: tuple[int, ...], severity: int, rng: np.random.Generator, steps: int = 1
) -> NDArray[np.float64]:
    """Return how far :func:`vibration` moves each row.

    Parameters
    ----------
    shape
        ``(h, w)`` of the image.
    severity
        0 to 5.
    rng
        In the state in which :func:`vibration` gets it.
    steps
        Moments within the exposure of a row; 1 gives the middle.

    Returns
    -------
    numpy.ndarray
        float64 ``(steps, 2, h)``: shifts along x and y in pixels.
    """
    amplitude = 0.0 if severity == 0 else VIBRATION_AMPLITUDE[severity - 1]
    direction, phase = rng.uniform(0.0, 2 * np.pi, 2)
    periods = rng.uniform(1.5, 4.0)
    moments = (np.arange(steps) + 0.5) / steps - 0.5
    time = (np.arange(shape[0]) + 0.5) / shape[0] + _EXPOSURE * moments[:, None]
    swing = amplitude * np.sqrt(shape[0] * shape[1]) * np.sin(2 * np.pi * periods * time + phase)
    return np.stack([swing * np.cos(direction), swing * np.sin(direction)], axis=1)


def _moved(
    light: NDArray[np.float32], dx: NDArray[np.float64], dy: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Return the picture with each row read from where it was: linear between pixels."""
    height, width = light.shape[:2]
    rows, lower = _neighbours(np.arange(height) - dy, height)
    lower = lower[:, None, None]
    read = light[rows] * (1 - lower) + light[np.minimum(rows + 1, height - 1)] * lower
    columns, right = _neighbours(np.arange(width)[None] - dx[:, None], width)
    row = np.arange(height)[:, None]
    right = right[..., None]
    beside = np.minimum(columns + 1, width - 1)
    return read[row, columns] * (1 - right) + read[row, beside] * right


def _neighbours(
    at: NDArray[np.float64], size: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the pixel before each place, kept inside, and the share of the one after it."""
    inside = np.clip(at, 0, size - 1)
    before = np.floor(inside).astype(np.int64)
    return before, (inside - before).astype(np.float32)
