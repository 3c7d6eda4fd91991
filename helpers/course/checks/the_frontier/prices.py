"""What robustness costs, and where it is lost: q4 and q5."""

from __future__ import annotations

from typing import Any

import numpy as np

from helpers.course.compare import Slips, close, or_explain, row_of
from helpers.course.tasks import Case, FunctionTask

Z95 = 1.959964

# --- q4: a difference on the same images, with its interval


def _gap_reference(first: Any, second: Any) -> list[float]:
    change = np.asarray(second, np.float64) - np.asarray(first, np.float64)
    middle = float(change.mean())
    reach = Z95 * float(change.std(ddof=1)) / np.sqrt(len(change))
    return [middle, middle - reach, middle + reach]


def _gap_cases(rng: np.random.Generator) -> list[Case]:
    hard = rng.random(400)
    plain, sturdy = hard < 0.95, (hard < 0.86) | (rng.random(400) < 0.05)
    other_plain, other = hard < 0.97, (hard < 0.955) | (rng.random(400) < 0.02)
    prices = [a.astype(float) - b for a, b in ((plain, sturdy), (other_plain, other))]
    return [
        Case((plain, sturdy), "two designs, true and false"),
        Case((rng.random(300) < 0.5, rng.random(300) < 0.7), "designs that err independently"),
        Case((prices[1], prices[0]), "two prices: each image is -1, 0 or 1"),
        Case((rng.random(250), rng.random(250)), "any two numbers for each image"),
    ]


def _unpaired(first: Any, second: Any) -> list[float]:
    a, b = (np.asarray(values, np.float64) for values in (first, second))
    middle = float(b.mean() - a.mean())
    reach = Z95 * float(np.sqrt(a.var(ddof=1) / len(a) + b.var(ddof=1) / len(b)))
    return [middle, middle - reach, middle + reach]


def _wider(factor: Any) -> Any:
    def slip(first: Any, second: Any) -> list[float]:
        middle, low, _ = _gap_reference(first, second)
        reach = (middle - low) * factor(len(np.asarray(first)))
        return [middle, middle - reach, middle + reach]

    return slip


_GAP_SLIPS: Slips = {
    "the sign is turned: second minus first": lambda a, b: _gap_reference(b, a),
    "this treats the two as tried on different images; take the difference image by image, and "
    "its deviation": _unpaired,
    "this is the deviation of one image; of a mean of n it is smaller by the root of n": _wider(
        np.sqrt
    ),
    "the factor for 95 % on both sides is 1.96": _wider(lambda n: 1.645 / Z95),
    "this is one standard error; 95 % need 1.96 of them": _wider(lambda n: 1 / Z95),
    "here the deviation is divided by n instead of its root": _wider(lambda n: 1 / np.sqrt(n)),
    "the order is: difference, low, high": lambda a, b: [
        _gap_reference(a, b)[place] for place in (1, 0, 2)
    ],
}

GAP = FunctionTask(
    "q4", "The price, with its interval", 2, _gap_reference, _gap_cases,
    or_explain(row_of(close(rtol=1e-2, atol=5e-4)), _GAP_SLIPS),
    "NumPy does not subtract true and false: turn both into numbers first, with "
    "`np.asarray(first, float)`. Then only the vector of differences counts.",
)  # fmt: skip

# --- q5: where the robust error comes from


def _share_reference(on_training: Any, on_test: Any) -> float | None:
    error = 1.0 - float(on_test)
    return (1.0 - float(on_training)) / error if error > 0 else None


def _share_cases(rng: np.random.Generator) -> list[Case]:
    return [
        Case((0.75, 0.6), "it already fails on a quarter of what it was trained on"),
        Case((1.0, 0.4), "perfect on the training images: all is lost on the way to new ones"),
        Case((0.3, 0.3), "the same on both"),
        Case((0.48, 0.5), "a little worse on the training images, by chance: above 1"),
        Case((float(rng.uniform(0.6, 0.8)), float(rng.uniform(0.3, 0.5))), "drawn"),
        Case((1.0, 1.0), "no error at all: None"),
    ]


_SHARE_SLIPS: Slips = {
    "these are accuracies; the question is about the errors, 1 minus each": lambda train, test: (
        train / test if test < 1 else None
    ),
    "this is the other part, which new images add": lambda train, test: (
        (train - test) / (1 - test) if test < 1 else None
    ),
    "this divides the error on new images by that on training images": lambda train, test: (
        ((1 - test) / (1 - train) if train < 1 else float("inf")) if test < 1 else None
    ),
    "a share above 1 can come by chance; leave it as it is": lambda train, test: (
        min(1.0, (1 - train) / (1 - test)) if test < 1 else None
    ),
    "this is the gap itself; return a share of the error on new images": lambda train, test: (
        train - test if test < 1 else None
    ),
    "where there is no error on new images there is nothing to share out: return None": (
        lambda train, test: (1 - train) / (1 - test) if test < 1 else 0.0
    ),
}

SHARE = FunctionTask(
    "q5", "Cannot fit, or does not carry over", 1, _share_reference, _share_cases,
    or_explain(close(rtol=1e-9), _SHARE_SLIPS),
    "The error is 1 minus the accuracy. Divide the error on training images by the error on new "
    "ones.",
)  # fmt: skip
