"""Settings and arrays out of range are refused by name before any work, and give no number."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from helpers.errors import RobustnessError
from helpers.robustness.assessment import Plan
from helpers.robustness.budget import Budget
from helpers.robustness.certification.light import change_light, light_in_l2
from helpers.robustness.certification.lipschitz import largest_deviation, search_deviation
from helpers.robustness.certification.smoothing import majority
from helpers.robustness.curves import query_curve
from helpers.robustness.detection.augmentation import Augmentation
from helpers.robustness.detection.boxes import Detections, Truth, non_maximum_suppression
from helpers.robustness.detection.filters import median, stretch_contrast
from helpers.robustness.detection.metrics import coco_map
from helpers.robustness.frequency import fourier_wave, radial_frequencies
from helpers.robustness.perturbations.flare import Lens
from helpers.robustness.perturbations.objects import default_patch
from helpers.robustness.perturbations.scores import robustness
from helpers.robustness.queries import flat_differences, nes, score_margins, square
from helpers.robustness.screening import roc
from helpers.robustness.simba import simba
from helpers.robustness.target import Target, judge, proportion_interval

X = np.random.default_rng(0).random((4, 8, 8, 3)).astype(np.float32)
Y = np.array([0, 1, 2, 1])
BEYOND = np.array([0, 1, 2, 3])
SPOILT = np.where(np.arange(4)[:, None, None, None] == 1, np.float32(np.nan), X)
BOXES = np.array([[0.1, 0.1, 0.4, 0.4], [0.5, 0.5, 0.9, 0.9]])
BUDGET = Budget(0.1)


def three_scores(x: np.ndarray) -> np.ndarray:
    mean = x.mean(axis=(1, 2, 3))
    return np.stack([mean, 1 - mean, x[:, 0, 0, 0]], axis=1)


TARGET = Target(three_scores)
JUDGED = judge(TARGET, X, Y, X, attack="none", queries=np.arange(4))

REFUSED: list[tuple[Callable[[], Any], str]] = [
    (lambda: judge(TARGET, X, BEYOND, X, attack="none"), "labels from 0 to 3 do not fit the 3"),
    (lambda: square(TARGET, X, BEYOND, 0.1, queries=3), "do not fit the 3 classes"),
    (lambda: flat_differences(TARGET, X, BEYOND), "do not fit the 3 classes"),
    (lambda: score_margins(np.ones((4, 3)), Y - 1), "do not fit the 3 classes"),
    (lambda: score_margins(np.ones((4, 3)), Y[:2]), "expected .n, classes."),
    (lambda: square(TARGET, X, Y, 0.1, queries=3, share=0.0), r"share=0\.0"),
    (lambda: square(TARGET, X, Y, 0.1, queries=3, share=np.nan), "share=nan"),
    (lambda: nes(TARGET, X, Y, BUDGET, queries=3, step_size=0.0), r"step_size=0\.0"),
    (lambda: simba(TARGET, X, Y, BUDGET, queries=3, step_size=0.0), r"step_size=0\.0"),
    (lambda: BUDGET.project(X, X[:2]), "differ in shape"),
    (lambda: BUDGET.project(SPOILT, X), "must be finite"),
    (lambda: Budget(0.1, "l2").project([[0.5]], [[np.inf]]), "must be finite"),
    (lambda: BUDGET.project(X, X, (1.0, 0.0)), "two numbers that rise"),
    (lambda: largest_deviation(three_scores, three_scores, X[:0]), "inputs of shape"),
    (lambda: largest_deviation(three_scores, three_scores, SPOILT), "inputs of shape"),
    (
        lambda: largest_deviation(three_scores, lambda x: three_scores(x) * np.nan, X),
        "scores of shape .* finite",
    ),
    (lambda: largest_deviation(three_scores, lambda x: three_scores(x)[:, :2], X), "expected"),
    (lambda: search_deviation(three_scores, three_scores, SPOILT, radius=0.1), "inputs of shape"),
    (lambda: change_light(SPOILT, brightness=0.1), "images of shape"),
    (lambda: light_in_l2(X[:0], brightness=0.1), "images of shape"),
    (lambda: majority([90, 10], np.nan), "alpha=nan"),
    (lambda: majority([90, 10], 1.5), r"alpha=1\.5"),
    (lambda: majority([90], 0.01), "two classes or more"),
    (lambda: majority([90, -1], 0.01), "two classes or more"),
    (lambda: roc([0.1, np.nan], [0.2, 0.3]), "NaN among the suspicions"),
    (lambda: proportion_interval(2.5, 10), r"successes=2\.5"),  # type: ignore[arg-type]
    (lambda: query_curve(JUDGED, [-1, 2]), "from 0 on"),
    (lambda: query_curve(JUDGED, [np.nan, 2]), "from 0 on"),  # type: ignore[list-item]
    (lambda: robustness(0.9, {"fog": [0.5, -1.0]}), "at least 0; one is -1"),
    (lambda: Lens(ghosts=2.5), r"ghosts=2\.5"),  # type: ignore[arg-type]
    (lambda: Lens(blades=5), "even number"),
    (lambda: default_patch(2.5), r"side=2\.5"),  # type: ignore[arg-type]
    (lambda: Augmentation(blur=np.nan), "blur=nan"),
    (lambda: Augmentation(noise=np.nan), "noise=nan"),
    (lambda: Plan(0.1, seed=-1), "seed=-1"),
    (lambda: non_maximum_suppression(BOXES, np.array([0.9]), 0.5), "boxes .2, 4. and scores"),
    (lambda: non_maximum_suppression(BOXES, np.array([0.9, np.nan])), "finite"),
    (lambda: non_maximum_suppression(BOXES, np.array([0.9, 0.5]), np.nan), "overlap=nan"),
    (lambda: coco_map([Truth(BOXES, Y[:2])], [Detections(BOXES, [1, 1], Y[:2])], 2.5), "classes=2"),  # type: ignore[arg-type]
    (lambda: stretch_contrast(X, narrow=np.nan), "narrow=nan"),
    (lambda: stretch_contrast(SPOILT), "images of shape"),
    (lambda: median(X, 3.5), r"size=3\.5"),  # type: ignore[arg-type]
    (lambda: radial_frequencies(0, 8), "height=0"),
    (lambda: fourier_wave(8, 8, 1.5, 0), r"row=1\.5"),  # type: ignore[arg-type]
    (lambda: fourier_wave(0, 8, 1, 0), "height=0"),
]


@pytest.mark.parametrize(("ask", "message"), REFUSED)
def test_what_is_out_of_range_is_refused_by_name(ask: Callable[[], Any], message: str) -> None:
    with pytest.raises(RobustnessError, match=message):
        ask()


def test_a_budget_of_nothing_and_no_votes_are_in_range() -> None:
    none = Budget(0.0)
    assert nes(TARGET, X, Y, none, queries=30, pairs=2).distances.max() == 0
    assert simba(TARGET, X, Y, none, queries=3).distances.max() == 0
    assert majority([0, 0], 0.01) == -1
    assert len(non_maximum_suppression(np.zeros((0, 4)), np.zeros(0))) == 0
