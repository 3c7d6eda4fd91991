"""Things that hide objects: tree crowns over them, and a printed patch stuck on them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from helpers.robustness._checks import require_whole
from helpers.robustness.perturbations.image import (
    Image,
    fractal_noise,
    perturbation,
    require_boxes,
    require_image,
    smooth_noise,
    to_coded,
    to_linear,
)

OCCLUDED_SHARE = (0.10, 0.20, 0.30, 0.40, 0.50)  # of each object's box, or of the picture
_LEAVES = np.array([0.035, 0.075, 0.025], np.float32)  # linear
_CROWN = (0.45, 0.80)  # radius, in diagonals of the box

PATCH_SHARE = (0.04, 0.08, 0.12, 0.18, 0.25)  # area of the patch, of the object's box
_PRINTED = (0.05, 0.80)  # linear light of a printer's black and of white paper in daylight
_PICTURE_BOX = 0.35  # without boxes, side of the place for one patch, of the picture


@perturbation
def occlusion(
    image: Image,
    severity: int,
    rng: np.random.Generator,
    boxes: NDArray[np.floating] | None = None,
) -> NDArray[np.floating]:
    """Hide a part of every object under the crown of a tree.

    A disc of foliage comes in over each box from a random side, until it covers 10, 20, 30, 40 or
    50 % of the box. It reaches beyond the box, as a tree does, so it gives the box away to no
    detector; where objects stand close it may hide a part of a neighbour as well. The boxes stay
    as they are: the whole object is still to be found. Without boxes, foliage covers that share of
    the picture. The constants are ours.

    Parameters
    ----------
    image
        float32 ``(h, w, 3)`` in [0, 1].
    severity
        0 (unchanged) to 5.
    rng
        Draws sides, sizes and leaves.
    boxes
        ``(k, 4)``: x1, y1, x2, y2 in pixels; None where nothing is known of objects.

    Returns
    -------
    numpy.ndarray
        float32, as the image.

    Raises
    ------
    RobustnessError
        If the image, the severity or the boxes are not as said.
    """
    share = OCCLUDED_SHARE[severity - 1]
    shape = image.shape[:2]
    leaves = np.clip(1.0 + 0.45 * fractal_noise(shape, rng, 1.3), 0.15, 3.0)[..., None]
    if boxes is None:
        surface = smooth_noise(shape, rng, 6)
        hidden = surface >= np.quantile(surface, 1.0 - share)
    else:
        require_boxes(boxes)
        hidden = np.zeros(shape, bool)
        for box in boxes:
            hidden |= _crown(shape, box, share, rng)
    return np.where(hidden[..., None], to_coded(_LEAVES * leaves), image)


def _crown(
    shape: tuple[int, ...], box: NDArray[np.floating], share: float, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Return where a disc lies that covers this share of the box."""
    x = np.arange(shape[1])[None, :] + 0.5
    y = np.arange(shape[0])[:, None] + 0.5
    angle = rng.uniform(0.0, 2 * np.pi)
    radius = rng.uniform(*_CROWN) * float(np.hypot(box[2] - box[0], box[3] - box[1]))
    middle = (box[:2] + box[2:]) / 2
    far = radius + float(np.hypot(*(box[2:] - box[:2])))

    def distance_squared(
        x: NDArray[np.floating], y: NDArray[np.floating], away: float
    ) -> NDArray[np.floating]:
        across = x - middle[0] - away * np.cos(angle)
        return across**2 + (y - middle[1] - away * np.sin(angle)) ** 2

    grid = (np.arange(24) + 0.5) / 24
    in_x = box[0] + grid[None, :] * (box[2] - box[0])
    in_y = box[1] + grid[:, None] * (box[3] - box[1])
    near = 0.0
    for _ in range(16):  # the further away, the less it covers
        away = (near + far) / 2
        covered = (distance_squared(in_x, in_y, away) <= radius**2).mean()
        near, far = (away, far) if covered > share else (near, away)
    return distance_squared(x, y, near) <= radius**2


