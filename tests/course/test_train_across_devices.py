"""Lab 1's checks: slips are named on every seed, and another right deal passes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from helpers.course.checks.train_across_devices import LAB, measures, reading, training
from helpers.course.compare import Slips
from tests.course.judging import each, judge_of

judged = judge_of(LAB)

SLIPS: dict[str, Slips] = {
    "q2": training._UPDATE_SLIPS,
    "q3": training._AVERAGE_SLIPS,
    "q4": measures._TRAFFIC_SLIPS,
    "q5": measures._WORST_SLIPS,
    "q6": reading._IMAGES_SLIPS,
    "q7": reading._SHARES_SLIPS,
}


@pytest.mark.parametrize(("name", "told", "slip"), each(SLIPS))
def test_a_slip_fails_and_is_named(name: str, told: str, slip: Callable[..., Any]) -> None:
    for seed in range(3):
        found = judged(name, slip, seed)
        assert (found.status, found.explanation) == ("mismatch", told)


def dealt(
    labels: np.ndarray, devices: int, alpha: float, seed: int, *, shuffled: bool = True,
    anew: bool = True,
) -> list[np.ndarray]:  # fmt: skip
    """Exercise 1, with something left out."""
    rng = np.random.default_rng(seed)
    shares = rng.dirichlet([alpha] * devices)
    parts: list[list[int]] = [[] for _ in range(devices)]
    for label in np.unique(labels):
        places = np.flatnonzero(labels == label)
        places = rng.permutation(places) if shuffled else places
        shares = rng.dirichlet([alpha] * devices) if anew else shares
        ends = (np.cumsum(shares)[:-1] * len(places)).astype(int)
        for part, piece in zip(parts, np.split(places, ends), strict=False):
            part.extend(piece.tolist())
    return [np.array(part, int) for part in parts]


def test_a_deal_by_other_draws_passes_and_an_unlawful_one_is_told_why() -> None:
    for seed in range(3):
        assert judged("q1", dealt, seed).status == "passed"
        for left_out, told in (
            ({"shuffled": False}, "shuffle a class before you cut it"),
            ({"anew": False}, "draw them anew for each class"),
        ):
            found = judged("q1", lambda *args, left_out=left_out: dealt(*args, **left_out), seed)
            assert told in found.explanation
