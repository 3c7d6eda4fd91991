"""All perturbations by name, over one image or a batch, boxes included."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from helpers.errors import RobustnessError
from helpers.robustness.perturbations import blur, lens, objects, sensor, weather
from helpers.robustness.perturbations.image import Image, require_boxes

Boxes = NDArray[np.float32]


class Perturbed(NamedTuple):
    """One spoilt image, and its boxes where they are now.

    Attributes
    ----------
    image
        float32 ``(h, w, 3)``.
    boxes
        float32 ``(k, 4)``, or None where none were given.
    """

    image: Image
    boxes: Boxes | None


class PerturbedBatch(NamedTuple):
    """Spoilt images, and their boxes where they are now.

    Attributes
    ----------
    images
        float32 ``(n, h, w, 3)``.
    boxes
        One float32 ``(k, 4)`` an image, or None where none were given.
    """

    images: NDArray[np.float32]
    boxes: tuple[Boxes, ...] | None


@dataclass(frozen=True)
class Perturbation:
    """One perturbation, and what is known of it.

    Attributes
    ----------
    name, title
        Key, and words for a figure.
    change
        The function: image, severity, generator, to image. It takes boxes too if ``needs_boxes``.
    constants
        Where its five severities come from: ``"ImageNet-C"`` or ``"ours"``.
    needs_boxes
        Whether it acts on objects when their boxes are known.
    moves_boxes
        Whether objects are elsewhere afterwards.
    """

    name: str
    title: str
    change: Callable[..., Image]
    constants: str
    needs_boxes: bool = False
    moves_boxes: bool = False


_OURS, _PUBLISHED = "ours", "ImageNet-C"
PERTURBATIONS: dict[str, Perturbation] = {
    p.name: p
    for p in (
        Perturbation("motion_blur", "motion blur", blur.motion_blur, _PUBLISHED),
        Perturbation("defocus", "defocus", blur.defocus, _PUBLISHED),
        Perturbation("fog", "fog", weather.fog, _PUBLISHED),
        Perturbation("rain", "rain", weather.rain, _OURS),
        Perturbation("low_light", "low light", sensor.low_light, _PUBLISHED),
        Perturbation("sun_flare", "sun glare and flare", lens.sun_flare, _OURS),
        Perturbation("vibration", "vibration", blur.vibration, _OURS, moves_boxes=True),
        Perturbation("jpeg", "JPEG", sensor.jpeg, _PUBLISHED),
        Perturbation("lens_dirt", "dirt on the lens", lens.lens_dirt, _OURS),
        Perturbation("occlusion", "occlusion", objects.occlusion, _OURS, needs_boxes=True),
        Perturbation("printed_patch", "printed patch", objects.printed_patch, _OURS, True),
    )
}


def find(name: str) -> Perturbation:
    """Return the perturbation of this name.

    Raises
    ------
    RobustnessError
        If there is none.
    """
    if name not in PERTURBATIONS:
        raise RobustnessError(
            f"There is no perturbation {name!r}: choose one of {', '.join(PERTURBATIONS)}."
        )
    return PERTURBATIONS[name]


def perturb(
    image: Image,
    name: str,
    severity: int,
    rng: np.random.Generator,
    boxes: NDArray[np.floating] | None = None,
) -> Perturbed:
    """Spoil one image, and say where its objects are now.

    Parameters
    ----------
    image
        float32 ``(h, w, 3)`` in [0, 1].
    name
        Key of ``PERTURBATIONS``.
    severity
        0 (unchanged) to 5.
    rng
        Source of all randomness.
    boxes
        ``(k, 4)``: x1, y1, x2, y2 in pixels.

    Returns
    -------
    Perturbed
        The image; the boxes, which only vibration moves.

    Raises
    ------
    RobustnessError
        If the name is unknown, or image, severity or boxes are not as said.
    """
    chosen = find(name)
    if boxes is not None:
        require_boxes(boxes)
    before = copy.deepcopy(rng)
    extra = {"boxes": boxes} if chosen.needs_boxes else {}
    changed = chosen.change(image, severity, rng, **extra)
    if boxes is None:
        return Perturbed(changed, None)
    kept = np.array(boxes, np.float32)
    if chosen.moves_boxes and severity:
        kept = _shaken(kept, blur.row_shifts(image.shape[:2], severity, before)[0], image.shape)
    return Perturbed(changed, kept)


def perturb_batch(
    images: NDArray[np.float32],
    name: str,
    severity: int,
    seed: int = 0,
    boxes: Sequence[NDArray[np.floating]] | None = None,
    progress: bool = False,
) -> PerturbedBatch:
    """Spoil every image, each with a generator of its own.

    Image ``i`` is spoilt in the same way whatever else is in the batch, since its generator is
    ``numpy.random.default_rng([seed, i])``.

    Parameters
    ----------
    images
        float32 ``(n, h, w, 3)`` in [0, 1].
    name, severity
        As for :func:`perturb`.
    seed
        Not negative.
    boxes
        One ``(k, 4)`` an image.
    progress
        Whether to show a progress bar.

    Returns
    -------
    PerturbedBatch
        Images and boxes.

    Raises
    ------
    RobustnessError
        As for :func:`perturb`, or if the numbers of images and boxes differ.
    """
    if boxes is not None and len(boxes) != len(images):
        raise RobustnessError(f"{len(images)} images but boxes for {len(boxes)}: give one each.")
    spoilt = np.empty_like(images)
    moved: list[Boxes] = []
    for i in tqdm(range(len(images)), desc=f"{name} {severity}", disable=not progress):
        rng = np.random.default_rng([seed, i])
        one = perturb(images[i], name, severity, rng, None if boxes is None else boxes[i])
        spoilt[i] = one.image
        if one.boxes is not None:
            moved.append(one.boxes)
    return PerturbedBatch(spoilt, None if boxes is None else tuple(moved))


def _shaken(boxes: Boxes, shifts: NDArray[np.float64], shape: tuple[int, ...]) -> Boxes:
    """Return the smallest boxes that hold what the rows carried away, cut to the picture."""
    height, width = shape[:2]
    dx, dy = shifts
    moved = boxes.copy()
    for box in moved:
        top, bottom = np.clip([int(box[1]), int(np.ceil(box[3]))], 0, height)
        top = min(top, height - 1)
        rows = slice(top, max(bottom, top + 1))
        box[[0, 2]] += dx[rows].min(), dx[rows].max()
        box[[1, 3]] += dy[rows][[0, -1]]
    cut = np.clip(moved, 0, [width, height, width, height]).astype(np.float32)
    # What has left the picture keeps its old box rather than an empty one.
    gone = (cut[:, 2:] - cut[:, :2] < 1.0).any(axis=1)
    return np.where(gone[:, None], boxes, cut)
