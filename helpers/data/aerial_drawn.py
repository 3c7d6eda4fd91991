"""Streets seen from a drone, drawn from a seed: roads, roofs, trees, and vehicles with boxes.

Everything is laid out in metres and drawn at the scale of the picture: a car is 4.5 m by 1.8 m, the
picture shows 20 to 34 m of ground. The sun stands in one direction and throws shadows, vehicles
drive along roads or are parked, and things that look like vehicles but are none (roof
lights, lane marks, trees) are there as well. It is no photograph, and accuracies on it
do not compare with those on photographs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from helpers.data.annotated import Annotated, DetectionDataset
from helpers.errors import DataError

CLASS_NAMES = ("car", "large vehicle")
MIN_SIDE = 32

_VIEW = (20.0, 34.0)  # metres across the picture
_SIZES = (((4.1, 4.9), (1.7, 1.95)), ((6.0, 9.0), (2.1, 2.5)))  # length, width of a class
_LARGE = 0.28  # share of the vehicles
_PAINT = np.array(
    [
        [0.90, 0.90, 0.90],
        [0.72, 0.73, 0.75],
        [0.45, 0.46, 0.48],
        [0.10, 0.10, 0.12],
        [0.15, 0.22, 0.38],
        [0.62, 0.12, 0.11],
        [0.80, 0.66, 0.18],
        [0.20, 0.42, 0.25],
    ],
    np.float32,
)
_PAINT_SHARE = (0.25, 0.18, 0.16, 0.18, 0.09, 0.08, 0.03, 0.03)
_GLASS = np.array([0.09, 0.11, 0.14], np.float32)
_GROUND = (
    np.array([0.31, 0.37, 0.21], np.float32),  # grass
    np.array([0.60, 0.57, 0.52], np.float32),  # paving
    np.array([0.46, 0.40, 0.33], np.float32),  # soil
)
_SHADOW = 0.45  # light left in a shadow
_EDGE_VISIBLE = 0.4  # share of a vehicle in the picture from which it counts
_TRIES = 30  # places tried for a vehicle


@dataclass(frozen=True)
class _Vehicle:
    """One vehicle in metres: place, half length and width, direction (radians), class."""

    x: float
    y: float
    length: float
    width: float
    heading: float
    label: int

    def extent(self) -> NDArray[np.float64]:
        """Return half the width and height of the upright box around it."""
        c, s = abs(np.cos(self.heading)), abs(np.sin(self.heading))
        return np.array([self.length * c + self.width * s, self.length * s + self.width * c]) / 2


class _Canvas:
    """A picture in the making: pixels, and the place of each in metres."""

    def __init__(self, side: int, view: float, rng: np.random.Generator) -> None:
        self.side, self.view, self.rng = side, view, rng
        self.metres = view / side
        axis = ((np.arange(side) + 0.5) * self.metres).astype(np.float32)
        self.x, self.y = axis[None, :], axis[:, None]
        self.pixels = np.empty((side, side, 3), np.float32)

    def own(self, x: float, y: float, heading: float) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return the coordinates of every pixel, seen from a thing with this place and heading."""
        c, s = np.float32(np.cos(heading)), np.float32(np.sin(heading))
        dx, dy = self.x - np.float32(x), self.y - np.float32(y)
        return c * dx + s * dy, c * dy - s * dx

    def cover(self, depth: NDArray[np.floating]) -> NDArray[np.float32]:
        """Turn depth in metres (positive inside) into the share of each pixel that is covered."""
        return np.clip(depth / self.metres + 0.5, 0.0, 1.0).astype(np.float32)

    def paint(self, cover: NDArray[np.float32], colour: NDArray[np.floating]) -> None:
        """Lay a colour over what is there."""
        self.pixels += cover[..., None] * (colour - self.pixels)

    def shade(self, cover: NDArray[np.float32]) -> None:
        """Lay a shadow over what is there."""
        self.pixels *= 1.0 - cover[..., None] * (1.0 - _SHADOW)

    def noise(self, cell: float) -> NDArray[np.float32]:
        """Return a smooth surface of unit deviation or so, with hills of this size in metres."""
        from scipy.ndimage import map_coordinates

        nodes = self.rng.normal(size=(int(self.view / cell) + 3,) * 2)
        at = np.meshgrid(self.y[:, 0] / cell, self.x[0] / cell, indexing="ij")
        return map_coordinates(nodes, at, order=1).astype(np.float32)


def _rectangle(
    u: NDArray[np.floating], v: NDArray[np.floating], length: float, width: float, corner: float
) -> NDArray[np.floating]:
    """Return the depth inside a rectangle with round corners, in metres."""
    a, b = np.abs(u) - length / 2 + corner, np.abs(v) - width / 2 + corner
    outside = np.hypot(np.maximum(a, 0), np.maximum(b, 0))
    return corner - outside - np.minimum(np.maximum(a, b), 0)


