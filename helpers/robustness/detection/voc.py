"""The average precision of Pascal VOC: one IoU, and the curve itself rather than 101 points."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from helpers.errors import RobustnessError
from helpers.robustness.detection.boxes import Detections, Truth, iou
from helpers.robustness.detection.metrics import checked_classes

Points = Literal["all", "11"]


def voc_map(
    truth: Sequence[Truth],
    found: Sequence[Detections],
    threshold: float = 0.5,
    points: Points = "all",
    num_classes: int | None = None,
) -> tuple[float, NDArray[np.float64]]:
    """Score detections as Pascal VOC does.

    It differs from COCO at one IoU in three ways: a box is compared only with the object that it
    overlaps most, even if that is taken already; the area under the curve is exact (``"all"``, VOC
    2010 on) or a mean at 11 recalls (``"11"``, VOC 2007); and there is no limit of 100 boxes. A
    ``crowd`` object is VOC's *difficult* one, and what is found on it does not count. Widths here
    are ``x2 - x1``, where VOC's own code, whose pixels are whole, adds one.

    Parameters
    ----------
    truth, found
        One an image, in one order.
    threshold
        IoU from which a box is right, in (0, 1].
    points
        ``"all"`` or ``"11"``.
    num_classes
        None takes the highest label there is.

    Returns
    -------
    mean : float
        Over the classes that have objects; NaN if none has.
    by_class : numpy.ndarray
        float64 ``(num_classes,)``; NaN for a class without objects.

    Raises
    ------
    RobustnessError
        As :func:`~helpers.robustness.detection.metrics.coco_map`, or if the threshold or the points
        are not as said.

    References
    ----------
    Everingham, Van Gool, Williams, Winn and Zisserman, *The Pascal visual object classes (VOC)
    challenge*, IJCV 88(2), 2010, section 4.2.
    """
    if points not in get_args(Points):
        raise RobustnessError(f"points={points!r} must be 'all' or '11'.")
    if not 0 < threshold <= 1:
        raise RobustnessError(f"threshold={threshold!r} must be above 0 and at most 1.")
    classes = checked_classes(truth, found, num_classes)
    by_class = np.full(classes, np.nan)
    for label in range(classes):
        objects = sum(int(((t.labels == label) & ~t.crowd).sum()) for t in truth)
        if objects:
            right = _judged(truth, found, label, threshold)
            by_class[label] = _area(right, objects, points)
    known = by_class[~np.isnan(by_class)]
    return (float(known.mean()) if known.size else float("nan")), by_class


def _judged(
    truth: Sequence[Truth], found: Sequence[Detections], label: int, threshold: float
) -> NDArray[np.bool_]:
    """Return for each box that counts, by falling score, whether it is right."""
    scores, verdicts = [], []
    for t, f in zip(truth, found, strict=True):
        own, mine = t.labels == label, np.flatnonzero(f.labels == label)
        mine = mine[np.argsort(-f.scores[mine], kind="stable")]
        overlaps = iou(f.boxes[mine], t.boxes[own])
        difficult, taken = t.crowd[own], np.zeros(int(own.sum()), bool)
        for d, box in enumerate(mine):
            best = int(overlaps[d].argmax()) if own.any() else -1
            hit = best >= 0 and overlaps[d, best] >= threshold
            if hit and difficult[best]:
                continue
            scores.append(f.scores[box])
            verdicts.append(hit and not taken[best])
            if hit:
                taken[best] = True
    order = np.argsort(-np.array(scores, np.float64), kind="stable")
    return np.array(verdicts, bool)[order]


def _area(right: NDArray[np.bool_], objects: int, points: Points) -> float:
    """Return the area under precision against recall, precision made falling."""
    hits = np.cumsum(right)
    recall = hits / objects
    precision = hits / np.arange(1, len(right) + 1)
    best = np.maximum.accumulate(precision[::-1])[::-1]
    if points == "11":
        at = np.searchsorted(recall, np.linspace(0.0, 1.0, 11), side="left")
        return float(sum(best[i] for i in at if i < len(best)) / 11)
    return float((best * np.diff(recall, prepend=0.0)).sum())
