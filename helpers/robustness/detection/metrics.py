"""COCO's mean average precision, equal to pycocotools to the last digit or two.

*Precision* is the share of found boxes that are right, *recall* the share of objects found. Both
depend on the score from which a box counts; average precision is the area under precision against
recall as that score falls. COCO averages it over ten strictnesses of what *right* means: an IoU of
at least 0.50, 0.55, ... 0.95 with an object nobody else has claimed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from helpers.errors import RobustnessError
from helpers.robustness._checks import require_whole
from helpers.robustness.detection.boxes import Detections, Truth, box_area, iou

# numpy.linspace, as in pycocotools: other ways of writing 0.55 differ in the last bit.
THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0.0, 1.0, 101)
AREAS = {
    "all": (0.0, 1e10),
    "small": (0.0, 32.0**2),
    "medium": (32.0**2, 96.0**2),
    "large": (96.0**2, 1e10),
}
MOST = (1, 10, 100)


@dataclass(frozen=True, eq=False)
class CocoScores:
    """The twelve numbers of COCO, and average precision by class.

    Averages over nothing, such as precision on large objects where there are none, are NaN.

    Attributes
    ----------
    map, map50, map75
        Mean over the classes, at all ten IoUs, at 0.5 and at 0.75.
    map_small, map_medium, map_large
        Of objects up to 32^2 pixels, up to 96^2, and above.
    recall_1, recall_10, recall_100
        Average recall with so many boxes an image.
    recall_small, recall_medium, recall_large
        With 100 boxes an image.
    by_class, by_class50
        float64 ``(num_classes,)``: average precision at all IoUs and at 0.5.
    """

    map: float
    map50: float
    map75: float
    map_small: float
    map_medium: float
    map_large: float
    recall_1: float
    recall_10: float
    recall_100: float
    recall_small: float
    recall_medium: float
    recall_large: float
    by_class: NDArray[np.float64]
    by_class50: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class _Matches:
    """One image, one class: boxes by falling score, and what became of each at each IoU."""

    scores: NDArray[np.float64]
    matched: NDArray[np.bool_]
    ignored: NDArray[np.bool_]
    objects: int


def coco_map(
    truth: Sequence[Truth], found: Sequence[Detections], num_classes: int | None = None
) -> CocoScores:
    """Score detections as COCO does.

    Parameters
    ----------
    truth, found
        One an image, in one order.
    num_classes
        None takes the highest label there is.

    Returns
    -------
    CocoScores
        The twelve numbers, and those of each class.

    Raises
    ------
    RobustnessError
        If the numbers of images differ, there are none, or a label is out of range.

    References
    ----------
    Lin et al., *Microsoft COCO: common objects in context*, ECCV 2014, and the authors' evaluation
    code, https://github.com/cocodataset/cocoapi, whose rules these are: a crowd region is matched
    by any number of boxes and none of them counts; an object or a lone box outside a size class
    does not count in it; of boxes with one score the earlier comes first.
    """
    classes = checked_classes(truth, found, num_classes)
    precision = np.full((len(AREAS), len(THRESHOLDS), classes, len(RECALLS)), np.nan)
    recall = np.full((len(AREAS), len(THRESHOLDS), classes, len(MOST)), np.nan)
    for label in range(classes):
        images = [_of_class(t, f, label) for t, f in zip(truth, found, strict=True)]
        images = [(t, f) for t, f in images if len(t.labels) or len(f)]
        for a, limits in enumerate(AREAS.values()):
            matches = [_match(t, f, limits) for t, f in images]
            objects = sum(match.objects for match in matches)
            if not objects:
                continue
            for m, most in enumerate(MOST):
                reached, curve = _curves(matches, most, objects)
                recall[a, :, label, m] = reached
            precision[a, :, label] = curve
    return _summary(precision, recall)


class Judged(NamedTuple):
    """One class in one image, at an IoU of 0.5, without what counts neither way.

    Attributes
    ----------
    scores
        float64 ``(m,)``, falling.
    right
        bool ``(m,)``.
    objects
        Objects to be found.
    """

    scores: NDArray[np.float64]
    right: np.ndarray
    objects: int


def judged_at_half(truth: Truth, found: Detections, label: int) -> Judged:
    """Say which boxes of one class are right in one image."""
    match = _match(*_of_class(truth, found, label), AREAS["all"], THRESHOLDS[:1])
    counts = ~match.ignored[0]
    return Judged(match.scores[counts], match.matched[0, counts], match.objects)


def checked_classes(
    truth: Sequence[Truth], found: Sequence[Detections], num_classes: int | None
) -> int:
    """Return the number of classes, once images and labels are seen to fit.

    Raises
    ------
    RobustnessError
        If they do not.
    """
    if len(truth) != len(found) or not len(truth):
        raise RobustnessError(
            f"{len(truth)} images with truth and {len(found)} with detections: give both for each "
            "image, at least one."
        )
    labels = [*(t.labels for t in truth), *(f.labels for f in found)]
    highest = max((int(values.max()) for values in labels if len(values)), default=-1)
    if num_classes is not None:
        require_whole("num_classes", num_classes, at_least=1)
    classes = highest + 1 if num_classes is None else num_classes
    if highest >= classes:
        raise RobustnessError(f"A label is {highest}, but num_classes={num_classes}.")
    return classes


def _of_class(truth: Truth, found: Detections, label: int) -> tuple[Truth, Detections]:
    """Return the objects of one class, and its surest boxes by falling score."""
    own = truth.labels == label
    mine = np.flatnonzero(found.labels == label)
    mine = mine[np.argsort(-found.scores[mine], kind="stable")[: MOST[-1]]]
    return (
        Truth(truth.boxes[own], truth.labels[own], truth.crowd[own], truth.area[own]),
        Detections(found.boxes[mine], found.scores[mine], found.labels[mine]),
    )


def _match(
    truth: Truth,
    found: Detections,
    limits: tuple[float, float],
    thresholds: NDArray[np.float64] = THRESHOLDS,
) -> _Matches:
    """Give each box, the surest first, the object that it overlaps most of those still free."""
    low, high = limits
    outside = (truth.area < low) | (truth.area > high)
    order = np.argsort(truth.crowd | outside, kind="stable")  # those that count come first
    crowd, ignore = truth.crowd[order], (truth.crowd | outside)[order]
    overlaps = iou(found.boxes, truth.boxes[order], crowd)
    matched = np.zeros((len(thresholds), len(found)), bool)
    ignored = np.zeros_like(matched)
    for t, threshold in enumerate(thresholds):
        taken, enough = np.zeros(len(order), bool), min(threshold, 1 - 1e-10)
        for d in np.flatnonzero((overlaps >= enough).any(axis=1)):  # few boxes are near an object
            best = _choose(overlaps[d], enough, taken & ~crowd, ignore)
            if best >= 0:
                matched[t, d], ignored[t, d], taken[best] = True, ignore[best], True
    area = box_area(found.boxes)
    ignored |= ~matched & ((area < low) | (area > high))
    return _Matches(found.scores, matched, ignored, int((~ignore).sum()))


def _choose(
    overlaps: NDArray[np.floating],
    threshold: float,
    closed: NDArray[np.bool_],
    ignore: NDArray[np.bool_],
) -> int:
    """Return the open object with the largest overlap, one that counts before one that does not.

    Of equal overlaps the last wins, as in pycocotools. -1 if none reaches the threshold.
    """
    for group in (~ignore, ignore):
        open_ones = np.flatnonzero(group & ~closed & (overlaps >= threshold))
        if len(open_ones):
            values = overlaps[open_ones]
            return int(open_ones[len(values) - 1 - values[::-1].argmax()])
    return -1


def _curves(
    matches: Sequence[_Matches], most: int, objects: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the recall reached ``(thresholds,)`` and precision ``(thresholds, recalls)``."""
    scores = np.concatenate([match.scores[:most] for match in matches])
    order = np.argsort(-scores, kind="stable")
    matched = np.concatenate([match.matched[:, :most] for match in matches], axis=1)[:, order]
    ignored = np.concatenate([match.ignored[:, :most] for match in matches], axis=1)[:, order]
    right = np.cumsum(matched & ~ignored, axis=1, dtype=np.float64)
    wrong = np.cumsum(~matched & ~ignored, axis=1, dtype=np.float64)
    reached = right[:, -1] / objects if len(order) else np.zeros(len(THRESHOLDS))
    curve = np.zeros((len(THRESHOLDS), len(RECALLS)))
    for t in range(len(THRESHOLDS)):
        precision = right[t] / (right[t] + wrong[t] + np.spacing(1))
        best = np.maximum.accumulate(precision[::-1])[::-1]
        at = np.searchsorted(right[t] / objects, RECALLS, side="left")
        curve[t, at < len(best)] = best[at[at < len(best)]]
    return reached, curve


def _summary(precision: NDArray[np.float64], recall: NDArray[np.float64]) -> CocoScores:
    def mean(values: NDArray[np.float64]) -> float:
        known = values[~np.isnan(values)]
        return float(known.mean()) if known.size else float("nan")

    sizes = list(AREAS)
    return CocoScores(
        map=mean(precision[0]),
        map50=mean(precision[0, 0]),
        map75=mean(precision[0, 5]),
        **{f"map_{size}": mean(precision[a]) for a, size in enumerate(sizes) if a},
        **{f"recall_{most}": mean(recall[0, ..., m]) for m, most in enumerate(MOST)},
        **{f"recall_{size}": mean(recall[a, ..., -1]) for a, size in enumerate(sizes) if a},
        by_class=precision[0].mean(axis=(0, 2)),
        by_class50=precision[0, 0].mean(axis=1),
    )