def _ground(canvas: _Canvas) -> None:
    rng = canvas.rng
    first, second = (_GROUND[i] for i in rng.choice(3, 2, p=(0.4, 0.4, 0.2)))
    mixed = canvas.cover(canvas.noise(canvas.view / 3) * 2.0)
    canvas.pixels[:] = first
    canvas.paint(mixed, second)
    canvas.pixels *= 1.0 + 0.05 * canvas.noise(1.2)[..., None] + 0.04 * canvas.noise(0.4)[..., None]


def _road(canvas: _Canvas, x: float, y: float, heading: float, lanes: int) -> None:
    """Draw an endless road through a point: asphalt, kerbs, lane marks."""
    rng, width = canvas.rng, 3.2 * lanes
    u, v = canvas.own(x, y, heading)
    u, v = np.broadcast_arrays(u, v)
    asphalt = np.full(3, rng.uniform(0.30, 0.46)) + rng.uniform(-0.01, 0.01, 3)
    canvas.paint(canvas.cover(width / 2 + 0.25 - np.abs(v)), np.array([0.66, 0.65, 0.62]))
    canvas.paint(canvas.cover(width / 2 - np.abs(v)), asphalt)
    for line in range(1, lanes):
        at = line * 3.2 - width / 2
        dash = np.minimum(0.09 - np.abs(v - at), 0.9 - np.abs((u % 5.0) - 2.5))
        canvas.paint(0.9 * canvas.cover(dash), np.array([0.85, 0.85, 0.82]))


def _buildings(canvas: _Canvas, free: list[NDArray[np.float64]], sun: NDArray[np.float64]) -> None:
    """Draw roofs with their shadows and roof lights, away from roads."""
    rng = canvas.rng
    for _ in range(int(rng.integers(0, 3))):
        x, y = rng.uniform(0, canvas.view, 2)
        length, width = rng.uniform(7, 16), rng.uniform(5, 10)
        if _near_road(free, x, y, max(length, width) / 2 + 1.0):
            continue
        heading = float(free[0][2]) + rng.choice([0.0, np.pi / 2])
        height = rng.uniform(3, 8)
        shadow = canvas.own(x + 0.5 * sun[0] * height, y + 0.5 * sun[1] * height, heading)
        canvas.shade(canvas.cover(_rectangle(*shadow, length, width, 0.1)))
        roof = rng.choice([[0.55, 0.28, 0.20], [0.45, 0.45, 0.46], [0.62, 0.58, 0.52]])
        u, v = canvas.own(x, y, heading)
        light = 1.0 if rng.random() < 0.4 else np.where(v > 0, 1.12, 0.85)[..., None]
        canvas.paint(canvas.cover(_rectangle(u, v, length, width, 0.1)), roof * light)
        for _ in range(int(rng.integers(0, 4))):  # roof lights: small bright or dark rectangles
            at = rng.uniform(-0.35, 0.35, 2) * (length, width)
            size = rng.uniform(0.8, 2.4, 2)
            lit = canvas.cover(_rectangle(u - at[0], v - at[1], size[0], size[1], 0.05))
            canvas.paint(lit, np.full(3, rng.choice([0.2, 0.8])))


def _trees(canvas: _Canvas, free: list[NDArray[np.float64]], sun: NDArray[np.float64]) -> None:
    """Draw crowns with their shadows, beside roads."""
    rng = canvas.rng
    for _ in range(int(rng.integers(0, 7))):
        x, y = rng.uniform(0, canvas.view, 2)
        radius = rng.uniform(0.9, 2.6)
        if _near_road(free, x, y, radius * 0.8):
            continue
        shadow = canvas.own(x + sun[0] * 2, y + sun[1] * 2, 0.0)
        canvas.shade(canvas.cover(radius - np.hypot(*shadow)))
        u, v = canvas.own(x, y, 0.0)
        ragged = radius * (1.0 + 0.12 * canvas.noise(0.7)) - np.hypot(u, v)
        green = np.array([0.17, 0.28, 0.13]) * rng.uniform(0.7, 1.4)
        lit = 1.0 - 0.25 * (u * sun[0] + v * sun[1]) / radius + 0.12 * canvas.noise(0.5)
        canvas.paint(canvas.cover(ragged), green * lit[..., None])


def _near_road(roads: list[NDArray[np.float64]], x: float, y: float, room: float) -> bool:
    for at_x, at_y, heading, width in roads:
        across = np.cos(heading) * (y - at_y) - np.sin(heading) * (x - at_x)
        if abs(across) < width / 2 + room:
            return True
    return False


