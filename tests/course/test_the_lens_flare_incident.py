"""Lab 11's checks: right answers pass in any form, and slips are named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import stats

from helpers.course.checks.the_lens_flare_incident import LAB, fixing, pairs, waves
from helpers.course.compare import Slips
from tests.course.judging import each, judge_of

judged = judge_of(LAB)

SLIPS: dict[str, Slips] = {
    "q1": pairs._STRATA_SLIPS,
    "q2": waves._SHARE_SLIPS,
    "q3": waves._BAND_SLIPS,
    "q4": pairs._PAIRED_SLIPS,
    "q5": fixing._FILTER_SLIPS,
    "q6": fixing._FLAG_SLIPS,
    "q7": pairs._MANY_SLIPS,
}


@pytest.mark.parametrize(("name", "told", "slip"), each(SLIPS))
def test_a_slip_fails_and_is_named(name: str, told: str, slip: Callable[..., Any]) -> None:
    found = judged(name, slip)
    assert (found.status, found.explanation) == ("mismatch", told)


def _by_dictionary(right: Any, flared: Any, stratum: Any) -> float:
    total = weight = 0.0
    for name in dict.fromkeys(stratum):
        own = np.equal(np.array(stratum), name)
        count = np.count_nonzero(own & flared)
        if 0 < count < np.count_nonzero(own):
            gap = np.mean(right[own & flared]) - np.mean(right[own & ~flared])
            total, weight = total + count * gap, weight + count
    return total / weight


def _through_real_waves(changes: Any, edge: float) -> float:
    """The same share from the half of the spectrum that a real picture needs."""
    side = changes.shape[1]
    energy = np.abs(np.fft.rfft2(changes, axes=(1, 2))) ** 2
    twice = np.full(side // 2 + 1, 2.0)
    twice[[0, -1]] = 1.0
    down, across = np.fft.fftfreq(side) * side, np.arange(side // 2 + 1)
    energy = energy * twice[None, None, :, None]
    return float(energy[:, np.hypot(down[:, None], across) < edge].sum() / energy.sum())


def _by_coin_flips(before: Any, after: Any) -> float:
    gained, lost = np.sum(after > before), np.sum(after < before)
    return min(1.0, 2 * float(stats.binom.cdf(min(gained, lost), gained + lost, 0.5)))


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("q1", _by_dictionary),
        ("q2", _through_real_waves),
        ("q4", _by_coin_flips),
        ("q7", lambda p: np.array(pairs._many_reference(p))),
    ],
)
def test_another_way_that_is_right_passes(name: str, other: Callable[..., Any]) -> None:
    assert judged(name, other).status == "passed"
