"""Boxes: overlap, the code that a detector learns, and keeping one of many that overlap.

A box is x1, y1, x2, y2 in pixels; coordinates are continuous, so its width is ``x2 - x1``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from helpers.errors import RobustnessError

# Liu et al., SSD: what makes offsets of centre and of size about as large as each other.
CENTRE_SCALE, SIZE_SCALE = 0.1, 0.2
_MAX_LOG_SIZE = 4.0  # keeps a wild prediction finite


@dataclass(frozen=True, eq=False)
class Truth:
    """What there is to be found in one image.

    Parameters
    ----------
    boxes
        ``(k, 4)``.
    labels
        ``(k,)`` class indices.
    crowd
        ``(k,)``; true for a region that is neither to be found nor wrong to be found in: a crowd
        in COCO, a difficult object in VOC, a vehicle cut by the edge. None for none.
    area
        ``(k,)``, pixels that COCO's size classes go by; None takes the area of the box.

    Raises
    ------
    RobustnessError
        If the shapes do not fit together or a box is empty.
    """

    boxes: NDArray[Any]
    labels: NDArray[Any]
    crowd: NDArray[Any] = None  # type: ignore[assignment]
    area: NDArray[Any] = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        boxes, labels = _checked(self.boxes, self.labels)
        crowd = np.zeros(len(labels), bool) if self.crowd is None else np.asarray(self.crowd, bool)
        area = box_area(boxes) if self.area is None else np.asarray(self.area, np.float64)
        if crowd.shape != labels.shape or area.shape != labels.shape:
            raise RobustnessError(
                f"crowd {crowd.shape} and area {area.shape} must be ({len(labels)},), one a box."
            )
        for name, value in (("boxes", boxes), ("labels", labels), ("crowd", crowd), ("area", area)):
            object.__setattr__(self, name, value)


@dataclass(frozen=True, eq=False)
class Detections:
    """What a detector found in one image.

    Parameters
    ----------
    boxes
        ``(k, 4)``.
    scores
        ``(k,)``, higher is surer; finite.
    labels
        ``(k,)`` class indices.

    Raises
    ------
    RobustnessError
        If the shapes do not fit together or a number is not finite.
    """

    boxes: NDArray[Any]
    scores: NDArray[Any]
    labels: NDArray[Any]

    def __post_init__(self) -> None:
        boxes, labels = _checked(self.boxes, self.labels)
        scores = np.asarray(self.scores, np.float64)
        if scores.shape != labels.shape or not np.isfinite(scores).all():
            raise RobustnessError(
                f"scores {scores.shape} must be ({len(labels)},), finite, one a box."
            )
        for name, value in (("boxes", boxes), ("labels", labels), ("scores", scores)):
            object.__setattr__(self, name, value)

    def __len__(self) -> int:
        return len(self.labels)

    def above(self, score: float) -> Detections:
        """Return those with at least this score."""
        kept = self.scores >= score
        return Detections(self.boxes[kept], self.scores[kept], self.labels[kept])


def _checked(boxes: ArrayLike, labels: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    corners, classes = np.asarray(boxes, np.float64), np.asarray(labels)
    if corners.size == 0:
        corners = corners.reshape(0, 4)
    if corners.ndim != 2 or corners.shape[1] != 4 or classes.shape != (len(corners),):
        raise RobustnessError(
            f"boxes {corners.shape} and labels {classes.shape}: expected (k, 4) and (k,)."
        )
    if not np.isfinite(corners).all() or (corners[:, 2:] < corners[:, :2]).any():
        raise RobustnessError("A box must be finite, with x1 <= x2 and y1 <= y2.")
    if len(classes) and (classes.dtype.kind not in "iu" or classes.min() < 0):
        raise RobustnessError("labels must be class indices: whole numbers of at least 0.")
    return corners, classes.astype(np.int64)


def box_area(boxes: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return the area of each box, ``(k,)``, in square pixels."""
    return np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)


