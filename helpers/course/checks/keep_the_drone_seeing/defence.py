"""A filter before the detector, and what a patch hides: q6 and q7."""

from __future__ import annotations

from typing import Any

import numpy as np

from helpers.course.compare import Slips, close, equal, or_explain, row_of
from helpers.course.tasks import Case, FunctionTask
from helpers.robustness.detection.boxes import iou
from helpers.robustness.detection.filters import stretch_contrast

# --- q6: contrast stretch


def _stretch_reference(picture: Any) -> np.ndarray:
    return stretch_contrast(np.asarray(picture, np.float32)[None])[0]


def _stretch_cases(rng: np.random.Generator) -> list[Case]:
    scene = rng.uniform(0, 1, (24, 24, 3)).astype(np.float32)
    tinted = (0.35 + 0.2 * scene * [1.0, 0.8, 0.5]).astype(np.float32)
    spark = (0.4 + 0.1 * scene).astype(np.float32)
    spark[3, 5] = 1.0
    return [
        Case((tinted,), "fog, with a tint"),
        Case((0.2 * scene,), "dusk"),
        Case((spark,), "fog, and one pixel that glares"),
        Case((np.full((8, 8, 3), 0.5, np.float32),), "one grey: nothing to stretch"),
        Case(((0.5 + 5e-4 * scene).astype(np.float32),), "nearly one grey: nothing to stretch"),
        Case(((0.5 + 5e-3 * scene).astype(np.float32),), "thick fog: narrow, and wide enough"),
    ]


def _moved(picture: Any, low: Any, high: Any) -> np.ndarray:
    wide = np.asarray(high - low)
    return np.clip((picture - low) / np.where(wide > 1e-3, wide, 1.0), 0, 1) + 0 * picture


def _kept(picture: Any, result: np.ndarray) -> np.ndarray:
    return np.asarray(picture if np.ptp(picture) < 1e-3 else result)


_STRETCH_SLIPS: Slips = {
    "each channel is stretched by itself, which changes colours: take the percentiles over all "
    "three together": lambda p: _kept(
        p, _moved(p, np.percentile(p, 1, axis=(0, 1)), np.percentile(p, 99, axis=(0, 1)))
    ),
    "one glaring pixel decides here: take the 1st and the 99th percentile, not the extremes": (
        lambda p: _kept(p, _moved(p, p.min(), p.max()))
    ),
    "pixels beyond the percentiles leave [0, 1]: cut them": lambda p: _kept(
        p,
        (p - np.percentile(p, 1)) / max(float(np.percentile(p, 99) - np.percentile(p, 1)), 1e-3),
    ),
    "a range of 0.001 or less is noise: give such a picture back as it is": lambda p: (
        (p - np.percentile(p, 1)) / (np.percentile(p, 99) - np.percentile(p, 1))
        if np.ptp(p) > 0
        else p
    ).clip(0, 1),
    "thick fog is narrow, and has to be stretched: only 0.001 or less stays as it is": lambda p: (
        _stretch_reference(p) if np.ptp(p) > 0.05 else p
    ),
    "a picture of one grey has no range: give it back as it is": lambda p: (
        _stretch_reference(p) if np.ptp(p) > 1e-3 else np.zeros_like(p)
    ),
}

# --- q7: what a patch hides


def _hidden_reference(objects: Any, before: Any, after: Any) -> tuple[int, int]:
    seen = _covered(objects, before)
    return int(seen.sum()), int((seen & ~_covered(objects, after)).sum())


def _covered(objects: Any, boxes: Any, least: float = 0.5) -> np.ndarray:
    if not len(boxes):
        return np.zeros(len(objects), bool)
    return np.asarray(iou(np.asarray(objects, float), np.asarray(boxes, float)) >= least).any(
        axis=1
    )


def _hidden_cases(rng: np.random.Generator) -> list[Case]:
    corner = 12.0 * np.arange(6)[:, None] * [[1.0, 0.5]]
    cars = np.concatenate([corner, corner + np.array([[10.0, 8.0]])], axis=1)
    near = cars + rng.uniform(-0.6, 0.6, cars.shape)
    none = np.zeros((0, 4))
    return [
        Case((cars, near, near[[0, 2, 3]]), "six seen, three left"),
        Case((cars, np.concatenate([near, near]), near[:5] + 0.2), "each seen twice"),
        Case((cars, near[:4], near[2:]), "two were not seen before, but after"),
        Case((cars, near[:4], near[1:3]), "two were never seen"),
        Case((cars, near, none), "all hidden"),
        Case((cars, none, near), "none seen before"),
        Case((cars[:1], cars[:1] * [[1, 1, 1, 0.5]], none), "seen by half: 0.5 is enough"),
    ]


_MORE = float(np.nextafter(0.5, 1))
_HIDDEN_SLIPS: Slips = {
    "an object that was not seen before cannot be hidden: count among those seen": (
        lambda o, b, a: (int(_covered(o, b).sum()), int((~_covered(o, a)).sum()))
    ),
    "an object seen only afterwards does not make up for one that is hidden": (
        lambda o, b, a: (
            int(_covered(o, b).sum()), int(_covered(o, b).sum()) - int(_covered(o, a).sum())
        )
    ),
    "an IoU of exactly 0.5 is enough": (
        lambda o, b, a: (
            int(_covered(o, b, _MORE).sum()),
            int((_covered(o, b, _MORE) & ~_covered(o, a, _MORE)).sum()),
        )
    ),
    "these are boxes; count objects, however many boxes found each": (
        lambda o, b, a: (len(b), max(len(b) - len(a), 0))
    ),
    "the second number is of those hidden, not of those still seen": (
        lambda o, b, a: (int(_covered(o, b).sum()), int((_covered(o, b) & _covered(o, a)).sum()))
    ),
}  # fmt: skip

STRETCH = FunctionTask(
    "q6", "A filter for haze", 2, _stretch_reference, _stretch_cases,
    or_explain(close(rtol=0, atol=1e-4), _STRETCH_SLIPS),
    "np.percentile(picture, [1, 99]) without an axis takes all three channels together. What does "
    "your formula divide by in a picture of one grey?",
)  # fmt: skip
HIDDEN = FunctionTask(
    "q7", "What the patch hides", 2, _hidden_reference, _hidden_cases,
    or_explain(row_of(equal()), _HIDDEN_SLIPS),
    "overlaps(objects, boxes) >= 0.5 says which pairs fit; .any(axis=1) asks for each object "
    "whether one box does. It works for no boxes too.",
)  # fmt: skip
