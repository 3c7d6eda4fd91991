"""From the network's raw numbers to boxes: what runs after the file that ships."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from helpers.errors import RobustnessError
from helpers.robustness.detection.boxes import Detections, decode_boxes, non_maximum_suppression


def decode_predictions(
    raw: NDArray[np.floating],
    anchors: NDArray[np.floating],
    score: float = 0.05,
    overlap: float = 0.45,
    most: int = 100,
) -> tuple[Detections, ...]:
    """Turn raw predictions into boxes, class by class.

    Parameters
    ----------
    raw
        ``(n, anchors, num_classes + 4)``: logits, then offsets, as the network gives them.
    anchors
        ``(anchors, 4)``.
    score
        Boxes below it are dropped. Keep it low to measure average precision; raise it to act.
    overlap
        IoU above which the weaker of two boxes of one class is dropped.
    most
        Boxes kept of an image, the surest.

    Returns
    -------
    tuple of Detections
        One an image, the surest first.

    Raises
    ------
    RobustnessError
        If the shapes do not fit or a number is not finite.
    """
    values = np.asarray(raw)
    if values.ndim != 3 or values.shape[1] != len(anchors) or values.shape[2] < 5:
        raise RobustnessError(
            f"raw predictions have shape {values.shape}; expected (n, {len(anchors)}, classes + 4)."
        )
    if not np.isfinite(values).all():
        raise RobustnessError("raw predictions hold NaN or infinity.")
    return tuple(_decode_one(image, anchors, score, overlap, most) for image in values)


def _decode_one(
    raw: NDArray[np.floating],
    anchors: NDArray[np.floating],
    score: float,
    overlap: float,
    most: int,
) -> Detections:
    chance = 1.0 / (1.0 + np.exp(-np.clip(raw[:, :-4].astype(np.float64), -60, 60)))
    boxes, scores, labels = [np.zeros((0, 4))], [np.zeros(0)], [np.zeros(0, np.int64)]
    for label in range(chance.shape[1]):
        sure = np.flatnonzero(chance[:, label] >= score)
        candidates = decode_boxes(raw[sure, -4:], anchors[sure])
        kept = non_maximum_suppression(candidates, chance[sure, label], overlap)
        boxes.append(candidates[kept])
        scores.append(chance[sure[kept], label])
        labels.append(np.full(len(kept), label))
    all_scores = np.concatenate(scores)
    order = np.argsort(-all_scores, kind="stable")[:most]
    return Detections(
        np.concatenate(boxes)[order], all_scores[order], np.concatenate(labels)[order]
    )