def iou(
    first: NDArray[np.floating],
    second: NDArray[np.floating],
    crowd: NDArray[np.bool_] | None = None,
) -> NDArray[np.floating]:
    """Return the intersection over union of every pair of boxes.

    Parameters
    ----------
    first, second
        ``(n, 4)`` and ``(m, 4)``.
    crowd
        ``(m,)``: where true, the intersection is divided by the area of the first box alone, as
        COCO does for a region of many objects.

    Returns
    -------
    numpy.ndarray
        ``(n, m)`` in [0, 1]; 0 where both boxes are empty.
    """
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    sides = np.maximum(high - low, 0)
    both = sides[..., 0] * sides[..., 1]
    own = box_area(first)[:, None]
    union = own + box_area(second)[None, :] - both
    if crowd is not None:
        union = np.where(crowd[None, :], own, union)
    return np.divide(both, union, out=np.zeros_like(both), where=union > 0)


def encode_boxes(boxes: NDArray[np.floating], anchors: NDArray[np.floating]) -> NDArray[np.float32]:
    """Write each box as an offset from its anchor, the code that the network learns.

    The centre moves in units of a tenth of the anchor's side; the size grows by a factor, whose
    logarithm counts in units of a fifth.

    Parameters
    ----------
    boxes, anchors
        ``(k, 4)`` each, not empty boxes.

    Returns
    -------
    numpy.ndarray
        float32 ``(k, 4)``: x, y, log width, log height.

    References
    ----------
    Liu et al., *SSD: single shot multibox detector*, ECCV 2016, equation 2; the scales are in the
    authors' code.
    """
    size, anchor_size = boxes[:, 2:] - boxes[:, :2], anchors[:, 2:] - anchors[:, :2]
    gap = (boxes[:, :2] + boxes[:, 2:]) / 2 - (anchors[:, :2] + anchors[:, 2:]) / 2
    centre = gap / anchor_size / CENTRE_SCALE
    growth = np.log(size / anchor_size) / SIZE_SCALE
    return np.concatenate([centre, growth], axis=1).astype(np.float32)


def decode_boxes(
    offsets: NDArray[np.floating], anchors: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Undo :func:`encode_boxes`; ``(..., k, 4)`` offsets give boxes of the same shape."""
    anchor_size = anchors[:, 2:] - anchors[:, :2]
    middle = (anchors[:, :2] + anchors[:, 2:]) / 2 + offsets[..., :2] * CENTRE_SCALE * anchor_size
    growth = np.clip(offsets[..., 2:] * SIZE_SCALE, -_MAX_LOG_SIZE, _MAX_LOG_SIZE)
    half = anchor_size * np.exp(growth.astype(np.float64)) / 2
    return np.concatenate([middle - half, middle + half], axis=-1)


def non_maximum_suppression(
    boxes: NDArray[np.floating], scores: NDArray[np.floating], overlap: float = 0.5
) -> NDArray[np.int64]:
    """Keep the best of boxes that overlap.

    Parameters
    ----------
    boxes
        ``(k, 4)`` of one class.
    scores
        ``(k,)``.
    overlap
        A box is dropped if its IoU with a better one that is kept is above this.

    Returns
    -------
    numpy.ndarray
        int64, indices of the boxes to keep, the best first; the earlier of two with one score.

    Raises
    ------
    RobustnessError
        If there is not one finite score a box, or the overlap is no share.
    """
    if boxes.shape != (len(scores), 4) or not np.isfinite(scores).all():
        raise RobustnessError(
            f"boxes {boxes.shape} and scores {scores.shape}: expected (k, 4), and (k,) finite."
        )
    if not 0 <= overlap <= 1:
        raise RobustnessError(f"overlap={overlap!r} must be a share from 0 to 1.")
    order = np.argsort(-scores, kind="stable")
    overlaps = iou(boxes[order], boxes[order]) > overlap
    alive = np.ones(len(order), bool)
    for i in range(len(order)):
        if alive[i]:
            alive[i + 1 :] &= ~overlaps[i, i + 1 :]
    return order[alive]
