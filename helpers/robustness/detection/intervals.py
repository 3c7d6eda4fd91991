"""How sure a mean average precision is: pictures drawn again with replacement."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from helpers.errors import RobustnessError
from helpers.robustness.detection.boxes import Detections, Truth
from helpers.robustness.detection.metrics import RECALLS, checked_classes, judged_at_half


class Interval(NamedTuple):
    """A score and how far another draw of pictures could have moved it.

    Attributes
    ----------
    value
        The score itself.
    low, high
        Ends of the interval.
    """

    value: float
    low: float
    high: float


def map50_interval(
    truth: Sequence[Truth],
    found: Sequence[Detections],
    num_classes: int | None = None,
    resamples: int = 500,
    confidence: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Return COCO's mAP at an IoU of 0.5 with a bootstrap interval over the pictures.

    Boxes of one picture share its light and its weather, so whole pictures are drawn anew and not
    boxes. What the interval holds is the scatter of the test pictures. It knows nothing of another
    training run or of streets of another kind.

    Parameters
    ----------
    truth, found
        One an image, in one order.
    num_classes
        None takes the highest label there is.
    resamples
        Draws, at least 20.
    confidence
        Share of the draws within the interval, in (0, 1).
    seed
        Of the draws.

    Returns
    -------
    Interval
        The score of all pictures, and percentiles of the draws.

    Raises
    ------
    RobustnessError
        As :func:`~helpers.robustness.detection.metrics.coco_map`, or if a setting is out of range.

    References
    ----------
    Efron and Tibshirani, *An introduction to the bootstrap*, Chapman and Hall, 1993, chapter 13.
    """
    if resamples < 20 or not 0 < confidence < 1:
        raise RobustnessError(
            f"resamples={resamples} must be at least 20 and confidence={confidence} in (0, 1)."
        )
    classes = checked_classes(truth, found, num_classes)
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(len(truth), np.full(len(truth), 1 / len(truth)), resamples)
    weights = np.concatenate([np.ones((1, len(truth)), int), drawn])
    scores = np.stack([_precision(truth, found, label, weights) for label in range(classes)])
    known = ~np.isnan(scores).all(axis=0)
    means = np.full(len(weights), np.nan)
    means[known] = np.nanmean(scores[:, known], axis=0)
    tail = (1 - confidence) / 2
    drawn_means = means[1:][known[1:]]
    if not len(drawn_means):
        return Interval(float("nan"), float("nan"), float("nan"))
    low, high = np.quantile(drawn_means, [tail, 1 - tail])
    return Interval(float(means[0]), float(low), float(high))


def _precision(
    truth: Sequence[Truth], found: Sequence[Detections], label: int, weights: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the average precision of one class for each weighting of the pictures, ``(r,)``."""
    rows = [judged_at_half(t, f, label) for t, f in zip(truth, found, strict=True)]
    scores = np.concatenate([row.scores for row in rows])
    right = np.concatenate([row.right for row in rows])
    picture = np.repeat(np.arange(len(rows)), [len(row.scores) for row in rows])
    order = np.argsort(-scores, kind="stable")
    objects = weights @ np.array([row.objects for row in rows])
    counts = weights[:, picture[order]]
    hits = np.cumsum(counts * right[order], axis=1, dtype=np.float64)
    precision = hits / np.maximum(np.cumsum(counts, axis=1), 1)
    best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    result = np.full(len(weights), np.nan)
    for r in np.flatnonzero(objects):
        at = np.searchsorted(hits[r] / objects[r], RECALLS, side="left")
        result[r] = best[r, at[at < len(order)]].sum() / len(RECALLS)
    return result
