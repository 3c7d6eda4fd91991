"""How much of a ranking survives when scorers differ by a point.

Two careful people who score the same threat seldom agree to the point. Every guessed score is moved
by a whole number drawn from -1, 0 and 1, independently, and the threats are ranked again, many
times. A measured score does not move: it is drawn from the interval of its measurement. What comes
out is how often a threat stays among the first, and between which ranks it lies.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from helpers.errors import ThreatModelError
from helpers.threats.engine import Threat

DRAWS = 2000


@dataclass(frozen=True, eq=False)
class Stability:
    """What happened to a ranking under disagreement.

    Attributes
    ----------
    ids
        Threats, the riskiest first.
    top
        How many count as first.
    overlap
        Mean share of the first that stay among the first, 0 to 1.
    by_chance
        The overlap that shuffling would give.
    stays
        For each threat, the share of draws in which it is among the first; float64 ``(n,)``.
    rank_low, rank_high
        For each threat, the ranks between which it lies in 90 % of the draws; int64 ``(n,)``.
    """

    ids: tuple[str, ...]
    top: int
    overlap: float
    by_chance: float
    stays: NDArray[np.float64]
    rank_low: NDArray[np.int64]
    rank_high: NDArray[np.int64]


def rank_stability(
    threats: Sequence[Threat],
    *,
    top: int = 5,
    noise: int = 1,
    draws: int = DRAWS,
    discoverability: bool = True,
    seed: int | np.random.Generator = 0,
) -> Stability:
    """Rank threats again and again under disagreement.

    Parameters
    ----------
    threats
        At least one.
    top
        How many count as first.
    noise
        Largest change of a guessed score; 0 changes none.
    draws
        Number of rankings.
    discoverability
        Whether the fifth score counts.
    seed
        Of the draws.

    Raises
    ------
    ThreatModelError
        If there is nothing to rank, or a number is out of range.
    """
    if not threats or not 1 <= top <= len(threats):
        raise ThreatModelError(f"top={top} of {len(threats)} threats: use 1 to that many.")
    if noise < 0 or draws < 1:
        raise ThreatModelError(f"noise={noise}, draws={draws}: noise from 0, draws from 1.")
    factors = 5 if discoverability else 4
    low, high = _limits(threats, factors)
    base = np.array([[s.value for s in t.scores.scores[:factors]] for t in threats]).mean(axis=1)
    order = np.argsort(-base, kind="stable")
    rng = np.random.default_rng(seed)
    ranks = np.empty((draws, len(threats)), np.int64)
    for draw in range(draws):
        drawn = _drawn(low, high, noise, rng).mean(axis=1)[order]
        # Equal risks are common among whole numbers; chance decides between them.
        ranking = np.lexsort((rng.random(len(threats)), -drawn.round(9)))
        ranks[draw, ranking] = np.arange(1, len(threats) + 1)
    within = ranks <= top
    bounds = np.quantile(ranks, [0.05, 0.95], axis=0, method="nearest").astype(np.int64)
    return Stability(
        ids=tuple(threats[index].id for index in order),
        top=top,
        overlap=float(within[:, :top].mean()),
        by_chance=top / len(threats),
        stays=within.mean(axis=0),
        rank_low=bounds[0],
        rank_high=bounds[1],
    )


def _limits(
    threats: Sequence[Threat], factors: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the least and the greatest value of each score, ``(n, factors)``; NaN marks a guess.

    A guess is given by its value in `low` and NaN in `high`.
    """
    scores = [threat.scores.scores[:factors] for threat in threats]
    low = [[s.spread[0] if s.spread else s.value for s in row] for row in scores]
    high = [[s.spread[1] if s.spread else np.nan for s in row] for row in scores]
    return np.array(low, np.float64), np.array(high, np.float64)


def _drawn(
    low: NDArray[np.float64], high: NDArray[np.float64], noise: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Draw every score once."""
    guesses = np.clip(low + rng.integers(-noise, noise, size=low.shape, endpoint=True), 0, 10)
    # Reproducibility and exploitability come from one measurement, so they are drawn together.
    place = rng.random((len(low), 1))
    return np.where(np.isnan(high), guesses, low + place * (np.nan_to_num(high) - low))
