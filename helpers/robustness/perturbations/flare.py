"""The sun in the lens, part by part: veil, core, starburst and ghosts, wherever the sun stands.

:func:`~helpers.robustness.perturbations.lens.sun_flare` draws a flare and adds it. Here a flare is
a thing of its own: it can be drawn once and added at any strength, moved, taken apart, or rendered
through another lens.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from helpers.errors import RobustnessError
from helpers.robustness._checks import require_not_negative, require_whole
from helpers.robustness.perturbations.image import (
    Image,
    require_image,
    to_coded,
    to_linear,
    unit_coordinates,
)

Part = Literal["veil", "core", "starburst", "ghosts"]
PARTS: tuple[Part, ...] = get_args(Part)
_SUN = np.array([1.0, 0.95, 0.85], np.float32)
_CORE_LIGHT = 4.0  # in the middle of the core, of the strength


@dataclass(frozen=True)
class Lens:
    """What decides the look of a flare besides the place of the sun.

    Attributes
    ----------
    veil
        Share of the strength that reaches every pixel.
    core
        Radius of the glare at half its height, in sides of the picture.
    spike
        Strength of the starburst.
    blades
        Of the aperture: the number of spikes, and of the corners of a ghost. Even.
    ghosts
        How many images of the aperture there are.

    Raises
    ------
    RobustnessError
        If a setting is out of its range, or ``blades`` is odd.
    """

    veil: float = 0.30
    core: float = 0.06
    spike: float = 0.35
    blades: int = 6
    ghosts: int = 8

    def __post_init__(self) -> None:
        light = (self.veil, self.core, self.spike)
        if not all(np.isfinite(value) and value >= 0 for value in light) or self.core == 0:
            raise RobustnessError(f"{self}: veil and spike must be at least 0, core above 0.")
        require_whole("blades", self.blades, at_least=4)
        require_whole("ghosts", self.ghosts, at_least=0)
        if self.blades % 2:
            raise RobustnessError(
                f"{self}: blades must be an even number from 4, as two edges face each other."
            )


@dataclass(frozen=True)
class _Ghost:
    """One image of the aperture: place along the line to the sun, radius in sides, light."""

    place: float
    size: float
    level: float
    colour: tuple[float, ...]


@dataclass(frozen=True)
class Flare:
    """One sun, seen through one lens. Made by :func:`draw_flare`.

    Attributes
    ----------
    sun
        Place ``(x, y)`` from the middle of the picture, in mean sides of it; x to the right, y
        down. Beyond half a side it stands outside.
    turn
        Of the aperture, radians.
    lens
        The lens.
    ghosts
        The images of the aperture.
    """

    sun: tuple[float, float]
    turn: float
    lens: Lens
    ghosts: tuple[_Ghost, ...]

    def moved(self, direction: float, distance: float) -> Flare:
        """Return the same lens with the sun elsewhere: radians from x towards y, and sides."""
        return replace(self, sun=_place(direction, distance))

    def distance(
        self, rows: NDArray[np.floating], columns: NDArray[np.floating], shape: tuple[int, ...]
    ) -> NDArray[np.float64]:
        """Return how far points of a picture are from the sun, in mean sides of the picture.

        Parameters
        ----------
        rows, columns
            Pixels, which may be fractions; the middle of the first pixel is 0.5.
        shape
            ``(h, w)`` of the picture.
        """
        side = np.sqrt(shape[0] * shape[1])
        across = (np.asarray(columns) - shape[1] / 2) / side - self.sun[0]
        down = (np.asarray(rows) - shape[0] / 2) / side - self.sun[1]
        return np.asarray(np.hypot(across, down), np.float64)


def draw_flare(rng: np.random.Generator, lens: Lens | None = None) -> Flare:
    """Draw a place for the sun, in the picture or a little outside, and the ghosts.

    Parameters
    ----------
    rng
        Source of all randomness.
    lens
        The lens; that of :func:`~helpers.robustness.perturbations.lens.sun_flare` when left out.

    Returns
    -------
    Flare
        To be added by :func:`add_flare`.
    """
    lens = lens or Lens()
    direction, distance = rng.uniform(0.0, 2 * np.pi), rng.uniform(0.30, 0.65)
    turn = float(rng.uniform(0.0, np.pi))
    places = rng.uniform(-1.3, 0.7, lens.ghosts)
    sizes = rng.uniform(0.02, 0.13, lens.ghosts)
    levels = rng.uniform(0.2, 0.8, lens.ghosts)
    ghosts = tuple(
        _Ghost(float(place), float(size), float(level), tuple(rng.uniform(0.2, 1.0, 3)))
        for place, size, level in zip(places, sizes, levels, strict=True)
    )
    return Flare(_place(direction, distance), turn, lens, ghosts)


def flare_light(
    flare: Flare, shape: tuple[int, ...], parts: Collection[Part] = PARTS
) -> NDArray[np.float32]:
    """Return the light that a flare of strength 1 adds, linear, before the sensor saturates.

    Parameters
    ----------
    flare
        The sun and the lens.
    shape
        ``(h, w)`` of the picture.
    parts
        Which of ``"veil"``, ``"core"``, ``"starburst"`` and ``"ghosts"``; all when left out.

    Returns
    -------
    numpy.ndarray
        float32 ``(h, w, 3)``. The light of parts adds up to that of the whole.

    Raises
    ------
    RobustnessError
        If a part is not known or none is given.
    """
    if not parts or not set(parts) <= set(PARTS):
        raise RobustnessError(f"parts={parts!r}: give one or more of {', '.join(PARTS)}.")
    x, y = unit_coordinates(shape[:2])
    glow = _glare(x - flare.sun[0], y - flare.sun[1], flare, parts)
    veil = flare.lens.veil if "veil" in parts else 0.0
    light = (veil + glow)[..., None] * _SUN
    return light + _ghosts(x, y, flare) if "ghosts" in parts else light


def add_flare(
    image: Image, flare: Flare, strength: float, parts: Collection[Part] = PARTS
) -> Image:
    """Let a flare, or parts of it, into a picture.

    Parameters
    ----------
    image
        float32 ``(h, w, 3)`` in [0, 1].
    flare
        The sun and the lens.
    strength
        Of the glare, as a share of what saturates the sensor; at least 0. The severities of
        ``sun_flare`` are 0.10, 0.18, 0.30, 0.45 and 0.65.
    parts
        As for :func:`flare_light`.

    Returns
    -------
    numpy.ndarray
        float32 ``(h, w, 3)`` in [0, 1].

    Raises
    ------
    RobustnessError
        If the image, the strength or the parts are not as said.
    """
    require_image(image)
    require_not_negative("strength", strength)
    lit = to_linear(image) + strength * flare_light(flare, image.shape[:2], parts)
    return np.clip(to_coded(lit), 0.0, 1.0).astype(np.float32)


def _place(direction: float, distance: float) -> tuple[float, float]:
    return float(distance * np.cos(direction)), float(distance * np.sin(direction))


def _glare(
    x: NDArray[np.float32], y: NDArray[np.float32], flare: Flare, parts: Collection[Part]
) -> NDArray[np.floating]:
    """Return the light around a source at 0: a core with a tail of 1/r^2, and spikes."""
    lens, squared = flare.lens, x**2 + y**2
    light = np.zeros_like(squared)
    if "core" in parts:
        light = _CORE_LIGHT / (1.0 + squared / lens.core**2)
    if "starburst" in parts:
        angle = np.arctan2(y, x)
        # As many lines through the source as there are blades.
        sharp = np.abs(np.cos(lens.blades / 2 * (angle - flare.turn))) ** 40
        light = light + lens.spike * sharp / (1.0 + np.sqrt(squared) / lens.core)
    return light


def _ghosts(x: NDArray[np.float32], y: NDArray[np.float32], flare: Flare) -> NDArray[np.floating]:
    """Return the ghosts ``(h, w, 3)``: polygons on the line from the sun through the centre."""
    light = np.zeros((*np.broadcast_shapes(x.shape, y.shape), 3), np.float32)
    for ghost in flare.ghosts:
        across, down = x - ghost.place * flare.sun[0], y - ghost.place * flare.sun[1]
        reached = _polygon(across, down, flare.turn, flare.lens.blades)
        # A large ghost is the same light, spread thinner.
        brightness = ghost.level * min(1.0, 0.05 / ghost.size)
        for channel, stretch in enumerate((1.03, 1.0, 0.97)):  # glass bends blue more than red
            reach = reached / (ghost.size * stretch)
            edge = np.clip((1.0 - reach) * ghost.size / 0.01, 0.0, 1.0)
            light[..., channel] += brightness * ghost.colour[channel] * edge
    return light


def _polygon(
    x: NDArray[np.floating], y: NDArray[np.floating], turn: float, corners: int
) -> NDArray[np.floating]:
    """Return the distance from 0 in which an even polygon is the circle."""
    angles = turn + np.arange(corners) * 2 * np.pi / corners
    return np.max([x * np.cos(a) + y * np.sin(a) for a in angles], axis=0)
