"""What a robust accuracy is, and how sure one is of it: q4 and q5."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import stats

from helpers.course.compare import Slips, close, or_explain, row_of
from helpers.course.tasks import Case, FunctionTask
from helpers.robustness.target import proportion_interval

# --- q4: the worst of several attacks


def _worst_reference(truth: Any, clean: Any, attacked: Any) -> float:
    right = np.asarray(clean) == truth
    return float(np.mean(right & (np.asarray(attacked) == truth).all(axis=0)))


def _worst_cases(rng: np.random.Generator) -> list[Case]:
    def case(
        attacks: int, images: int, error: float, fall: float, label: str, idle: bool = False
    ) -> Case:
        truth = rng.integers(0, 5, images)

        def wrong(share: float, shape: tuple[int, ...]) -> np.ndarray:
            off = rng.integers(1, 5, shape) * (rng.random(shape) < share)
            return np.asarray((truth + off) % 5)

        clean = wrong(error, (images,))
        attacked = np.stack([clean, clean]) if idle else wrong(fall, (attacks, images))
        return Case((truth, clean, attacked), label)

    return [
        case(3, 227, 0.25, 0.3, "three attacks, each fools other images"),
        case(1, 97, 0.3, 0.3, "one attack, which turns some errors right by chance"),
        case(2, 20, 0.2, 1.0, "nothing is left"),
        case(2, 20, 0.3, 0.0, "two attacks that turn errors right: none of those was robust"),
        case(2, 40, 0.4, 0.0, "two attacks that change no label: the clean accuracy is left", True),
    ]


_WORST_SLIPS: Slips = {
    "an image that was wrong from the start cannot be robust, whatever an attack makes of it": (
        lambda t, c, a: np.mean((np.asarray(a) == t).all(axis=0))
    ),
    "this is a count of images; return their share of all": lambda t, c, a: (
        _worst_reference(t, c, a) * len(t)
    ),
    "this is the best attack's number; an image also falls if another attack fools it": (
        lambda t, c, a: min(np.mean((np.asarray(c) == t) & (row == t)) for row in np.asarray(a))
    ),
    "this is the lowest of the attacks' own numbers; look at each image, whether any attack fools "
    "it": lambda t, c, a: np.min(np.mean(np.asarray(a) == t, axis=1)),
    "this is the average attack; an attacker takes the best for each image": lambda t, c, a: (
        np.mean([(np.asarray(c) == t) & (row == t) for row in np.asarray(a)])
    ),
    "an image counts as robust only if EVERY attack left it right": lambda t, c, a: np.mean(
        (np.asarray(c) == t) & (np.asarray(a) == t).any(axis=0)
    ),
    "this is a share of the images once right; robust accuracy is a share of all images": (
        lambda t, c, a: _worst_reference(t, c, a) / np.mean(np.asarray(c) == t)
    ),
    "compare with the truth: a change from one wrong label to another fools nobody": (
        lambda t, c, a: np.mean((np.asarray(a) == c).all(axis=0))
    ),
    "this is what fell; return what is left": lambda t, c, a: 1 - _worst_reference(t, c, a),
}

WORST = FunctionTask(
    "q4", "What is left", 2, _worst_reference, _worst_cases,
    or_explain(close(atol=1e-9), _WORST_SLIPS),
    "`attacked == truth` has a row for each attack. Which images are right in every row, and were "
    "right before?",
)  # fmt: skip

# --- q5: how sure


def _interval_reference(left: int, images: int) -> list[float]:
    return list(proportion_interval(left, images))


def _interval_cases(rng: np.random.Generator) -> list[Case]:
    images = int(rng.integers(60, 300))
    return [
        Case((int(rng.integers(5, 50)), images), "somewhere between"),
        Case((0, 100), "nothing is left: the lower end is 0, the upper one is not"),
        Case((100, 100), "all are left"),
        Case((1, 20), "few images, a wide interval"),
    ]


def _beta(tail: float) -> Callable[[int, int], list[float]]:
    def interval(left: int, images: int) -> list[float]:
        low = float(stats.beta.ppf(tail, left, images - left + 1)) if left else 0.0
        high = float(stats.beta.ppf(1 - tail, left + 1, images - left)) if left < images else 1.0
        return [low, high]

    return interval


def _normal(left: int, images: int) -> list[float]:
    share = left / images
    half = 1.959964 * (share * (1 - share) / images) ** 0.5
    return [share - half, share + half]


_INTERVAL_SLIPS: Slips = {
    "the lower end comes first, then the upper one": lambda k, n: _interval_reference(k, n)[::-1],
    "with nothing left, and with everything, one end is 0 or 1 and the other is not": lambda k, n: (
        [k / n, k / n] if k in (0, n) else _beta(0.025)(k, n)
    ),
    "this puts 5 % on each side; 95 % inside leave 2.5 % for each": _beta(0.05),
    "this is the normal approximation: with nothing left it is 0 to 0, which 100 images cannot "
    "show": _normal,
    "beta.ppf gives nan at the ends: with 0 left the lower end is 0, with all left the upper one "
    "is 1": lambda k, n: [
        float(stats.beta.ppf(0.025, k, n - k + 1)), float(stats.beta.ppf(0.975, k + 1, n - k))
    ],
    "the lower end belongs to beta(left, images - left + 1), the upper one to beta(left + 1, "
    "images - left)": lambda k, n: [
        float(stats.beta.ppf(0.025, k + 1, n - k + 1)),
        float(stats.beta.ppf(0.975, k + 1, n - k + 1)),
    ],
}  # fmt: skip

INTERVAL = FunctionTask(
    "q5", "How sure", 1, _interval_reference, _interval_cases,
    or_explain(row_of(close(atol=1e-6, parts=("the lower end", "the upper end"))), _INTERVAL_SLIPS),
    "Try it with left = 0 and with left = images before you run the check.",
)  # fmt: skip
