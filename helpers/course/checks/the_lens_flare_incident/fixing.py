"""A cheap filter before the network, and a flag for what it cannot see: q5 and q6."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.ndimage import uniform_filter

from helpers.course.compare import Slips, close, or_explain
from helpers.course.tasks import Case, FunctionTask

# --- q5: local contrast


def _parts(images: Any, size: int) -> tuple[Any, Any]:
    box = (1, size, size, 1)
    mean = uniform_filter(images, box)
    variance = uniform_filter(images**2, box) - mean**2
    return mean, np.sqrt(np.maximum(variance, 0.0))


def _filter_reference(images: Any, size: int, floor: float) -> np.ndarray:
    mean, deviation = _parts(images, size)
    return np.clip(0.5 + 0.2 * (images - mean) / (deviation + floor), 0.0, 1.0)


def _filter_cases(rng: np.random.Generator) -> list[Case]:
    picture = rng.uniform(0.2, 0.8, (2, 12, 12, 3))
    return [
        Case((picture, 5, 0.05), "a picture"),
        Case((0.4 * picture + 0.5, 5, 0.05), "the same behind a veil"),
        Case((rng.uniform(0, 1, (1, 10, 14, 3)), 7, 0.02), "not square"),
        Case((np.full((1, 8, 8, 3), 0.7), 3, 0.05), "an even grey stays in the middle"),
        Case((_spark(), 3, 0.01), "one bright pixel on black: clip"),
        Case((_bright(rng), 5, 0.05), "a saturated patch in float32, where rounding bites"),
        Case((_half_white(rng), 5, 0.05), "texture beside a saturated patch"),
    ]


def _spark() -> np.ndarray:
    picture = np.zeros((1, 9, 9, 3))
    picture[0, 4, 4] = 1.0
    return picture


def _bright(rng: np.random.Generator) -> np.ndarray:
    return (0.9971 + 2e-5 * rng.standard_normal((1, 16, 16, 3))).astype(np.float32)


def _half_white(rng: np.random.Generator) -> np.ndarray:
    picture = rng.uniform(0.2, 0.8, (1, 16, 16, 3))
    picture[:, :, 6:] = 1.0
    return picture


def _variance_for_deviation(images: Any, size: int, floor: float) -> np.ndarray:
    mean, deviation = _parts(images, size)
    return np.clip(0.5 + 0.2 * (images - mean) / (deviation**2 + floor), 0.0, 1.0)


def _across_colours(images: Any, size: int, floor: float) -> np.ndarray:
    mean = uniform_filter(images, (0, size, size, size))
    variance = uniform_filter(images**2, (0, size, size, size)) - mean**2
    deviation = np.sqrt(np.maximum(variance, 0.0))
    return np.clip(0.5 + 0.2 * (images - mean) / (deviation + floor), 0.0, 1.0)


def _over_pictures(images: Any, size: int, floor: float) -> np.ndarray:
    mean = uniform_filter(images, size)
    deviation = np.sqrt(np.maximum(uniform_filter(images**2, size) - mean**2, 0.0))
    return np.clip(0.5 + 0.2 * (images - mean) / (deviation + floor), 0.0, 1.0)


def _whole_picture(images: Any, size: int, floor: float) -> np.ndarray:
    mean, deviation = images.mean((1, 2), keepdims=True), images.std((1, 2), keepdims=True)
    return np.clip(0.5 + 0.2 * (images - mean) / (deviation + floor), 0.0, 1.0)


def _floor_in_variance(images: Any, size: int, floor: float) -> np.ndarray:
    mean, deviation = _parts(images, size)
    scale = np.maximum(deviation, floor)
    return np.clip(0.5 + 0.2 * (images - mean) / scale, 0.0, 1.0)


def _each_from_its_own_mean(images: Any, size: int, floor: float) -> np.ndarray:
    mean, _ = _parts(images, size)
    deviation = np.sqrt(uniform_filter((images - mean) ** 2, (1, size, size, 1)))
    return np.clip(0.5 + 0.2 * (images - mean) / (deviation + floor), 0.0, 1.0)


def _unguarded(images: Any, size: int, floor: float) -> np.ndarray:
    box = (1, size, size, 1)
    mean = uniform_filter(images, box)
    deviation = np.sqrt(uniform_filter(images**2, box) - mean**2)
    return np.clip(0.5 + 0.2 * (images - mean) / (deviation + floor), 0.0, 1.0)


def _floor_under_the_root(images: Any, size: int, floor: float) -> np.ndarray:
    mean, deviation = _parts(images, size)
    return np.clip(0.5 + 0.2 * (images - mean) / np.sqrt(deviation**2 + floor), 0.0, 1.0)


_FILTER_SLIPS: Slips = {
    "in a flat patch rounding makes the variance a hair below 0, and its root is not a number: "
    "take np.maximum(variance, 0) before the root": _unguarded,
    "the result is clipped to [0, 1]": lambda images, size, floor: (
        0.5 + 0.2 * (images - _parts(images, size)[0]) / (_parts(images, size)[1] + floor)
    ),
    "each neighbour's distance is taken from the mean of ITS OWN box here; in one box there is one "
    "mean: the mean of the squares minus the square of the mean": _each_from_its_own_mean,
    "divide by the deviation, the root of the variance": _variance_for_deviation,
    "this box also mixes colours or pictures: the size along those axes is 1": _across_colours,
    "one number as size makes a box across pictures and colours as well: (1, size, size, 1)": (
        _over_pictures
    ),
    "this is the mean of the whole picture; the veil near the sun is thicker: use the box": (
        _whole_picture
    ),
    "`floor` is added to the deviation, so that noise on an even patch is not blown up": (
        _floor_in_variance
    ),
    "`floor` is added to the deviation, after the root": _floor_under_the_root,
    "the result belongs around 0.5: half, plus a fifth of the quotient": lambda i, s, f: np.clip(
        (_filter_reference(i, s, f) - 0.5) / 0.2, 0, 1
    ),
}

FILTER = FunctionTask(
    "q5", "A filter for the contrast", 2, _filter_reference, _filter_cases,
    or_explain(close(rtol=1e-4, atol=1e-4), _FILTER_SLIPS),
    "The variance in a box is the mean of the squares minus the square of the mean. Rounding can "
    "make it a hair negative: np.maximum(..., 0).",
)  # fmt: skip

# --- q6: the flag


def _flag_reference(right: Any, clipped: Any, limit: float) -> list[float | None]:
    answered = np.asarray(clipped) <= limit
    accuracy = float(np.asarray(right)[answered].mean()) if answered.any() else None
    return [float(answered.mean()), accuracy]


def _flag_cases(rng: np.random.Generator) -> list[Case]:
    clipped = np.round(rng.uniform(0.0, 0.6, 80), 2)
    right = rng.random(80) > clipped
    return [
        Case((right, clipped, 0.2), "answer below a fifth"),
        Case((right, clipped, 1.0), "always answer"),
        Case((right, clipped + 0.1, 0.05), "never answer: no accuracy, None"),
        Case((right, clipped, float(clipped[3])), "exactly at the limit is still answered"),
    ]


def _flag_strict(right: Any, clipped: Any, limit: float) -> list[float | None]:
    answered = np.asarray(clipped) < limit
    accuracy = float(np.asarray(right)[answered].mean()) if answered.any() else None
    return [float(answered.mean()), accuracy]


_FLAG_SLIPS: Slips = {
    "where nothing is answered there is no accuracy: None": lambda r, c, limit: [
        _flag_reference(r, c, limit)[0],
        _flag_reference(r, c, limit)[1] or 0.0,
    ],
    "the mean of nothing is NaN; where nothing is answered the accuracy is None": (
        lambda r, c, limit: [
            (found := _flag_reference(r, c, limit))[0],
            np.nan if found[1] is None else found[1],
        ]
    ),
    "exactly at the limit is still answered: <=": _flag_strict,
    "the second number is the accuracy on what is answered, not on all": lambda r, c, limit: [
        float(np.mean(np.asarray(c) <= limit)),
        float(np.mean(np.asarray(r) & (np.asarray(c) <= limit))),
    ],
    "these are the refused ones; coverage counts what is answered": lambda r, c, limit: (
        _flag_reference(r, -np.asarray(c), -np.nextafter(limit, 9))
    ),
}

FLAG = FunctionTask(
    "q6", "I cannot see", 1, _flag_reference, _flag_cases,
    or_explain(close(rtol=1e-6, parts=("coverage", "accuracy")), _FLAG_SLIPS),
    "Write down first which bays are answered, as true and false. Both numbers come from that; "
    "what has the second one to divide by, and can that be nothing?",
)  # fmt: skip
