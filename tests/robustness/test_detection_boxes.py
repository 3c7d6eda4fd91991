"""Boxes, anchors and decoding: the laws that they keep."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.errors import RobustnessError
from helpers.robustness import detection
from helpers.robustness.detection.anchors import SHAPES, STRIDES


def boxes(seed: int, count: int, side: float = 96.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, side * 0.8, (count, 2))
    return np.concatenate([corner, corner + rng.uniform(2, side / 2, (count, 2))], axis=1)


@given(seed=st.integers(0, 10**6), n=st.integers(1, 8), m=st.integers(1, 8))
def test_iou_is_symmetric_and_one_for_a_box_with_itself(seed: int, n: int, m: int) -> None:
    first, second = boxes(seed, n), boxes(seed + 1, m)
    overlaps = detection.iou(first, second)
    np.testing.assert_allclose(overlaps, detection.iou(second, first).T)
    np.testing.assert_allclose(np.diag(detection.iou(first, first)), 1.0)
    assert ((overlaps >= 0) & (overlaps <= 1)).all()


def test_iou_by_hand() -> None:
    one, half, far = np.array([[0.0, 0, 4, 4], [2.0, 0, 6, 4], [10.0, 10, 14, 14]])[:, None]
    assert detection.iou(one, half)[0, 0] == pytest.approx(8 / 24)
    assert detection.iou(one, half, np.array([True]))[0, 0] == pytest.approx(8 / 16)
    assert detection.iou(one, far)[0, 0] == 0
    empty = np.array([[1.0, 1, 1, 1]])
    assert detection.iou(empty, empty)[0, 0] == 0


@given(seed=st.integers(0, 10**6), count=st.integers(1, 20))
def test_decoding_undoes_encoding(seed: int, count: int) -> None:
    truth, anchors = boxes(seed, count), boxes(seed + 7, count)
    code = detection.encode_boxes(truth, anchors)
    np.testing.assert_allclose(detection.decode_boxes(code, anchors), truth, atol=1e-3)


@given(seed=st.integers(0, 10**6), count=st.integers(0, 25), overlap=st.floats(0.1, 0.9))
def test_suppression_keeps_the_best_of_what_overlaps(seed: int, count: int, overlap: float) -> None:
    candidates = boxes(seed, count)
    scores = np.round(np.random.default_rng(seed).random(count), 1)
    kept = detection.non_maximum_suppression(candidates, scores, overlap)
    assert (np.diff(scores[kept]) <= 0).all()
    among = detection.iou(candidates[kept], candidates[kept])
    assert (among[~np.eye(len(kept), dtype=bool)] <= overlap).all()
    for dropped in set(range(count)) - set(kept.tolist()):
        better = kept[scores[kept] >= scores[dropped]]
        near = detection.iou(candidates[dropped : dropped + 1], candidates[better])
        assert (near > overlap).any()


def test_anchors_stand_in_the_order_of_the_network() -> None:
    anchors = detection.ssd_anchors(96)
    assert anchors.shape == (1296, 4)
    middle = (anchors[:, :2] + anchors[:, 2:]) / 2
    np.testing.assert_allclose(middle[0], [4, 4])
    np.testing.assert_allclose(middle[len(SHAPES[0])], [12, 4])  # along the row first
    np.testing.assert_allclose(middle[12 * len(SHAPES[0])], [4, 12])
    coarse = (96 // STRIDES[0]) ** 2 * len(SHAPES[0])
    np.testing.assert_allclose(middle[coarse], [8, 8])
    sizes, larger = (a[:5, 2:] - a[:5, :2] for a in (anchors, detection.ssd_anchors(192)))
    np.testing.assert_allclose(larger, sizes * 2)
    with pytest.raises(RobustnessError, match="multiple of 16"):
        detection.ssd_anchors(100)


@given(seed=st.integers(0, 10**6), count=st.integers(0, 5))
@settings(max_examples=40)
def test_what_the_anchors_are_taught_decodes_to_the_objects(seed: int, count: int) -> None:
    anchors = detection.ssd_anchors(96)
    truth = boxes(seed, count)
    labels = np.random.default_rng(seed).integers(0, 2, count)
    matched = detection.match_anchors(anchors, truth, labels, 2)
    rows = np.flatnonzero(matched.classes.any(axis=1))
    assert (matched.counted[rows] == 1).all()
    assert not matched.offsets[np.setdiff1d(np.arange(len(anchors)), rows)].any()
    decoded = detection.decode_boxes(matched.offsets[rows], anchors[rows])
    for box, taught in zip(decoded, matched.classes[rows].argmax(axis=1), strict=True):
        gaps = np.abs(truth - box).max(axis=1)
        assert gaps.min() < 0.01
        assert labels[gaps.argmin()] == taught


def test_an_object_cut_by_the_edge_teaches_nothing() -> None:
    anchors = detection.ssd_anchors(96)
    truth = np.array([[40.0, 40, 56, 56]])
    matched = detection.match_anchors(anchors, truth, np.zeros(1, int), 2, np.array([True]))
    assert not matched.classes.any()
    assert not matched.counted[detection.iou(anchors, truth)[:, 0] > 0.5].any()
    assert matched.counted.mean() > 0.9


def test_predictions_decode_to_the_objects_that_they_encode() -> None:
    anchors = detection.ssd_anchors(96)
    truth, labels = np.array([[10.0, 10, 27, 18], [50, 40, 66, 57]]), np.array([0, 1])
    matched = detection.match_anchors(anchors, truth, labels, 2)
    raw = np.concatenate([matched.classes * 12 - 6, matched.offsets], axis=1)[None]
    (found,) = detection.decode_predictions(raw, anchors, score=0.5)
    assert len(found) == 2
    order = np.argsort(found.labels)
    np.testing.assert_array_equal(found.labels[order], labels)
    np.testing.assert_allclose(found.boxes[order], truth, atol=0.01)
    assert len(found.above(0.999)) == 0
    with pytest.raises(RobustnessError, match="NaN"):
        detection.decode_predictions(raw * np.nan, anchors)
    with pytest.raises(RobustnessError, match="1296"):
        detection.decode_predictions(raw[:, :-1], anchors)


@given(seed=st.integers(0, 10**6))
@settings(max_examples=30)
def test_turning_a_picture_turns_its_boxes(seed: int) -> None:
    """A bright rectangle is where its box says, before and after."""
    rng = np.random.default_rng(seed)
    x, y = rng.integers(2, 15, 2)
    image = np.zeros((32, 32, 3), np.float32)
    image[y : y + 6, x : x + 11] = 0.9
    box = np.array([[x, y, x + 11, y + 6]], np.float32)
    turned, (moved,) = detection.Augmentation(colour=0.0)(image, box, rng)
    rows, columns = np.nonzero(turned[..., 0])
    seen = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    np.testing.assert_allclose(moved, seen)


def test_augmentation_names_what_is_wrong() -> None:
    assert "rain" not in detection.Augmentation.physical(without=["rain"]).perturbations
    with pytest.raises(RobustnessError, match="hail"):
        detection.Augmentation(perturbations=["hail"])
    with pytest.raises(RobustnessError, match="severities"):
        detection.Augmentation(severities=(0,))
    with pytest.raises(RobustnessError, match="share"):
        detection.Augmentation(share=2.0)
