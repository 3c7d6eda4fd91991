"""Whether runtimes agree, and how long the slow runs take: q5 and q6."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from helpers.course.compare import Slips, close, or_explain
from helpers.course.tasks import Case, FunctionTask

# --- q5: agreement


def _agreement_reference(one: Any, other: Any) -> tuple[float, int]:
    first, second = np.asarray(one).astype(np.int64), np.asarray(other).astype(np.int64)
    same = first.argmax(axis=1) == second.argmax(axis=1)
    return float(same.mean()), int(np.abs(first - second).max())


def _agreement_cases(rng: np.random.Generator) -> list[Case]:
    def scores(rows: int) -> np.ndarray:
        """Codes with one clear winner a row."""
        codes = rng.integers(-120, 40, (rows, 12))
        codes[np.arange(rows), rng.integers(0, 12, rows)] = rng.integers(60, 120, rows)
        return codes.astype(np.int8)

    base, other = scores(40), scores(40)
    near = (base.astype(np.int64) + rng.integers(-1, 2, base.shape)).astype(np.int8)
    one_off = base.copy()
    one_off[3] = np.roll(base[3], 1)
    ends = np.array([[127, -128, 0], [-128, 127, 0]], np.int8)
    return [
        Case((base, base.copy()), "the same codes"),
        Case((base, near), "one step apart here and there"),
        Case((base, one_off), "one clip in forty gets another word"),
        Case((base, other), "nothing in common"),
        Case((ends, ends[::-1].copy()), "as far apart as int8 can be"),
    ]


def _same_top(one: Any, other: Any) -> float:
    return float(np.mean(one.argmax(axis=1) == other.argmax(axis=1)))


_AGREEMENT_SLIPS: Slips = {
    "127 - (-128) is 255, which int8 cannot hold: it wraps to -1. Make the codes wider before you "
    "subtract": lambda a, b: (_same_top(a, b), int(np.abs(a - b).max())),
    "this is the share of single scores that are equal; the top word of each row counts": (
        lambda a, b: (float(np.mean(a == b)), _agreement_reference(a, b)[1])
    ),
    "this is the share of rows with all scores equal; the top word of each row counts": (
        lambda a, b: (float(np.mean((a == b).all(axis=1))), _agreement_reference(a, b)[1])
    ),
    "this is the share of clips that differ": (
        lambda a, b: (1 - _same_top(a, b), _agreement_reference(a, b)[1])
    ),
    "the largest difference in either direction: take magnitudes": (
        lambda a, b: (_same_top(a, b), int((a.astype(int) - b.astype(int)).max()))
    ),
    "this is the mean difference; a tolerance is about the largest": (
        lambda a, b: (_same_top(a, b), float(np.abs(a.astype(int) - b.astype(int)).mean()))
    ),
}

# --- q6: the tail


def _tail_reference(seconds: Any, warm_up: int, share: int) -> float:
    counted = np.sort(np.asarray(seconds, np.float64)[warm_up:])
    return float(counted[math.ceil(share * len(counted) / 100) - 1]) * 1e3


def _tail_cases(rng: np.random.Generator) -> list[Case]:
    def runs(count: int, cold: int) -> np.ndarray:
        times = rng.gamma(4, 1e-5, count + cold) + 1e-4
        times[:cold] += rng.uniform(2e-3, 9e-3, cold)
        return times

    return [
        Case((runs(200, 20), 20, 50), "the median of 200 runs after 20"),
        Case((runs(200, 20), 20, 95), "19 of 20 runs are at most this slow"),
        Case((runs(200, 20), 20, 99), "99 of 100 runs"),
        Case((runs(41, 5), 5, 95), "41 runs: 95 percent are 38.95, so 39 of them"),
        Case((runs(30, 0), 0, 99), "30 runs: the slowest"),
        Case((runs(33, 4), 4, 95), "33 runs: 95 percent are 31.35, so 32 of them"),
    ]


def _sorted_tail(seconds: Any, warm_up: int) -> np.ndarray:
    return np.sort(np.asarray(seconds)[warm_up:])


def _tail_rounded_down(seconds: Any, warm_up: int, share: int) -> float:
    times = _sorted_tail(seconds, warm_up)
    return float(times[max(share * len(times) // 100, 1) - 1]) * 1e3


_TAIL_SLIPS: Slips = {
    "the warm-up is counted: leave out the first runs before you sort": (
        lambda s, w, p: _tail_reference(s, 0, p)
    ),
    "the warm-up runs are the first in time; after sorting the first are the fastest": (
        lambda s, w, p: float(np.sort(s)[w:][math.ceil(p * (len(s) - w) / 100) - 1]) * 1e3
    ),
    "these are seconds; milliseconds were asked for": (
        lambda s, w, p: _tail_reference(s, w, p) / 1e3
    ),
    "this lies between two runs; return one that was measured (np.percentile interpolates, unless "
    "its method says otherwise)": (lambda s, w, p: float(np.percentile(s[w:], p)) * 1e3),
    "this is the mean, which hides the slow runs": lambda s, w, p: float(np.mean(s[w:])) * 1e3,
    "this is one place too far: positions begin at 0": lambda s, w, p: (
        float(_sorted_tail(s, w)[min(math.ceil(p * (len(s) - w) / 100), len(s) - w - 1)]) * 1e3
    ),
    "so few runs are less than the share: round their number up": _tail_rounded_down,
    "share is in percent, 0 to 100": lambda s, w, p: (
        float(_sorted_tail(s, w)[max(math.ceil(p * (len(s) - w) / 10_000) - 1, 0)]) * 1e3
    ),
}

AGREEMENT = FunctionTask(
    "q5", "Do they agree", 2, _agreement_reference, _agreement_cases,
    or_explain(
        close(rtol=1e-6, atol=0, parts=("the share", "the difference")), _AGREEMENT_SLIPS
    ),
    "argmax(axis=1) gives the top word of each row. The difference of two int8 codes may need more "
    "room than int8 has.",
)  # fmt: skip
TAIL = FunctionTask(
    "q6", "The slow runs", 1, _tail_reference, _tail_cases,
    or_explain(close(rtol=1e-9, atol=0), _TAIL_SLIPS),
    "Leave out the warm-up while the runs are still in the order of time, then sort. The example "
    "with 41 runs says which of them to take; positions begin at 0.",
)  # fmt: skip
