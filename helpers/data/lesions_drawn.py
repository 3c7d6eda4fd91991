"""Skin lesions seen through a dermatoscope, drawn from a seed: naevi, and melanoma-like ones.

A dermatologist looks for asymmetry, an irregular border, several colours and a large diameter (the
ABCD rule of Friedman, Rigel and Kopf 1985). Each of the four is a number here, drawn from a normal
law whose mean depends on the class, and the two laws overlap: there are irregular naevi and plain
melanomas. So nobody can be right every time, and :func:`best_accuracy` says how often one can. Skin
tone, light, place and hairs say nothing of the class. These are drawings. No patient is in them,
and accuracies on them do not compare with those on photographs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from helpers.data.dataset import Dataset
from helpers.errors import DataError

CLASS_NAMES = ("synthetic naevus", "synthetic melanoma")
MIN_SIDE = 24

# Distance between the classes' means for each sign, in deviations of one class.
_APART = (2.3, 2.3, 2.7, 1.5)
_SKIN = np.array([[0.95, 0.80, 0.71], [0.84, 0.63, 0.48], [0.52, 0.35, 0.25]])  # light to dark
_BROWN = np.array([0.58, 0.37, 0.24])
_PATCHES = np.array(
    [[0.14, 0.09, 0.08], [0.34, 0.35, 0.40], [0.62, 0.32, 0.26], [0.78, 0.70, 0.64]]
)
_HAIRY = 0.25  # share of images with hairs


@dataclass(frozen=True)
class _Grid:
    """The pixels of one picture, from -1 to 1 both ways, and a pixel's width."""

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    pixel: float

    @classmethod
    def of(cls, side: int) -> _Grid:
        axis = (np.arange(side) + 0.5) / side * 2 - 1
        x, y = np.meshgrid(axis, axis)
        return cls(x, y, 2 / side)


def best_accuracy() -> float:
    """Return how often somebody is right who sees the four signs themselves.

    Four independent normal laws, the means of the classes a vector d apart, both classes equally
    often: Φ of half the length of d.
    A picture shows the signs only in part, so a model that looks at pictures stays below it.
    """
    from scipy.stats import norm

    return float(norm.cdf(math.hypot(*_APART) / 2))


