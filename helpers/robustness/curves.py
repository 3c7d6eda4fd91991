"""Robust accuracy against the radius and success against the number of queries, with intervals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from tqdm import tqdm

from helpers.errors import RobustnessError
from helpers.robustness._checks import checked_pairs
from helpers.robustness.budget import Budget, Norm
from helpers.robustness.target import Outcome, Target, judge, proportion_interval

# Target, inputs, labels, budget -> outcome.
Attack = Callable[[Target, NDArray[np.float32], NDArray[np.int64], Budget], Outcome]


@dataclass(frozen=True, eq=False)
class Curve:
    """A proportion along an axis.

    Attributes
    ----------
    x
        float64 ``(k,)``, rising: radii, or numbers of queries.
    successes
        int64 ``(k,)``.
    trials
        Inputs.
    low, high
        float64 ``(k,)``: exact intervals of the proportions, each by itself.
    """

    x: NDArray[np.float64]
    successes: NDArray[np.int64]
    trials: int
    low: NDArray[np.float64]
    high: NDArray[np.float64]

    @property
    def y(self) -> NDArray[np.float64]:
        """float64 ``(k,)``: the proportions."""
        return self.successes / self.trials


def robust_accuracy_curve(
    target: Target,
    inputs: ArrayLike,
    labels: ArrayLike,
    epsilons: Sequence[float],
    attack: Attack,
    norm: Norm = "linf",
    *,
    confidence: float = 0.95,
    progress: bool = False,
) -> Curve:
    """Measure how accuracy falls as the attacker may change more.

    What fools the artefact within a small radius is within every larger one too, so an input that
    has fallen is not attacked again and the curve never rises.

    Parameters
    ----------
    target
        The model under attack.
    inputs, labels
        Clean inputs ``(n, ...)`` and true classes ``(n,)``.
    epsilons
        Radii, rising, at least 0; 0 gives the clean accuracy.
    attack
        ``attack(target, inputs, labels, budget)``, such as
        :func:`helpers.robustness.transfer.transfer`.
    norm
        Of the radii.
    confidence
        Of each interval.
    progress
        Whether to show a progress bar.

    Returns
    -------
    Curve
        Robust accuracy at each radius.

    Raises
    ------
    RobustnessError
        If the radii do not rise.
    """
    radii = np.asarray(epsilons, np.float64)
    if radii.ndim != 1 or not len(radii) or (np.diff(radii) <= 0).any():
        raise RobustnessError(f"epsilons={list(epsilons)} must be a rising list of radii.")
    clean, truth = checked_pairs(inputs, labels, target.bounds)
    standing = np.flatnonzero(target.labels(clean) == truth)
    counts = []
    for radius in tqdm(radii, desc="robust accuracy", unit="radius", disable=not progress):
        if radius > 0 and len(standing):
            budget = Budget(float(radius), norm)
            outcome = attack(target, clean[standing], truth[standing], budget)
            checked = judge(
                target,
                clean[standing],
                truth[standing],
                outcome.adversarial,
                attack=outcome.attack,
                budget=budget,
            )
            standing = standing[~checked.fooled]
        counts.append(len(standing))
    return _curve(radii, counts, len(clean), confidence)


def query_curve(outcome: Outcome, queries: Sequence[int], confidence: float = 0.95) -> Curve:
    """Measure how many of the inputs once right are fooled after at most so many queries each.

    Parameters
    ----------
    outcome
        Of an attack that counts its queries.
    queries
        Numbers of queries, rising.
    confidence
        Of each interval.

    Returns
    -------
    Curve
        Share fooled at each number of queries.

    Raises
    ------
    RobustnessError
        If the attack counted no queries, nothing was right to begin with, or the numbers do not
        rise.
    """
    if outcome.queries is None:
        raise RobustnessError(f"{outcome.attack} counts no queries.")
    at = np.asarray(queries, np.float64)
    if at.ndim != 1 or not len(at) or not (np.diff(at, prepend=-1) > 0).all() or at[0] < 0:
        raise RobustnessError(f"queries={list(queries)} must be a rising list, from 0 on.")
    if not outcome.correct.any():
        raise RobustnessError("No input is classified right to begin with: nothing to fool.")
    fooled = outcome.fooled[outcome.correct]
    spent = np.where(fooled, outcome.queries[outcome.correct], np.inf)
    counts = [int((spent <= most).sum()) for most in at]
    return _curve(at, counts, len(fooled), confidence)


def _curve(x: NDArray[np.float64], counts: Sequence[int], trials: int, confidence: float) -> Curve:
    ends = np.array([proportion_interval(count, trials, confidence) for count in counts])
    return Curve(x, np.array(counts, np.int64), trials, ends[:, 0], ends[:, 1])
