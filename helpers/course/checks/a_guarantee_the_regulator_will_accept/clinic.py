"""What a certificate means in a clinic: rates with abstentions, and light as a distance. q5, q6."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from helpers.course.compare import Comparison, Slips, close, or_explain
from helpers.course.tasks import Case, FunctionTask

# --- q5: accuracy, sensitivity and specificity at a radius


def _rates(
    drop: bool = False,
    ignore_radius: bool = False,
    predictive: bool = False,
    swap: bool = False,
    of: str = "its class",
    scale: float = 1.0,
) -> Callable[[Any, Any, Any, float], tuple[float, float, float]]:
    """The three rates, or the three with one thing wrong."""

    def rates(labels: Any, radii: Any, truth: Any, radius: float) -> tuple[float, float, float]:
        answer, known = np.asarray(labels), np.asarray(truth)
        holds = (answer == known) & (ignore_radius | (np.asarray(radii) >= radius))
        kept = answer >= 0 if drop else np.ones(len(known), bool)
        if of == "certified":
            kept = np.asarray(radii) >= radius
        side = answer if predictive else known
        everyone = len(known) if of == "all" else None
        ill, well = (
            scale * float(np.sum(holds[here]) / (everyone or np.sum(here)))
            for here in (kept & (side == 1), kept & (side == 0))
        )
        return (scale * float(np.mean(holds[kept])), *((well, ill) if swap else (ill, well)))

    return rates


def _rates_cases(rng: np.random.Generator) -> list[Case]:
    def case(n: int, radius: float, label: str) -> Case:
        truth = rng.permutation(np.arange(n) % 3 == 0).astype(int)
        labels = np.where(rng.random(n) < 0.8, truth, 1 - truth)
        radii = rng.uniform(0.01, 0.6, n)
        gone = rng.permutation(np.arange(n) % 5 == 0)
        return Case((np.where(gone, -1, labels), np.where(gone, 0.0, radii), truth, radius), label)

    return [
        case(60, 0.25, "at 0.25"),
        case(60, 0.0, "at 0: right, and not abstained"),
        case(45, 0.5, "at 0.5"),
    ]


_RATES_SLIPS: Slips = {
    "abstentions were left out; a device that does not answer has not found anything": _rates(
        drop=True
    ),
    "an answer counts only if its radius reaches the one asked for": _rates(ignore_radius=True),
    "sensitivity is the share of those who *have* a melanoma, not of those who are told so": (
        _rates(predictive=True)
    ),
    "sensitivity comes first: class 1 is melanoma": _rates(swap=True),
    "sensitivity and specificity are shares of the lesions of their own class, not of all": _rates(
        of="all"
    ),
    "these are shares of what is certified; those that are not certified count as well": _rates(
        of="certified"
    ),
    "these are percentages; shares, between 0 and 1, were asked for": _rates(scale=100.0),
}


def _as_list(compare: Comparison) -> Comparison:
    """Take an array of three numbers for a tuple of three."""

    def compared(got: Any, expected: Any, args: tuple[Any, ...]) -> str | None:
        return compare(got.tolist() if isinstance(got, np.ndarray) else got, expected, args)

    return compared


# --- q6: a change of light as a distance


def _light_reference(radius: float, height: int, width: int, channels: int) -> float:
    return radius / math.sqrt(height * width * channels)


def _light_cases(rng: np.random.Generator) -> list[Case]:
    radius = float(rng.uniform(0.3, 0.7))
    return [
        Case((radius, 48, 48, 3), "the dermatoscope's pictures"),
        Case((radius, 224, 224, 3), "the same radius at 224 pixels"),
        Case((1.0, 10, 20, 1), "a grey picture that is not square"),
    ]


_LIGHT_SLIPS: Slips = {
    "the length of a vector is the root of the sum of squares, so the root of their number "
    "counts": lambda r, h, w, c: r / (h * w * c),
    "the radius stands outside of the root: only the number of values is inside": (
        lambda r, h, w, c: math.sqrt(r / (h * w * c))
    ),
    "this is in grey levels; values lie between 0 and 1 here": (
        lambda r, h, w, c: 255 * r / math.sqrt(h * w * c)
    ),
    "every channel changes as well": lambda r, h, w, c: r / math.sqrt(h * w),
    "this is the length of a shift of `radius`; the shift of that length was asked for": (
        lambda r, h, w, c: r * math.sqrt(h * w * c)
    ),
}

RATES = FunctionTask(
    "q5", "What is certified, in a clinic's words", 2, _rates(), _rates_cases,
    _as_list(or_explain(close(parts=("accuracy", "sensitivity", "specificity")), _RATES_SLIPS)),
    "First an array that says which answers are right and certified far enough; then its mean over "
    "all, over the lesions of class 1, and over those of class 0.",
)  # fmt: skip
LIGHT = FunctionTask(
    "q6", "How much light is a radius", 1, _light_reference, _light_cases,
    or_explain(close(), _LIGHT_SLIPS),
    "A shift b of every value has the L2 length sqrt(b² + b² + ...). How many terms are there?",
)  # fmt: skip
