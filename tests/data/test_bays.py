"""Bays: balanced crops with one label, at the same places in every version of the frames."""

from __future__ import annotations

import numpy as np
import pytest

from helpers import data
from helpers.data.bays import EMPTY, Bays, find_bays
from helpers.errors import DataError


@pytest.fixture(scope="module")
def scenes() -> data.Annotated:
    return data.aerial_scenes(40, 1, side=96, seed=3).train


def middle_boxes(scenes: data.Annotated, bays: Bays, i: int) -> list[int]:
    """Classes of the vehicles that reach the middle half of a bay."""
    frame, low = bays.frames[i], bays.corners[i, ::-1] + bays.side / 4
    boxes = scenes.boxes[frame]
    inside = (boxes[:, :2] < low + bays.side / 2).all(1) & (boxes[:, 2:] > low).all(1)
    return list(scenes.labels[frame][inside])


def test_a_label_says_what_stands_in_the_middle(scenes: data.Annotated) -> None:
    bays = find_bays(scenes, 32)
    for i, label in enumerate(bays.labels):
        seen = middle_boxes(scenes, bays, i)
        assert (not seen) if label == EMPTY else label - 1 in seen


def test_classes_are_balanced_and_a_seed_fixes_all(scenes: data.Annotated) -> None:
    bays = find_bays(scenes, 32, seed=1)
    assert len(set(np.bincount(bays.labels, minlength=3))) == 1
    again, other = find_bays(scenes, 32, seed=1), find_bays(scenes, 32, seed=2)
    np.testing.assert_array_equal(bays.corners, again.corners)
    assert not np.array_equal(bays.frames, other.frames)
    assert np.bincount(find_bays(scenes, 32, limit=5).labels).tolist() == [5, 5, 5]


def test_one_bay_a_frame_makes_bays_independent(scenes: data.Annotated) -> None:
    bays = find_bays(scenes, 32, per_frame=1)
    assert len(set(bays.frames.tolist())) == len(bays) > 20
    assert max(np.bincount(find_bays(scenes, 32, per_frame=2).frames)) == 2


def test_bays_are_cut_where_they_were_found_from_any_version(scenes: data.Annotated) -> None:
    bays = find_bays(scenes, 24)
    darker = scenes.images * np.float32(0.5)
    np.testing.assert_array_equal(bays.cut(darker), bays.cut(scenes.images) * np.float32(0.5))
    row, column = bays.corners[2]
    whole = scenes.images[bays.frames[2]]
    np.testing.assert_array_equal(
        bays.cut(scenes.images)[2], whole[row : row + 24, column : column + 24]
    )


def test_bad_input_is_named(scenes: data.Annotated) -> None:
    with pytest.raises(DataError, match="side=97"):
        find_bays(scenes, 97)
    with pytest.raises(DataError, match="per_frame=0"):
        find_bays(scenes, 32, per_frame=0)
    with pytest.raises(DataError, match="no bay"):
        find_bays(scenes, 32, num_classes=3)
    with pytest.raises(DataError, match="found in"):
        find_bays(scenes, 32).cut(scenes.images[:2])
