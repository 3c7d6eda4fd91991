"""Does the candidate know what they know? Confidence before, points after."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from helpers.errors import InterviewError
from helpers.interview.log import Attempt

BINS = (0.0, 0.4, 0.6, 0.8, 0.95, 1.01)


@dataclass(frozen=True)
class Calibration:
    """How well confidence foretold points.

    Attributes
    ----------
    count
        Scored attempts.
    confidence, points
        Their means.
    squared_gap
        Mean of (confidence − points)²: the Brier score where points are 0 or 1. 0 is a prophet;
        who always says 50 % gets at most 0.25.
    bins
        ``(attempts, mean confidence, mean points)`` of each interval of confidence that was used.
    """

    count: int
    confidence: float
    points: float
    squared_gap: float
    bins: tuple[tuple[int, float, float], ...]

    @property
    def gap(self) -> float:
        """Mean confidence less mean points: above 0 is overconfident."""
        return self.confidence - self.points


def calibrate(attempts: Iterable[Attempt]) -> Calibration:
    """Compare confidence and points over all scored attempts.

    Raises
    ------
    InterviewError
        If there are none.
    """
    pairs = _pairs(attempts)
    if not pairs:
        raise InterviewError("nothing has been scored yet: edgesec interview drill")
    bins = []
    for low, high in itertools.pairwise(BINS):
        inside = [pair for pair in pairs if low <= pair[0] < high]
        if inside:
            bins.append((len(inside), _mean(c for c, _ in inside), _mean(p for _, p in inside)))
    return Calibration(
        count=len(pairs),
        confidence=_mean(c for c, _ in pairs),
        points=_mean(p for _, p in pairs),
        squared_gap=_mean((c - p) ** 2 for c, p in pairs),
        bins=tuple(bins),
    )


def over_time(attempts: Sequence[Attempt], window: int = 10) -> list[tuple[datetime, float, float]]:
    """Return ``(moment, mean confidence, mean points)`` over the latest attempts at each moment.

    Parameters
    ----------
    attempts
        As a log has them; unscored ones are left out.
    window
        Attempts in each mean; fewer at the beginning.
    """
    scored = sorted((a for a in attempts if a.points is not None), key=lambda a: a.at)
    found = []
    for end in range(1, len(scored) + 1):
        latest = scored[max(0, end - window) : end]
        pairs = _pairs(latest)
        found.append((latest[-1].at, _mean(c for c, _ in pairs), _mean(p for _, p in pairs)))
    return found


def _pairs(attempts: Iterable[Attempt]) -> list[tuple[float, float]]:
    return [(a.confidence, a.points) for a in attempts if a.points is not None]


def _mean(values: Iterable[float]) -> float:
    listed = list(values)
    return sum(listed) / len(listed)
