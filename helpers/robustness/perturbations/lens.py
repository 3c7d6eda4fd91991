"""What happens in front of and inside the lens: glare and ghosts of the sun, and dirt."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from helpers.robustness.perturbations.flare import add_flare, draw_flare
from helpers.robustness.perturbations.image import (
    Image,
    perturbation,
    smooth_noise,
    to_coded,
    to_linear,
)

FLARE_STRENGTH = (0.10, 0.18, 0.30, 0.45, 0.65)  # linear light, 1 saturates the sensor

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
    high dynamic range imaging*, SIGGRAPH 2007. The function
    :func:`~helpers.robustness.perturbations.flare.add_flare` adds its parts one by one, and at any
    strength.

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
    return add_flare(image, draw_flare(rng), FLARE_STRENGTH[severity - 1])


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
