"""Anchors: a fixed grid of boxes that a single-shot detector corrects, and what each has to learn.

The shapes fit what is looked for: from above, a car that stands along the picture is 17 by 7
pixels of 96, one across it 17 by 17.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from helpers.errors import RobustnessError
from helpers.robustness.detection.boxes import encode_boxes, iou

STRIDES = (8, 16)
# Geometric mean of the sides in pixels of a 96-pixel picture, and width over height, by stride.
SHAPES = (
    (
        *((9.0, 1.0), (13.0, 1.0), (17.5, 1.0), (23.0, 1.0)),
        *((11.5, 2.2), (11.5, 1 / 2.2), (17.0, 2.6), (17.0, 1 / 2.6)),
    ),
    ((23.0, 1.0), (31.0, 1.0), (20.0, 3.0), (20.0, 1 / 3.0)),
)
_REFERENCE_SIDE = 96
POSITIVE, NEGATIVE = 0.45, 0.35  # IoU from which an anchor must find, and below which it must not


class Matched(NamedTuple):
    """What each anchor has to learn of one image.

    Attributes
    ----------
    classes
        float32 ``(anchors, num_classes)``: 1 where the anchor is to find an object of that class.
    offsets
        float32 ``(anchors, 4)``: where; 0 for the others.
    counted
        float32 ``(anchors,)``: 0 where the anchor is to learn nothing, as it half overlaps an
        object or covers one cut by the edge.
    """

    classes: NDArray[np.float32]
    offsets: NDArray[np.float32]
    counted: NDArray[np.float32]


def ssd_anchors(side: int = 96) -> NDArray[np.float32]:
    """Return the anchors of :func:`~helpers.robustness.detection.ssd.build_ssd`.

    Parameters
    ----------
    side
        Height and width of the input, a multiple of 16.

    Returns
    -------
    numpy.ndarray
        float32 ``(anchors, 4)``, in the order of the network's output: by level, row, column,
        shape. 1,296 at 96 pixels.

    Raises
    ------
    RobustnessError
        If the side is not a multiple of 16.
    """
    if side < STRIDES[-1] or side % STRIDES[-1]:
        raise RobustnessError(f"side={side} must be a multiple of {STRIDES[-1]}.")
    levels = []
    for stride, shapes in zip(STRIDES, SHAPES, strict=True):
        centres = (np.arange(side // stride) + 0.5) * stride
        y, x = np.meshgrid(centres, centres, indexing="ij")
        size, ratio = np.array(shapes).T
        size = size * side / _REFERENCE_SIDE
        half = np.stack([size * np.sqrt(ratio), size / np.sqrt(ratio)], axis=1) / 2
        middle = np.stack([x, y], axis=-1)[:, :, None, :]
        level = np.concatenate([middle - half, middle + half], axis=-1)
        levels.append(level.reshape(-1, 4))
    return np.concatenate(levels).astype(np.float32)


def match_anchors(
    anchors: NDArray[np.floating],
    boxes: NDArray[np.floating],
    labels: NDArray[np.integer],
    num_classes: int,
    cut: NDArray[np.bool_] | None = None,
) -> Matched:
    """Say which anchor is to find which object.

    An anchor takes the object that it overlaps most, from an IoU of 0.45. Every object gets the
    anchor that overlaps it most, however little that is, or small ones would teach nothing.

    Parameters
    ----------
    anchors
        ``(anchors, 4)``.
    boxes, labels
        ``(k, 4)`` and ``(k,)`` of one image.
    num_classes
        Classes.
    cut
        ``(k,)``: objects that count neither way.

    Returns
    -------
    Matched
        Targets.
    """
    classes = np.zeros((len(anchors), num_classes), np.float32)
    offsets = np.zeros((len(anchors), 4), np.float32)
    counted = np.ones(len(anchors), np.float32)
    whole = np.ones(len(boxes), bool) if cut is None else ~cut
    if (~whole).any():
        counted[iou(anchors, boxes[~whole]).max(axis=1) >= NEGATIVE] = 0.0
    boxes, labels = boxes[whole], labels[whole]
    if not len(boxes):
        return Matched(classes, offsets, counted)
    overlaps = iou(anchors, boxes)
    owner = overlaps.argmax(axis=1)
    best = overlaps.max(axis=1)
    found = best >= POSITIVE
    counted[(best >= NEGATIVE) & ~found] = 0.0
    for box in range(len(boxes)):  # the last of two objects with one best anchor gets it
        anchor = overlaps[:, box].argmax()
        owner[anchor], found[anchor] = box, True
    rows = np.flatnonzero(found)
    counted[rows] = 1.0
    classes[rows, labels[owner[rows]]] = 1.0
    offsets[rows] = encode_boxes(boxes[owner[rows]], anchors[rows])
    return Matched(classes, offsets, counted)
