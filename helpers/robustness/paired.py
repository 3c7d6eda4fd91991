"""Two measurements on the same inputs: what one gained, what it lost, and many such at once.

Two models that are tried on the same pictures, or one model with and without a perturbation, differ
only on the pictures where exactly one of them is right. All else says nothing about the difference,
and a test that leaves it out sees far smaller ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from helpers.errors import RobustnessError


@dataclass(frozen=True)
class Paired:
    """How two measurements on the same inputs differ. Made by :func:`compare_paired`.

    Attributes
    ----------
    trials
        Inputs.
    gained, lost
        Inputs that are right only after, and only before.
    p_value
        Of McNemar's exact test that gains and losses are equally likely.
    interval
        Of the difference of the accuracies.
    """

    trials: int
    gained: int
    lost: int
    p_value: float
    interval: tuple[float, float]

    @property
    def difference(self) -> float:
        """Accuracy after minus accuracy before."""
        return (self.gained - self.lost) / self.trials


def compare_paired(before: ArrayLike, after: ArrayLike, confidence: float = 0.95) -> Paired:
    """Compare which inputs were right before with which are right after.

    Parameters
    ----------
    before, after
        bool ``(n,)``, on the same inputs in the same order. The inputs must be independent of each
        other: crops of one frame share its sun, and count as more evidence than they are.
    confidence
        Of the interval.

    Returns
    -------
    Paired
        Counts, p-value and interval.

    Raises
    ------
    RobustnessError
        If these are not vectors of equal length of true and false, or the confidence is not
        between 0 and 1.

    References
    ----------
    McNemar, *Note on the sampling error of the difference between correlated proportions or
    percentages*, Psychometrika 1947, in its exact binomial form. The interval is the adjusted Wald
    interval of Bonett and Price, *Adjusted Wald confidence interval for a difference of binomial
    proportions based on paired data*, Journal of Educational and Behavioral Statistics 2012.
    """
    first, second = np.asarray(before), np.asarray(after)
    if first.dtype != bool or second.dtype != bool or first.ndim != 1 or not first.size:
        raise RobustnessError("before and after must be vectors of true and false, not empty.")
    if first.shape != second.shape:
        raise RobustnessError(
            f"before has {len(first)} inputs and after {len(second)}: pairs need the same ones."
        )
    if not 0 < confidence < 1:
        raise RobustnessError(f"confidence={confidence} must lie between 0 and 1.")
    gained, lost = int(np.sum(second & ~first)), int(np.sum(first & ~second))
    changed = gained + lost
    p_value = float(stats.binomtest(gained, changed).pvalue) if changed else 1.0
    up, down = (gained + 1) / (len(first) + 2), (lost + 1) / (len(first) + 2)
    spread = np.sqrt((up + down - (up - down) ** 2) / (len(first) + 2))
    reach = float(stats.norm.ppf((1 + confidence) / 2) * spread)
    interval = (max(-1.0, up - down - reach), min(1.0, up - down + reach))
    return Paired(len(first), gained, lost, p_value, interval)


def holm(p_values: Sequence[float]) -> NDArray[np.float64]:
    """Return p-values that have been corrected for how many there are.

    Whoever rejects what is below 0.05 afterwards makes any false rejection at all with a chance of
    at most 0.05, whatever the tests have to do with each other.

    Parameters
    ----------
    p_values
        In [0, 1].

    Returns
    -------
    numpy.ndarray
        float64 ``(n,)``, in the order given.

    Raises
    ------
    RobustnessError
        If there is none, or one is outside [0, 1].

    References
    ----------
    Holm, *A simple sequentially rejective multiple test procedure*, Scandinavian Journal of
    Statistics 1979.
    """
    values = np.asarray(p_values, np.float64)
    if values.ndim != 1 or not values.size or not ((values >= 0) & (values <= 1)).all():
        raise RobustnessError(f"p_values={p_values!r} must be numbers from 0 to 1, at least one.")
    order = np.argsort(values)
    factors = len(values) - np.arange(len(values))
    corrected = np.empty_like(values)
    corrected[order] = np.minimum(np.maximum.accumulate(factors * values[order]), 1.0)
    return corrected
