"""How much of a ranking is the scorers': q4."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from helpers.course.tasks import Case, FunctionTask

_TOLERANCE = 0.03
_DRAWS = 2000


def _kept_reference(scores: Any, top: int, noise: int, draws: int, seed: int) -> float:
    return _kept()(scores, top, noise, draws, seed)


def _kept(
    *,
    ties_by_order: bool = False,
    clip: bool = True,
    short: int = 0,
    one_for_all: bool = False,
    whole: bool = False,
    one_draw_a_threat: bool = False,
) -> Callable[..., float]:
    """Draw rankings, with something done otherwise."""

    def kept(scores: Any, top: int, noise: int, draws: int, seed: int) -> float:
        rng = np.random.default_rng(seed)
        scores = np.asarray(scores, float)
        first = np.argsort(-scores.mean(axis=1), kind="stable")[:top]
        shape = (draws, *scores.shape)
        if one_for_all:
            shape = (draws, 1, scores.shape[1])
        if one_draw_a_threat:
            shape = (draws, len(scores), 1)
        moved = scores + rng.integers(-noise, max(-noise, noise - short), size=shape, endpoint=True)
        risk = (np.clip(moved, 0, 10) if clip else moved).mean(axis=2).round(9)
        coins = np.zeros(risk.shape) if ties_by_order else rng.random(risk.shape)
        now = np.lexsort((coins, -risk), axis=1)[:, :top]
        shares = np.isin(now, first).mean(axis=1)
        return float((shares == 1).mean() if whole else shares.mean())

    return kept


def _kept_cases(rng: np.random.Generator) -> list[Case]:
    seed = int(rng.integers(10_000))
    ordinary = rng.integers(3, 9, (20, 5))
    edge = np.vstack([np.tile([10, 10, 10, 5, 5], (6, 1)), np.tile([7, 8, 8, 8, 8], (6, 1))])
    return [
        Case((np.tile([[9], [6], [3]], (1, 5)), 1, 1, _DRAWS, seed), "three far apart: 1"),
        Case((ordinary, 5, 1, _DRAWS, seed), "twenty threats"),
        Case((ordinary[:, :4], 5, 1, _DRAWS, seed), "the same without Discoverability"),
        Case((ordinary, 5, 2, _DRAWS, seed), "the same, two points of disagreement"),
        Case((edge, 6, 1, _DRAWS, seed), "some scores are 10 and cannot rise"),
        Case((10 - edge, 6, 1, _DRAWS, seed), "some scores are 0 and cannot fall"),
        Case((np.full((12, 5), 5), 3, 0, _DRAWS, seed), "all equal, no noise: 3 of 12 by coin"),
    ]


_KEPT_SLIPS = {
    "equal risks came out in the order of the list; between equals let a coin decide": _kept(
        ties_by_order=True
    ),
    "a score ends at 0 and at 10: clip after moving it": _kept(clip=False),
    "rng.integers leaves its upper end out: use endpoint=True, or noise + 1": _kept(short=1),
    "every threat was moved alike; each score of each threat needs a draw of its own": _kept(
        one_for_all=True
    ),
    "all scores of a threat were moved alike; each score needs a draw of its own": _kept(
        one_draw_a_threat=True
    ),
    "this is how often the whole top stays together; return the mean share that stays": _kept(
        whole=True
    ),
}


def _compare(got: Any, expected: Any, args: tuple[Any, ...]) -> str | None:
    if np.ndim(got) or np.asarray(got).dtype.kind not in "iuf":
        return "return one number, the mean share from 0 to 1"
    share = float(got)
    if abs(share - expected) <= _TOLERANCE:
        return None
    if abs(share - 100 * expected) <= 100 * _TOLERANCE and share > 1:
        return "this is in percent; return a share from 0 to 1"
    if abs(share - args[1] * expected) <= args[1] * _TOLERANCE and share > 1:
        return "this is how many stay; divide by `top`"
    far = {text: abs(share - slip(*args)) for text, slip in _KEPT_SLIPS.items()}
    nearest = min(far, key=far.__getitem__)
    if far[nearest] <= _TOLERANCE / 2:
        return nearest
    return f"about {expected:.2f} was expected, got {share:.2f}"


KEPT = FunctionTask(
    "q4", "What a point of disagreement leaves", 2, _kept_reference, _kept_cases, _compare,
    "How many numbers are drawn for one ranking? A coin for every threat, a random number, is what "
    "to sort by where two risks are equal.",
    time_limit=20.0,
    show_expected=False,
)  # fmt: skip