def _park(
    roads: list[NDArray[np.float64]], view: float, rng: np.random.Generator
) -> list[_Vehicle]:
    """Choose vehicles: most along a road's lanes, some anywhere; none on top of another."""
    placed: list[_Vehicle] = []
    for _ in range(int(rng.integers(1, 8))):
        label = int(rng.random() < _LARGE)
        length, width = (rng.uniform(*limits) for limits in _SIZES[label])
        for _ in range(_TRIES):
            x, y, heading = _place(roads, view, rng)
            vehicle = _Vehicle(x, y, length, width, heading, label)
            if 0 < x < view and 0 < y < view and all(_apart(vehicle, o) for o in placed):
                placed.append(vehicle)
                break
    return placed


def _place(
    roads: list[NDArray[np.float64]], view: float, rng: np.random.Generator
) -> tuple[float, float, float]:
    if rng.random() < 0.15:  # on a car park or in a yard
        return rng.uniform(0, view), rng.uniform(0, view), rng.uniform(0, np.pi)
    at_x, at_y, heading, width = roads[rng.integers(len(roads))]
    lanes = round(width / 3.2)
    across = (rng.integers(lanes) + 0.5) * 3.2 - width / 2 + rng.normal(0, 0.15)
    along = rng.uniform(-view, view)
    x = at_x + along * np.cos(heading) - across * np.sin(heading)
    y = at_y + along * np.sin(heading) + across * np.cos(heading)
    return float(x), float(y), float(heading + rng.normal(0, 0.04) + np.pi * rng.integers(2))


def _apart(one: _Vehicle, other: _Vehicle) -> bool:
    """Whether some direction separates two turned rectangles (the separating-axis theorem)."""
    gap = np.array([other.x - one.x, other.y - one.y])
    for heading in (one.heading, other.heading):
        for turn in (0.0, np.pi / 2):
            axis = np.array([np.cos(heading + turn), np.sin(heading + turn)])
            reach = 0.35  # metres between them
            for v in (one, other):
                ahead = abs(axis @ [np.cos(v.heading), np.sin(v.heading)])
                aside = abs(axis @ [-np.sin(v.heading), np.cos(v.heading)])
                reach += (v.length * ahead + v.width * aside) / 2
            if abs(axis @ gap) > reach:
                return True
    return False


def _vehicle(canvas: _Canvas, it: _Vehicle, sun: NDArray[np.float64]) -> None:
    """Draw one vehicle: shadow, body, glass, and for a large one its load or roof."""
    rng, large = canvas.rng, it.label == 1
    paint = _PAINT[rng.choice(len(_PAINT), p=_PAINT_SHARE)] * rng.uniform(0.9, 1.08)
    height = 1.3 if large else 0.6
    shadow = canvas.own(it.x + sun[0] * height, it.y + sun[1] * height, it.heading)
    canvas.shade(canvas.cover(_rectangle(*shadow, it.length, it.width, 0.3)))
    u, v = canvas.own(it.x, it.y, it.heading)
    body = canvas.cover(_rectangle(u, v, it.length, it.width, 0.25 if large else 0.55))
    canvas.paint(body, paint)
    if large:
        front = canvas.cover(_rectangle(u - 0.46 * it.length, v, 0.35, it.width * 0.85, 0.1))
        canvas.paint(front * body, _GLASS)
        load = canvas.cover(
            _rectangle(u + 0.1 * it.length, v, 0.7 * it.length, it.width - 0.3, 0.1)
        )
        canvas.paint(0.5 * load, np.full(3, rng.uniform(0.4, 0.9)))
        return
    for at, size in ((0.13, 0.6), (-0.30, 0.5)):  # windscreen, rear window
        glass = _rectangle(u - at * it.length, v, size, it.width * 0.78, 0.12)
        canvas.paint(0.9 * canvas.cover(glass), _GLASS)
    roof = _rectangle(u + 0.09 * it.length, v, 0.30 * it.length, it.width * 0.72, 0.2)
    canvas.paint(0.5 * canvas.cover(roof), np.minimum(paint * 1.15 + 0.03, 1.0))


def _camera(canvas: _Canvas) -> NDArray[np.float32]:
    """Light, tint, a little blur and noise of a real camera."""
    from scipy.ndimage import gaussian_filter

    rng = canvas.rng
    tinted = canvas.pixels * rng.uniform(0.75, 1.15) * rng.uniform(0.95, 1.05, 3)
    blurred = gaussian_filter(tinted, (*([rng.uniform(0.3, 0.6)] * 2), 0))
    noisy = blurred + rng.normal(0.0, rng.uniform(0.004, 0.02), blurred.shape)
    return np.clip(noisy, 0.0, 1.0).astype(np.float32)


