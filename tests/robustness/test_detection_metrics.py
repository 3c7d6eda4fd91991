"""Average precision against pycocotools, and against VOC's definition written out with loops."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from helpers.errors import RobustnessError
from helpers.robustness.detection import Detections, Truth, coco_map, iou, voc_map

NAMES = (
    *("map", "map50", "map75", "map_small", "map_medium", "map_large"),
    *("recall_1", "recall_10", "recall_100", "recall_small", "recall_medium", "recall_large"),
)


def drawn(
    seed: int, images: int, classes: int, whole: bool = False
) -> tuple[list[Truth], list[Detections]]:
    """Objects of all sizes with crowds, found more or less well, with ties and false alarms."""
    rng = np.random.default_rng(seed)
    truth, found = [], []
    for _ in range(images):
        count = int(rng.integers(0, 7))
        corner = rng.uniform(0, 200, (count, 2))
        size = rng.choice([12.0, 30.0, 60.0, 150.0], (count, 1)) * rng.uniform(0.7, 1.4, (count, 2))
        boxes = np.concatenate([corner, corner + size], axis=1)
        if whole:  # overlaps of exactly one half, and areas of exactly 32^2, come up
            boxes = np.round(boxes / 4) * 4
            boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2] + 4)
        labels = rng.integers(0, classes, count)
        area = np.where(rng.random(count) < 0.5, size.prod(axis=1) * rng.uniform(0.4, 1), 0)
        area = np.where(area > 0, area, (boxes[:, 2:] - boxes[:, :2]).prod(axis=1))
        truth.append(Truth(boxes, labels, rng.random(count) < 0.2, area))
        again = np.repeat(np.arange(count), rng.integers(0, 4, count))
        jitter = rng.normal(0, 0.12, (len(again), 4)) * np.tile(size[again], 2)
        guesses = boxes[again] + (np.round(jitter / 4) * 4 if whole else jitter)
        spurious = rng.uniform(0, 200, (int(rng.integers(0, 4)), 2))
        extra = np.concatenate([spurious, spurious + rng.uniform(5, 120, spurious.shape)], axis=1)
        both = np.concatenate([guesses, extra])
        both[:, 2:] = np.maximum(both[:, 2:], both[:, :2] + 1)
        named = np.concatenate([labels[again], rng.integers(0, classes, len(extra))])
        wrong = rng.random(len(named)) < 0.1
        named = np.where(wrong, rng.integers(0, classes, len(named)), named)
        found.append(Detections(both, np.round(rng.random(len(both)), 2), named))
    return truth, found


def official(truth: list[Truth], found: list[Detections], classes: int) -> np.ndarray:
    """The twelve numbers of pycocotools, NaN where it says -1."""

    def xywh(box: np.ndarray) -> list[float]:
        return [box[0], box[1], box[2] - box[0], box[3] - box[1]]

    annotations = [
        {
            "image_id": i,
            "category_id": int(label),
            "bbox": xywh(box),
            "area": float(area),
            "iscrowd": int(crowd),
        }
        for i, t in enumerate(truth)
        for box, label, crowd, area in zip(t.boxes, t.labels, t.crowd, t.area, strict=True)
    ]
    results = [
        {"image_id": i, "category_id": int(label), "bbox": xywh(box), "score": float(score)}
        for i, f in enumerate(found)
        for box, score, label in zip(f.boxes, f.scores, f.labels, strict=True)
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {
            "info": {},
            "images": [{"id": i} for i in range(len(truth))],
            "categories": [{"id": label} for label in range(classes)],
            "annotations": [{"id": n + 1, **a} for n, a in enumerate(annotations)],
        }
        coco.createIndex()
        scored = COCOeval(coco, coco.loadRes(results), "bbox")
        scored.evaluate()
        scored.accumulate()
        scored.summarize()
    return np.where(scored.stats == -1, np.nan, scored.stats)


@given(
    seed=st.integers(0, 10**6),
    images=st.integers(1, 6),
    classes=st.integers(1, 3),
    whole=st.booleans(),
)
@settings(max_examples=60)
def test_all_twelve_numbers_are_those_of_pycocotools(
    seed: int, images: int, classes: int, whole: bool
) -> None:
    truth, found = drawn(seed, images, classes, whole)
    if not any(len(f) for f in found):
        return  # pycocotools cannot load an empty list of results
    ours = coco_map(truth, found, classes)
    np.testing.assert_allclose(
        [getattr(ours, name) for name in NAMES], official(truth, found, classes), atol=1e-7
    )


def test_more_than_a_hundred_boxes_are_cut_as_pycocotools_cuts_them() -> None:
    rng = np.random.default_rng(5)
    corner = rng.uniform(0, 300, (40, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(20, 60, (40, 2))], axis=1)
    guesses = np.repeat(boxes, 5, axis=0) + rng.normal(0, 4, (200, 4))
    truth = [Truth(boxes, np.zeros(40, int))]
    found = [Detections(guesses, rng.random(200), np.zeros(200, int))]
    ours = coco_map(truth, found)
    np.testing.assert_allclose(
        [getattr(ours, name) for name in NAMES], official(truth, found, 1), atol=1e-7
    )


def test_perfect_detections_score_one_and_none_score_zero() -> None:
    truth, _ = drawn(3, 5, 2)
    perfect = [Detections(t.boxes, np.ones(len(t.labels)), t.labels) for t in truth]
    nothing = [Detections(np.zeros((0, 4)), np.zeros(0), np.zeros(0, int)) for _ in truth]
    assert coco_map(truth, perfect).map == pytest.approx(1.0)
    assert voc_map(truth, perfect)[0] == pytest.approx(1.0)
    assert coco_map(truth, nothing).map == 0.0
    assert voc_map(truth, nothing)[0] == 0.0


def naive_voc(truth: list[Truth], found: list[Detections], label: int, points: str) -> float | None:
    """VOC's average precision of one class, by its words."""
    boxes = [
        (float(s), i, b)
        for i, f in enumerate(found)
        for b, s, c in zip(f.boxes, f.scores, f.labels, strict=True)
        if c == label
    ]
    boxes.sort(key=lambda entry: -entry[0])  # stable
    used: set[tuple[int, int]] = set()
    hits: list[bool] = []
    for _, i, box in boxes:
        own = [k for k in range(len(truth[i].labels)) if truth[i].labels[k] == label]
        overlaps = {k: float(iou(box[None], truth[i].boxes[k : k + 1])[0, 0]) for k in own}
        best = max(overlaps, key=overlaps.__getitem__) if overlaps else None
        if best is None or overlaps[best] < 0.5:
            hits.append(False)
        elif not truth[i].crowd[best]:
            hits.append((i, best) not in used)
            used.add((i, best))
    total = sum(int(((t.labels == label) & ~t.crowd).sum()) for t in truth)
    if total == 0:
        return None
    curve = [(sum(hits[: n + 1]) / total, sum(hits[: n + 1]) / (n + 1)) for n in range(len(hits))]

    def best_from(recall: float) -> float:
        return max((p for r, p in curve if r >= recall), default=0.0)

    if points == "11":
        return sum(best_from(recall) for recall in np.linspace(0, 1, 11)) / 11
    return sum(best_from(k / total) / total for k in range(1, total + 1))


