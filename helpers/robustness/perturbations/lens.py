"""What happens in front of and inside the lens: glare and ghosts of the sun, and dirt."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from helpers.robustness.perturbations.image import (
    Image,
    perturbation,
    smooth_noise,
    to_coded,
    to_linear,
    unit_coordinates,
)

FLARE_STRENGTH = (0.10, 0.18, 0.30, 0.45, 0.65)  # linear light, 1 saturates the sensor
_VEIL = 0.30  # share of the strength that reaches every pixel
_CORE = 0.06  # radius of the glare at half its height, in sides
_SPIKE = 0.35  # strength of the starburst
_BLADES = 6  # of the aperture; the ghosts are hexagons
_SUN = np.array([1.0, 0.95, 0.85], np.float32)
_GHOSTS = 8

DIRT_COVER = (0.05, 0.10, 0.16, 0.24, 0.34)  # share of the picture
_DIRT_HILLS = 7  # along a side
_DIRT_OPACITY = 0.9
_MUD = np.array([0.30, 0.24, 0.17], np.float32)  # of the scene's mean light


@perturbation
def sun_flare(image: Image, severity: int, rng: np.random.Generator) -> NDArray[np.floating]:
    """Let the sun shine into the lens.

    Three things add to the light of the scene. *Veiling glare* is light that lens surfaces and
    dust scatter: a bright core around the sun which falls off with the square of the angle, and a
    veil over everything, which takes contrast away. A *starburst* of six spikes comes from
    diffraction at the blades of the aperture. *Ghosts* are images of the aperture from light that
    two lens surfaces reflect: they lie on the line through the sun and the middle of the picture,
    hexagons of different size and colour. The sensor saturates at 1.

    The strength of the glare is 0.10, 0.18, 0.30, 0.45 and 0.65 of what saturates the sensor; the
    constants are ours. Physics after Hullin, Eisemann, Seidel and Lee, *Physically-based real-time
    lens flare rendering*, SIGGRAPH 2011, and Talvala, Adams, Horowitz and Levoy, *Veiling glare in
    high dynamic range imaging*, SIGGRAPH 2007.

    Parameters
    ----------
    image
        float32 ``(h, w, 3)`` in [0, 1].
    severity
        0 (unchanged) to 5.
    rng
        Draws the place of the sun, in the picture or a little outside, and the ghosts.

    Returns
    -------
    numpy.ndarray
        float32, as the image.

    Raises
    ------
    RobustnessError
        If the image or the severity is not as said.
    """
    x, y = unit_coordinates(image.shape[:2])
    direction, distance = rng.uniform(0.0, 2 * np.pi), rng.uniform(0.30, 0.65)
    sun = distance * np.array([np.cos(direction), np.sin(direction)])
    turn = rng.uniform(0.0, np.pi)
    flare = (_VEIL + _glare(x - sun[0], y - sun[1], turn))[..., None] * _SUN
    flare = flare + _ghosts(x, y, sun, turn, rng)
    return to_coded(to_linear(image) + FLARE_STRENGTH[severity - 1] * flare)


def _glare(x: NDArray[np.float32], y: NDArray[np.float32], turn: float) -> NDArray[np.floating]:
    """Return the light around a source at 0: a core with a tail of 1/r^2, and spikes."""
    squared = x**2 + y**2
    core = 4.0 / (1.0 + squared / _CORE**2)
    angle = np.arctan2(y, x)
    sharp = np.abs(np.cos(_BLADES / 2 * (angle - turn))) ** 40  # six lines through the source
    return core + _SPIKE * sharp / (1.0 + np.sqrt(squared) / _CORE)


def _ghosts(
    x: NDArray[np.float32],
    y: NDArray[np.float32],
    sun: NDArray[np.float64],
    turn: float,
    rng: np.random.Generator,
) -> NDArray[np.floating]:
    """Return the ghosts ``(h, w, 3)``: hexagons on the line from the sun through the centre."""
    light = np.zeros((*np.broadcast_shapes(x.shape, y.shape), 3), np.float32)
    for place, size, level in zip(
        rng.uniform(-1.3, 0.7, _GHOSTS),
        rng.uniform(0.02, 0.13, _GHOSTS),
        rng.uniform(0.2, 0.8, _GHOSTS),
        strict=True,
    ):
        colour = rng.uniform(0.2, 1.0, 3)
        for channel, stretch in enumerate((1.03, 1.0, 0.97)):  # glass bends blue more than red
            reach = _hexagon(x - place * sun[0], y - place * sun[1], turn) / (size * stretch)
            # A large ghost is the same light, spread thinner.
            brightness = level * min(1.0, 0.05 / size)
            edge = np.clip((1.0 - reach) * size / 0.01, 0.0, 1.0)
            light[..., channel] += brightness * colour[channel] * edge
    return light


def _hexagon(x: NDArray[np.floating], y: NDArray[np.floating], turn: float) -> NDArray[np.floating]:
    """Return the distance from 0 in which a hexagon is the circle."""
    angles = turn + np.arange(_BLADES) * 2 * np.pi / _BLADES
    return np.max([x * np.cos(a) + y * np.sin(a) for a in angles], axis=0)


@perturbation
def lens_dirt(image: Image, severity: int, rng: np.random.Generator) -> NDArray[np.floating]:
    """Splash mud on the front of the lens.

    Dirt on the glass is far out of focus: it has no edge, takes light of the scene away, and glows
    a little with the mean light that it scatters. Blots are where a smooth random surface is
    highest, and cover 5, 10, 16, 24 and 34 % of the picture, in their middle by nine tenths. The
    constants are ours.

    Parameters
    ----------
    image, severity
        As for :func:`sun_flare`.
    rng
        Draws the blots.

    Returns
    -------
    numpy.ndarray
        float32, as the image.

    Raises
    ------
    RobustnessError
        If the image or the severity is not as said.
    """
    surface = smooth_noise(image.shape[:2], rng, _DIRT_HILLS)
    level = np.quantile(surface, 1.0 - DIRT_COVER[severity - 1])
    soft = 0.25 * surface.std()
    cover = _DIRT_OPACITY * np.clip((surface - level) / soft + 0.5, 0.0, 1.0)[..., None]
    light = to_linear(image)
    return to_coded(light * (1.0 - cover) + cover * _MUD * light.mean())