def draw_signs(is_melanoma: bool, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return asymmetry, border, colour and diameter of one lesion, float64 ``(4,)``."""
    middle = np.array(_APART) / 2
    return rng.normal(middle if is_melanoma else -middle)


def draw(signs: NDArray[np.floating], side: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw one lesion.

    Parameters
    ----------
    signs : numpy.ndarray
        ``(4,)``, as :func:`draw_signs` gives them; 0 is half-way between the classes.
    side : int
        Height and width in pixels, at least 24.
    rng : numpy.random.Generator
        Source of all that says nothing of the class: skin, light, place, hairs, noise.

    Returns
    -------
    numpy.ndarray
        float32 ``(side, side, 3)`` in [0, 1].

    Raises
    ------
    DataError
        If the side is below 24.
    """
    if side < MIN_SIDE:
        raise DataError(f"side={side} must be at least {MIN_SIDE}: the border would not show.")
    # Beyond two deviations or so a sign looks no stronger.
    asymmetry, border, colour, diameter = 1 / (1 + np.exp(-np.asarray(signs, np.float64)))
    grid = _Grid.of(side)
    pixels = _skin(grid, rng)
    tone = pixels.mean(axis=(0, 1))
    u, v = _own_coordinates(grid, rng)
    depth, edge = _outline(grid, u, v, asymmetry, border, diameter, rng)
    paint = _pigment(grid, u, tone, asymmetry, colour, rng)
    cover = np.clip(depth / edge + 0.5, 0, 1)[..., None] * rng.uniform(0.75, 1.0)
    pixels += cover * (paint - pixels)
    if rng.random() < _HAIRY:
        _hairs(pixels, grid, rng)
    return _camera(pixels, grid, rng)


def lesions(
    num_train: int = 2000,
    num_test: int = 500,
    side: int = 48,
    seed: int = 0,
    progress: bool = False,
) -> Dataset:
    """Return drawn skin lesions, half of them naevi and half melanoma-like.

    Parameters
    ----------
    num_train, num_test : int
        Pictures of each part.
    side : int
        Height and width in pixels, at least 24.
    seed : int
        Fixes everything. Picture ``i`` does not depend on how many there are.
    progress : bool
        Whether to show a progress bar.

    Returns
    -------
    Dataset
        Labelled synthetic; images ``(n, side, side, 3)``.

    Raises
    ------
    DataError
        If a number is too small.
    """
    if min(num_train, num_test) < 1:
        raise DataError(f"num_train={num_train} and num_test={num_test} must be at least 1.")
    with tqdm(total=num_train + num_test, desc="draw lesions", disable=not progress) as bar:
        (x_train, y_train), (x_test, y_test) = (
            _part(count, side, [seed, part], bar)
            for part, count in enumerate((num_train, num_test))
        )
    return Dataset(
        name="lesions",
        x_train=x_train,
        y_train=y_train,
        x_test=x_test,
        y_test=y_test,
        class_names=CLASS_NAMES,
        source="synthetic",
        origin=f"skin lesions drawn from seed {seed}; no patient and no photograph is in here, and "
        "accuracies do not compare with those on photographs",
        licence="Apache-2.0, as the code that drew them",
        citation="This repository, helpers/data/lesions_drawn.py.",
    )


def _part(
    count: int, side: int, seed: list[int], bar: tqdm[Any]
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    images = np.empty((count, side, side, 3), np.float32)
    labels = np.empty(count, np.int32)
    for i in range(count):
        rng = np.random.default_rng([*seed, i])
        labels[i] = rng.random() < 0.5
        images[i] = draw(draw_signs(bool(labels[i]), rng), side, rng)
        bar.update()
    return images, labels


def _noise(grid: _Grid, cells: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return a smooth surface of unit deviation or so, with so many hills across the picture."""
    from scipy.ndimage import map_coordinates

    nodes = rng.normal(size=(int(cells) + 4,) * 2)
    at = [(axis + 1) * cells / 2 + 1 for axis in (grid.y, grid.x)]
    return np.asarray(map_coordinates(nodes, at, order=2, prefilter=False), np.float64) * 1.6


def _skin(grid: _Grid, rng: np.random.Generator) -> NDArray[np.float64]:
    """Skin of any tone under uneven light."""
    tone = rng.beta(1.3, 2.2) * (len(_SKIN) - 1)
    low = min(int(tone), len(_SKIN) - 2)
    colour = _SKIN[low] + (tone - low) * (_SKIN[low + 1] - _SKIN[low])
    colour = colour * rng.uniform(0.94, 1.06, 3)
    slope = rng.uniform(-0.08, 0.08, 2)
    light = 1 + slope[0] * grid.x + slope[1] * grid.y + 0.02 * _noise(grid, 9, rng)
    return np.asarray(light[..., None] * colour)


def _own_coordinates(
    grid: _Grid, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Place and turn the lesion: its coordinates at every pixel."""
    dx, dy = rng.uniform(-0.18, 0.18, 2)
    turn = rng.uniform(0, 2 * np.pi)
    x, y = grid.x - dx, grid.y - dy
    return np.cos(turn) * x + np.sin(turn) * y, np.cos(turn) * y - np.sin(turn) * x


def _outline(
    grid: _Grid,
    u: NDArray[np.float64],
    v: NDArray[np.float64],
    asymmetry: float,
    border: float,
    diameter: float,
    rng: np.random.Generator,
) -> tuple[NDArray[np.float64], float]:
    """Return the depth inside the lesion (negative outside) and the width of its edge.

    An oval; drawn out to one side for asymmetry, ragged and sharp for an irregular border.
    """
    radius = 0.34 + 0.36 * diameter
    oval = rng.uniform(0.75, 1.0)
    angle, distance = np.arctan2(v / oval, u), np.hypot(u, v / oval)
    bulge = np.cos(angle) + 0.5 * np.cos(2 * angle + rng.uniform(0, 2 * np.pi))
    reach = radius * np.maximum(1 + 0.38 * asymmetry * bulge, 0.2)
    ragged = 0.7 * _noise(grid, 5, rng) + 0.5 * _noise(grid, 10, rng)
    edge = 0.34 - 0.24 * border * rng.uniform(0.6, 1.0)
    return reach - distance + radius * (0.03 + 0.27 * border) * ragged, edge


def _pigment(
    grid: _Grid,
    u: NDArray[np.float64],
    tone: NDArray[np.float64],
    asymmetry: float,
    colour: float,
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """Brown, darker to one side where it is asymmetric, with patches of other colours."""
    base = rng.uniform(0.45, 0.8) * _BROWN + 0.3 * tone * rng.uniform(0.7, 1.1)
    paint = np.broadcast_to(base, (*u.shape, 3)) * (1 + 0.12 * _noise(grid, 14, rng)[..., None])
    paint = paint * (1 - 0.4 * asymmetry * np.clip(u / 0.6, -1, 1))[..., None]
    for patch in _PATCHES[rng.permutation(len(_PATCHES))[:3]]:
        spots = np.clip(_noise(grid, 5, rng) - 1.2 + 1.3 * colour, 0, 1) * (0.1 + 0.8 * colour)
        paint = paint + spots[..., None] * (patch * rng.uniform(0.85, 1.15) - paint)
    return np.asarray(paint)


def _hairs(pixels: NDArray[np.float64], grid: _Grid, rng: np.random.Generator) -> None:
    """Draw a few dark bent hairs over everything."""
    for _ in range(int(rng.integers(1, 9))):
        angle, bend, offset = rng.uniform(0, np.pi), rng.normal(0, 0.35), rng.uniform(-0.9, 0.9)
        along = np.cos(angle) * grid.x + np.sin(angle) * grid.y
        across = np.cos(angle) * grid.y - np.sin(angle) * grid.x
        away = np.abs(across - offset - bend * along**2)
        cover = np.clip((0.02 - away) / grid.pixel + 0.5, 0, 1) * rng.uniform(0.4, 0.9)
        pixels += cover[..., None] * (np.array([0.12, 0.09, 0.08]) - pixels)


def _camera(
    pixels: NDArray[np.float64], grid: _Grid, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Vignette, exposure, a little blur and noise."""
    from scipy.ndimage import gaussian_filter

    corner = 1 - rng.uniform(0, 0.25) * (grid.x**2 + grid.y**2) / 2
    lit = pixels * corner[..., None] * rng.uniform(0.9, 1.08)
    blur = rng.uniform(0.3, 0.7)
    blurred = gaussian_filter(lit, (blur, blur, 0))
    noisy = blurred + rng.normal(0, rng.uniform(0.005, 0.02), blurred.shape)
    return np.clip(noisy, 0, 1).astype(np.float32)
