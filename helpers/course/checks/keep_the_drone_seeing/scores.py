"""How a detector is scored: overlap, right and wrong, average precision: q1 to q3."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.integrate import trapezoid

from helpers.course.compare import Slips, close, equal, or_explain, row_of
from helpers.course.tasks import Case, FunctionTask
from helpers.robustness.detection.boxes import Detections, Truth, iou
from helpers.robustness.detection.metrics import judged_at_half

_HALF = 0.5
_RECALLS = np.linspace(0.0, 1.0, 101)

# --- q1: intersection over union


def _drawn_boxes(rng: np.random.Generator, count: int) -> np.ndarray:
    corner = rng.uniform(0, 70, (count, 2))
    return np.concatenate([corner, corner + rng.uniform(4, 26, (count, 2))], axis=1)


def _overlap_reference(first: Any, second: Any) -> np.ndarray:
    return np.asarray(iou(np.asarray(first, float), np.asarray(second, float)))


def _overlap_cases(rng: np.random.Generator) -> list[Case]:
    boxes = _drawn_boxes(rng, 6)
    near = boxes + rng.uniform(-3, 3, boxes.shape)
    inside = np.array([[10.0, 10.0, 30.0, 20.0]])
    return [
        Case((np.array([[2.0, 0.0, 12.0, 10.0]]), np.array([[6.0, 3.0, 20.0, 9.0]])),
             "a large box and a flat one"),
        Case((boxes, near), "boxes beside their neighbours"),
        Case((boxes[:2], _drawn_boxes(rng, 5)), "two boxes against five"),
        Case((inside, np.array([[0.0, 0.0, 40.0, 40.0], [60.0, 0.0, 70.0, 10.0],
                                [40.0, 30.0, 50.0, 40.0]])),
             "one around it, one beside it, one off its corner"),
    ]  # fmt: skip


def _sides(first: Any, second: Any) -> np.ndarray:
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    return np.asarray(high - low)


def _area(boxes: Any) -> np.ndarray:
    return np.asarray((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]))


def _over(both: np.ndarray, first: Any, second: Any) -> np.ndarray:
    return both / (_area(first)[:, None] + _area(second)[None, :] - both)


_OVERLAP_SLIPS: Slips = {
    "boxes that are apart in x and in y have two negative sides, and their product is positive: "
    "cut each side at 0 first": lambda a, b: _over(_sides(a, b).prod(axis=2), a, b),
    "two negative sides make a positive area, and a cut after that is too late: cut each side at 0 "
    "before you multiply": lambda a, b: _over(np.maximum(_sides(a, b).prod(axis=2), 0), a, b),
    "boxes that are apart get a negative overlap: cut each side at 0": (
        lambda a, b: _over(np.where((_sides(a, b) < 0).all(axis=2), 0, _sides(a, b).prod(axis=2)),
                           a, b)
    ),
    "the shared area is counted twice in the union: both boxes hold it": (
        lambda a, b: np.maximum(_sides(a, b), 0).prod(axis=2)
        / (_area(a)[:, None] + _area(b)[None, :])
    ),
    "this is twice the shared area over the sum of both areas, the Dice score; IoU divides by the "
    "union": lambda a, b: 2 * np.maximum(_sides(a, b), 0).prod(axis=2)
    / (_area(a)[:, None] + _area(b)[None, :]),
    "a box is x1, y1, x2, y2: the last two are a corner, not a width and a height": (
        lambda a, b: _overlap_reference(
            *(np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)
              for boxes in (a, b))
        )
    ),
    "this divides by the smaller box, so a small box inside a large one overlaps it fully": (
        lambda a, b: np.maximum(_sides(a, b), 0).prod(axis=2)
        / np.minimum(_area(a)[:, None], _area(b)[None, :])
    ),
    "this is the shared area; divide it by the area of the union": (
        lambda a, b: np.maximum(_sides(a, b), 0).prod(axis=2)
    ),
    "rows belong to the first boxes and columns to the second": (
        lambda a, b: _overlap_reference(b, a)
    ),
    "a width is x2 - x1 here, without the 1 that counts pixels": (
        lambda a, b: _overlap_reference(*(np.add(boxes, [0, 0, 1, 1]) for boxes in (a, b)))
    ),
}  # fmt: skip

# --- q2: right and wrong


def _judge_reference(boxes: Any, scores: Any, truth: Any) -> np.ndarray:
    objects = np.asarray(truth, float).reshape(-1, 4)
    found = Detections(boxes, scores, np.zeros(len(scores), np.int64))
    return judged_at_half(Truth(objects, np.zeros(len(objects), np.int64)), found, 0).right


def _judge_cases(rng: np.random.Generator) -> list[Case]:
    car = np.array([[20.0, 20.0, 40.0, 30.0]])
    shifted = car + np.array([[2.0, 0.0, 2.0, 0.0]])
    nowhere = car + np.array([[40.0, 0.0, 40.0, 0.0]])
    pair = np.array([[10.0, 10.0, 30.0, 20.0], [14.0, 10.0, 34.0, 20.0]])
    truth = np.array([[0.0, 0.0, 20.0, 10.0], [50.0, 50.0, 70.0, 60.0], [60.0, 5.0, 70.0, 25.0]])
    scores = rng.permutation(np.linspace(0.15, 0.95, 8))
    noise = np.concatenate([truth, truth, truth[:2]]) + rng.uniform(-2.5, 2.5, (8, 4))
    return [
        Case((np.concatenate([shifted, car]), np.array([0.9, 0.6]), car), "one car found twice"),
        Case((np.concatenate([car, shifted]), np.array([0.3, 0.8]), car),
             "the same, the surer one given last"),
        Case((np.concatenate([nowhere, car]), np.array([0.3, 0.8]), car),
             "a box on nothing given first, and a surer one on the car"),
        Case((pair[[0, 0]] + [[1.0, 0, 1.0, 0], [1.5, 0, 1.5, 0]], np.array([0.8, 0.7]), pair),
             "two cars side by side, and two boxes between them"),
        Case((pair[[1, 0]] - [[0, 0, 0, 0], [4.0, 0, 4.0, 0]], np.array([0.9, 0.8]), pair),
             "the same two cars, and the surer box right on the second"),
        Case((noise, scores, truth), "eight boxes, three cars"),
        Case((car, np.array([0.9]), np.zeros((0, 4))), "a box where there is nothing"),
        Case((car - [[0, 0, 0, 5]], np.array([0.9]), car), "half of the car: 0.5 is enough"),
        Case((np.concatenate([nowhere, car]), np.array([0.7, 0.7]), car),
             "two boxes of one score: the earlier comes first"),
    ]  # fmt: skip


def _judge_as(
    boxes: Any, scores: Any, truth: Any, *, order: bool = True, take: bool = True,
    free: bool = True, least: float = _HALF, best_first: bool = True, always: bool = False,
) -> Any:  # fmt: skip
    ranks = np.argsort(-np.asarray(scores), kind="stable")
    overlaps = _overlap_reference(boxes, truth) if len(truth) else np.zeros((len(boxes), 0))
    taken, right = np.zeros(len(truth), bool), np.zeros(len(boxes), bool)
    for place, box in enumerate(ranks if order else range(len(boxes))):
        row = np.where(taken, -1, overlaps[box]) if free else overlaps[box]
        if len(row) and (always or row.max() >= least):
            best = int(row.argmax() if best_first else np.argmax(row >= least))
            right[place] = row[best] >= least and (not taken[best] or not take)
            taken[best] = True
    return right


_JUDGE_SLIPS: Slips = {
    "an object may be claimed once: the second box on it is wrong": (
        lambda b, s, t: _judge_as(b, s, t, take=False, free=False)
    ),
    "go through the boxes from the surest to the least sure, and answer in that order": (
        lambda b, s, t: _judge_as(b, s, t, order=False)
    ),
    "where the object that a box overlaps most is taken, the next one that it overlaps by half "
    "still counts, in COCO": (lambda b, s, t: _judge_as(b, s, t, free=False)),
    "of the free objects a box claims the one that it overlaps most, not the first": (
        lambda b, s, t: _judge_as(b, s, t, best_first=False)
    ),
    "a box that overlaps no object enough is wrong and claims none: the object stays free": (
        lambda b, s, t: _judge_as(b, s, t, always=True)
    ),
    "an IoU of exactly 0.5 is enough": (
        lambda b, s, t: _judge_as(b, s, t, least=np.nextafter(_HALF, 1))
    ),
    "of equal scores the earlier box comes first: a stable sort keeps their order, but a rising "
    "sort that is read from its end turns it round": lambda b, s, t: _judge_reference(
        b[::-1], s[::-1], t
    ),
    "the verdicts belong to the boxes from the surest down, not in the order given": (
        lambda b, s, t: _judge_reference(b, s, t)[
            np.argsort(np.argsort(-np.asarray(s), kind="stable"))
        ]
    ),
}

# --- q3: average precision


def _precision_reference(right: Any, objects: int) -> float:
    hits = np.cumsum(right)
    precision = hits / np.arange(1, len(right) + 1)
    best = np.maximum.accumulate(precision[::-1])[::-1]
    at = np.searchsorted(hits / objects, _RECALLS, side="left")
    return float(best[at[at < len(right)]].sum() / len(_RECALLS))


def _precision_cases(rng: np.random.Generator) -> list[Case]:
    drawn = rng.random(60) < np.linspace(0.95, 0.1, 60)
    return [
        Case((np.array([True, True, True, True]), 4), "everything found, nothing else"),
        Case((np.array([True, False, True, False]), 4), "half found, with two false alarms"),
        Case((np.array([False, True, True, True]), 3), "the surest is wrong"),
        Case((drawn, int(drawn.sum()) + 7), "60 boxes, seven objects never found"),
        Case((np.array([False, False]), 5), "nothing found"),
    ]


def _raw_precision(right: Any) -> np.ndarray:
    return np.asarray(np.cumsum(right) / np.arange(1, len(right) + 1))


def _at_recalls(best: np.ndarray, right: Any, objects: int) -> np.ndarray:
    at = np.searchsorted(np.cumsum(right) / objects, _RECALLS, side="left")
    return best[at[at < len(right)]]


def _envelope(right: Any) -> np.ndarray:
    return np.maximum.accumulate(_raw_precision(right)[::-1])[::-1]


_PRECISION_SLIPS: Slips = {
    "recalls that are never reached count with precision 0: divide by 101, always": (
        lambda r, n: float(_at_recalls(_envelope(r), r, n).mean())
    ),
    "precision at a recall is the best at this recall or any higher one: it never rises to the "
    "right": lambda r, n: float(_at_recalls(_raw_precision(r), r, n).sum() / 101),
    "recall is a share of all objects, the ones that were never found included": (
        lambda r, n: _precision_reference(r, max(int(np.sum(r)), 1))
    ),
    "this is the exact area under the curve, as VOC has it; COCO takes 101 recalls": (
        lambda r, n: float(np.sum(_envelope(r) * np.diff(np.cumsum(r) / n, prepend=0.0)))
    ),
    "this runs the maximum from the left; it has to come from the high recalls": (
        lambda r, n: float(_at_recalls(np.maximum.accumulate(_raw_precision(r)), r, n).sum() / 101)
    ),
    "a recall is read at the first box that reaches it, and equal is enough: side='left'": (
        lambda r, n: float(
            np.append(_envelope(r), 0.0)[
                np.searchsorted(np.cumsum(r) / n, _RECALLS, side="right")
            ].mean()
        )
    ),
    "this is the area under straight lines between the points; COCO takes 101 recalls": (
        lambda r, n: float(trapezoid(_raw_precision(r), np.cumsum(r) / n))
    ),
}

OVERLAP = FunctionTask(
    "q1", "How far two boxes agree", 1, _overlap_reference, _overlap_cases,
    or_explain(close(), _OVERLAP_SLIPS),
    "first[:, None, :2] and second[None, :, :2] are the upper left corners of every pair. The "
    "shared box begins at the larger of the two and ends at the smaller of the lower right ones.",
)  # fmt: skip
JUDGE = FunctionTask(
    "q2", "Right and wrong", 2, _judge_reference, _judge_cases,
    or_explain(row_of(equal()), _JUDGE_SLIPS),
    "np.argsort(-scores, kind='stable') is the order. Keep a list of the objects that are taken, "
    "and look only at the free ones.",
)  # fmt: skip
PRECISION = FunctionTask(
    "q3", "Average precision", 2, _precision_reference, _precision_cases,
    or_explain(close(rtol=0, atol=1e-6), _PRECISION_SLIPS),
    "np.cumsum(right) counts what was right so far. np.maximum.accumulate over the reversed "
    "precision, reversed again, is the best from there on. np.searchsorted(recall, points) finds "
    "the first place that reaches each point; there may be none.",
)  # fmt: skip