def default_patch(side: int = 32, seed: int = 0) -> Image:
    """Return a gaudy pattern for :func:`printed_patch`, made by no attack.

    It shows what any sticker does; a patch that was optimised against a detector has to do better.

    Parameters
    ----------
    side
        Pixels, at least 2.
    seed
        Of the colours.

    Returns
    -------
    numpy.ndarray
        float32 ``(side, side, 3)`` in [0, 1].

    Raises
    ------
    RobustnessError
        If the side is no whole number from 2 on.
    """
    require_whole("side", side, at_least=2)
    colours = np.random.default_rng(seed).random((4, 4, 3)) > 0.5
    at = np.arange(side) * 4 // side
    return colours[at[:, None], at[None, :]].astype(np.float32)


@perturbation
def printed_patch(
    image: Image,
    severity: int,
    rng: np.random.Generator,
    boxes: NDArray[np.floating] | None = None,
    patch: Image | None = None,
) -> NDArray[np.floating]:
    """Stick a printed patch on every object.

    What a printer can do and what a camera sees limit an attacker: black ink reflects some light
    and paper not all of it, the patch lies at an angle that nobody chose, and it is lit as the
    scene is. Its area is 4, 8, 12, 18 or 25 % of the object's box. The constants are ours.

    Parameters
    ----------
    image
        float32 ``(h, w, 3)`` in [0, 1].
    severity
        0 (unchanged) to 5.
    rng
        Draws angle, place and the light on it.
    boxes
        ``(k, 4)``: x1, y1, x2, y2 in pixels. None puts one patch somewhere in the picture.
    patch
        float32 ``(a, b, 3)`` in [0, 1], such as an attack made; None takes
        :func:`default_patch`.

    Returns
    -------
    numpy.ndarray
        float32, as the image.

    Raises
    ------
    RobustnessError
        If the image, the severity, the boxes or the patch are not as said.
    """
    pattern = default_patch() if patch is None else patch
    require_image(pattern)
    dark, light = _PRINTED
    printed = to_coded((dark + (light - dark) * to_linear(pattern)) * rng.uniform(0.6, 1.0))
    if boxes is None:
        height, width = image.shape[:2]
        side = _PICTURE_BOX * np.sqrt(height * width)
        x = rng.uniform(0.0, max(width - side, 1e-6))
        y = rng.uniform(0.0, max(height - side, 1e-6))
        boxes = np.array([[x, y, x + side, y + side]])
    require_boxes(boxes)
    changed = image.copy()
    for box in boxes:
        _stick(changed, printed, box, PATCH_SHARE[severity - 1], rng)
    return changed


def _stick(
    image: Image,
    printed: NDArray[np.floating],
    box: NDArray[np.floating],
    share: float,
    rng: np.random.Generator,
) -> None:
    """Paint the patch over the image in place, turned, each pixel an average of four by four."""
    width, height = float(box[2] - box[0]), float(box[3] - box[1])
    half = np.sqrt(share * width * height) / 2
    turn = rng.uniform(0.0, 2 * np.pi)
    room = 0.5 - min(0.5, half / min(width, height))  # keeps the middle of the patch inside
    middle = (box[:2] + box[2:]) / 2 + rng.uniform(-room, room, 2) * (width, height)
    reach = half * np.sqrt(2)
    low = np.maximum(np.floor(middle - reach), 0).astype(int)
    high = np.minimum(np.ceil(middle + reach), (image.shape[1], image.shape[0])).astype(int)
    if (high <= low).any():
        return
    fine = 4
    x = low[0] + (np.arange((high[0] - low[0]) * fine) + 0.5)[None, :] / fine - middle[0]
    y = low[1] + (np.arange((high[1] - low[1]) * fine) + 0.5)[:, None] / fine - middle[1]
    u = (np.cos(turn) * x + np.sin(turn) * y) / (2 * half) + 0.5
    v = (np.cos(turn) * y - np.sin(turn) * x) / (2 * half) + 0.5
    on = (u >= 0) & (u < 1) & (v >= 0) & (v < 1)
    rows = np.clip((v * printed.shape[0]).astype(int), 0, printed.shape[0] - 1)
    columns = np.clip((u * printed.shape[1]).astype(int), 0, printed.shape[1] - 1)
    ink = np.where(on[..., None], printed[rows, columns], 0.0)
    blocks = (high[1] - low[1], fine, high[0] - low[0], fine)
    part = image[low[1] : high[1], low[0] : high[0]]
    cover = on.reshape(blocks).mean(axis=(1, 3))[..., None]
    part[:] = part * (1.0 - cover) + ink.reshape(*blocks, 3).mean(axis=(1, 3))
