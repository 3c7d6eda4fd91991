"""What a certificate means in a clinic: rates with abstentions, and light as a distance. q5, q6."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from helpers.course.compare import Slips, close, or_explain, row_of
from helpers.course.tasks import Case, FunctionTask

# --- q5: accuracy, sensitivity and specificity at a radius


def _rates(
    drop: bool = False,
    ignore_radius: bool = False,
    predictive: bool = False,
    swap: bool = False,
    of: str = "its class",
    scale: float = 1.0,
    beyond: bool = False,
    silent: int = -1,
    count: bool = False,
) -> Callable[[Any, Any, Any, float], tuple[float, float, float]]:
    """The three rates, or the three with one thing wrong."""

    def rates(labels: Any, radii: Any, truth: Any, radius: float) -> tuple[float, float, float]:
        answer, known = np.asarray(labels), np.asarray(truth)
        reach = np.asarray(radii)
        far = reach > radius if beyond else reach >= radius
        told = np.where(answer < 0, silent, answer)
        holds = (told == known) & (ignore_radius | far | ((answer < 0) & (silent >= 0)))
        kept = answer >= 0 if drop else np.ones(len(known), bool)
        if of == "certified":
            kept = np.asarray(radii) >= radius
        side = answer if predictive else known
        everyone = 1 if count else len(known) if of == "all" else None
        ill, well = (
            scale * float(np.sum(holds[here]) / (everyone or np.sum(here)))
            for here in (kept & (side == 1), kept & (side == 0))
        )
        overall = float(np.sum(holds[kept]) if count else np.mean(holds[kept]))
        return (scale * overall, *((well, ill) if swap else (ill, well)))

    return rates


def _rates_cases(rng: np.random.Generator) -> list[Case]:
    def case(n: int, radius: float, label: str) -> Case:
        truth = rng.permutation(np.arange(n) % 3 == 0).astype(int)
        labels = np.where(rng.random(n) < 0.8, truth, 1 - truth)
        radii = rng.uniform(0.01, 0.6, n)
        gone = rng.permutation(np.arange(n) % 5 == 0)
        radii[np.flatnonzero((labels == truth) & ~gone)[0]] = radius
        return Case((np.where(gone, -1, labels), np.where(gone, 0.0, radii), truth, radius), label)

    return [
        case(60, 0.25, "at 0.25; one radius is just that"),
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
    "a radius that is just the one asked for counts: >=": _rates(beyond=True),
    "an abstention (-1) is no answer *naevus*: it counts nowhere": _rates(silent=0),
    "these are numbers of lesions; shares were asked for": _rates(count=True),
    "these are percentages; shares, between 0 and 1, were asked for": _rates(scale=100.0),
}


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
    or_explain(row_of(close(parts=("accuracy", "sensitivity", "specificity"))), _RATES_SLIPS),
    "First an array that says which answers are right and certified far enough; then its mean over "
    "all, over the lesions of class 1, and over those of class 0.",
)  # fmt: skip
LIGHT = FunctionTask(
    "q6", "How much light is a radius", 1, _light_reference, _light_cases,
    or_explain(close(), _LIGHT_SLIPS),
    "A shift b of every value has the L2 length sqrt(b² + b² + ...). How many terms are there?",
)  # fmt: skip