def draw(
    side: int, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int32], NDArray[np.bool_]]:
    """Draw one picture.

    Parameters
    ----------
    side : int
        Height and width in pixels, at least 32.
    rng : numpy.random.Generator
        Source of all randomness.

    Returns
    -------
    image : numpy.ndarray
        float32 ``(side, side, 3)`` in [0, 1].
    boxes : numpy.ndarray
        float32 ``(k, 4)``: the part of each vehicle's upright box within the picture; shadows do
        not count.
    labels : numpy.ndarray
        int32 ``(k,)``, indices into `CLASS_NAMES`.
    cut : numpy.ndarray
        bool ``(k,)``: whether less than two fifths of the box is within the picture.

    Raises
    ------
    DataError
        If the side is below 32.
    """
    if side < MIN_SIDE:
        raise DataError(f"side={side} must be at least {MIN_SIDE}: a car would be a pixel wide.")
    view = rng.uniform(*_VIEW)
    canvas = _Canvas(side, view, rng)
    _ground(canvas)
    first = rng.uniform(0, np.pi)
    headings = [first, *([first + rng.uniform(1.2, 1.9)] * (rng.random() < 0.35))]
    roads = []
    for heading in headings:
        x, y = rng.uniform(0.25, 0.75, 2) * view
        lanes = int(rng.integers(2, 5))
        roads.append(np.array([x, y, heading, 3.2 * lanes]))
    for x, y, heading, width in roads:
        _road(canvas, x, y, heading, round(width / 3.2))
    angle = rng.uniform(0, 2 * np.pi)
    sun = rng.uniform(0.3, 1.1) * np.array([np.cos(angle), np.sin(angle)])
    vehicles = _park(roads, view, rng)
    _buildings(canvas, roads, sun)
    _trees(canvas, roads, sun)
    for vehicle in vehicles:
        _vehicle(canvas, vehicle, sun)
    return (_camera(canvas), *_annotate(vehicles, side, view))


def _annotate(
    vehicles: list[_Vehicle], side: int, view: float
) -> tuple[NDArray[np.float32], NDArray[np.int32], NDArray[np.bool_]]:
    whole = np.array(
        [np.tile([v.x, v.y], 2) + np.repeat([-1, 1], 2) * np.tile(v.extent(), 2) for v in vehicles]
    ).reshape(-1, 4)
    boxes = np.clip(whole * side / view, 0, side).astype(np.float32)
    share = _area(boxes) / _area(whole * side / view)
    labels = np.array([v.label for v in vehicles], np.int32)
    return boxes, labels, share < _EDGE_VISIBLE


def _area(boxes: NDArray[np.floating]) -> NDArray[np.floating]:
    return np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)


def aerial_scenes(
    num_train: int = 1000,
    num_test: int = 200,
    side: int = 96,
    seed: int = 0,
    progress: bool = False,
) -> DetectionDataset:
    """Draw pictures of streets from above, with the boxes of the vehicles.

    Parameters
    ----------
    num_train, num_test : int
        Pictures of each part, at least 1.
    side : int
        Height and width in pixels, at least 32.
    seed : int
        Fixes everything. Picture ``i`` does not depend on how many there are.
    progress : bool
        Whether to show a progress bar.

    Returns
    -------
    DetectionDataset
        Labelled synthetic; every picture is a scene of its own part.

    Raises
    ------
    DataError
        If a number is too small.
    """
    if min(num_train, num_test) < 1:
        raise DataError(f"num_train={num_train} and num_test={num_test} must be at least 1.")
    with tqdm(total=num_train + num_test, desc="draw scenes", disable=not progress) as bar:
        train, test = (
            _part(count, side, [seed, part], part, bar)
            for part, count in enumerate((num_train, num_test))
        )
    return DetectionDataset(
        name="aerial_scenes",
        train=train,
        test=test,
        class_names=CLASS_NAMES,
        scene_names=("drawn for training", "drawn for testing"),
        source="synthetic",
        origin=f"streets drawn from seed {seed}; no photograph is in here",
        licence="Apache-2.0, as the code that drew them",
        citation="This repository, helpers/data/aerial_drawn.py.",
    )


def _part(count: int, side: int, seed: list[int], scene: int, bar: tqdm) -> Annotated:
    drawn = []
    for i in range(count):
        drawn.append(draw(side, np.random.default_rng([*seed, i])))
        bar.update()
    images, boxes, labels, cut = zip(*drawn, strict=True)
    return Annotated(np.stack(images), boxes, labels, cut, np.full(count, scene, np.int32))