@given(seed=st.integers(0, 10**6), images=st.integers(1, 5), points=st.sampled_from(["all", "11"]))
@settings(max_examples=40)
def test_voc_is_its_definition(seed: int, images: int, points: str) -> None:
    truth, found = drawn(seed, images, 2)
    mean, by_class = voc_map(truth, found, points=points, num_classes=2)  # type: ignore[arg-type]
    naive = [naive_voc(truth, found, label, points) for label in range(2)]
    expected = [np.nan if value is None else value for value in naive]
    np.testing.assert_allclose(by_class, expected, atol=1e-12)
    known = [value for value in naive if value is not None]
    assert mean == pytest.approx(np.mean(known)) if known else np.isnan(mean)


def test_bad_input_is_named() -> None:
    truth, found = drawn(0, 2, 2)
    with pytest.raises(RobustnessError, match="1 images with truth and 2"):
        coco_map(truth[:1], found)
    with pytest.raises(RobustnessError, match="num_classes=1"):
        coco_map(truth, found, num_classes=1)
    with pytest.raises(RobustnessError, match="points='12'"):
        voc_map(truth, found, points="12")  # type: ignore[arg-type]
    with pytest.raises(RobustnessError, match="threshold"):
        voc_map(truth, found, threshold=0.0)
    with pytest.raises(RobustnessError, match="x1 <= x2"):
        Truth(np.array([[3.0, 0, 1, 1]]), np.zeros(1, int))
    with pytest.raises(RobustnessError, match="finite"):
        Detections(np.array([[0.0, 0, 1, 1]]), np.array([np.nan]), np.zeros(1, int))
