"""Threshold membership inference: how well a score tells training examples from others.

Yeom et al. 2018, "Privacy risk in machine learning", guess *member* when an example's loss is low.
Averages hide the few examples that are given away with certainty, so read the true-positive rate at
a low false-positive rate beside the area under the curve (Carlini et al. 2022, "Membership
inference attacks from first principles"). There a sample proves little, so each rate has bounds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats

from helpers.errors import PrivacyError
from helpers.privacy._checks import require_probability, require_rate
from helpers.privacy.auditing.bounds import proportion_bounds

_LEAST_PAIRS = 5  # expected on either side, for a normal law


@dataclass(frozen=True)
class Estimate:
    """A number and its interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


@dataclass(frozen=True)
class OperatingPoint:
    """One threshold of an attack, and what its sample proves.

    The intervals (Clopper and Pearson 1934) treat the threshold as fixed beforehand. It was chosen
    on the same examples, so read ``false_positive_rate.high`` beside the limit that was asked for.

    Attributes
    ----------
    true_positive_rate
        Share of members found.
    false_positive_rate
        Share of others falsely accused.
    confidence
        Of each interval.
    """

    true_positive_rate: Estimate
    false_positive_rate: Estimate
    confidence: float


@dataclass(frozen=True, eq=False)
class ThresholdAttack:
    """ROC curve of one score.

    Attributes
    ----------
    false_positive_rate, true_positive_rate
        float64 ``(k,)``, both rising from 0 to 1; one point a threshold.
    auc
        Area under the curve: 0.5 tells nothing, 1 tells all. Ties count half.
    auc_deviation
        Standard error of the area (DeLong, DeLong and Clarke-Pearson 1988); NaN with fewer than
        two members or others.
    members, others
        How many examples of either kind there were.
    """

    false_positive_rate: NDArray[np.float64]
    true_positive_rate: NDArray[np.float64]
    auc: float
    auc_deviation: float
    members: int
    others: int

    def auc_bounds(self, confidence: float = 0.95) -> tuple[float, float]:
        """Return two-sided bounds on the area, honest also where it is 0 or 1.

        Where a normal law can be trusted, it is that of the area's logit, with the deviation of
        DeLong, DeLong and Clarke-Pearson 1988. At the edges that deviation is too small, and at 0
        and 1 it is nothing. There the area counts as a share of as many disjoint pairs of a member
        and another as there are, and the bounds are those of Clopper and Pearson 1934. For 0 and 1
        that is exact whatever the scores: the disjoint pairs are independent, each in the right
        order with a probability that is the true area, and all of them were. The edge begins where
        fewer than five pairs are expected on one side (Cochran, *Some methods for strengthening
        the common chi-squared tests*, Biometrics 10(4), 1954).

        Parameters
        ----------
        confidence
            Probability with which both hold.

        Returns
        -------
        low, high
            Within [0, 1].

        Raises
        ------
        PrivacyError
            If ``confidence`` is out of its range or there are too few examples.
        """
        require_probability("confidence", confidence)
        if np.isnan(self.auc_deviation):
            raise PrivacyError(
                f"{self.members} members and {self.others} others: bounds on the area need at "
                "least two of either kind."
            )
        each, pairs = (1 - confidence) / 2, min(self.members, self.others)
        found, missed = pairs * self.auc, pairs * (1 - self.auc)
        if min(found, missed) < _LEAST_PAIRS:
            low = float(stats.beta.ppf(each, found, missed + 1)) if found > 0 else 0.0
            high = float(stats.beta.isf(each, found + 1, missed)) if missed > 0 else 1.0
            return low, high
        spread = self.auc_deviation / (self.auc * (1 - self.auc))
        margin, middle = float(stats.norm.isf(each)) * spread, special.logit(self.auc)
        return float(special.expit(middle - margin)), float(special.expit(middle + margin))

    def tpr_at_fpr(self, limit: float) -> float:
        """Return the highest true-positive rate with at most so many false positives.

        A limit below one over the number of others asks for no false positive among them, which
        proves less than it says: :meth:`operating_point` refuses it and gives bounds.

        Parameters
        ----------
        limit
            Largest false-positive rate, in (0, 1].

        Returns
        -------
        float
            True-positive rate.

        Raises
        ------
        PrivacyError
            If the limit is out of its range.
        """
        require_rate("limit", limit)
        return float(self.true_positive_rate[self.false_positive_rate <= limit].max())

    def operating_point(self, limit: float, confidence: float = 0.95) -> OperatingPoint:
        """Return the rates at the best threshold within a limit, with their bounds.

        Parameters
        ----------
        limit
            Largest false-positive rate, in (0, 1].
        confidence
            Probability that an interval holds with.

        Returns
        -------
        OperatingPoint
            Both rates.

        Raises
        ------
        PrivacyError
            If an argument is out of its range, or the limit is finer than one in the number of
            others, so that no sample of this size can show it.
        """
        require_rate("limit", limit)
        require_probability("confidence", confidence)
        require_resolution(limit, self.others)
        chosen = int(np.flatnonzero(self.false_positive_rate <= limit)[-1])
        each = (1 - confidence) / 2

        def estimate(rate: float, count: int) -> Estimate:
            return Estimate(rate, *proportion_bounds(round(rate * count), count, each))

        found = estimate(float(self.true_positive_rate[chosen]), self.members)
        accused = estimate(float(self.false_positive_rate[chosen]), self.others)
        return OperatingPoint(found, accused, confidence)


def threshold_attack(member_scores: ArrayLike, other_scores: ArrayLike) -> ThresholdAttack:
    """Attack with every threshold of a score, higher meaning *member*.

    Parameters
    ----------
    member_scores
        Scores of training examples, float ``(n,)``; the negative loss for Yeom's attack.
    other_scores
        Scores of examples that were not trained on, float ``(m,)``.

    Returns
    -------
    ThresholdAttack
        The curve and its area.

    Raises
    ------
    PrivacyError
        If a set is empty, not one-dimensional or holds NaN.
    """
    members, others = (
        _checked(name, scores)
        for name, scores in (("member_scores", member_scores), ("other_scores", other_scores))
    )
    false_positives, true_positives, area = roc(members, others)
    return ThresholdAttack(
        false_positives,
        true_positives,
        area,
        _area_deviation(members, others),
        len(members),
        len(others),
    )


def roc(
    members: NDArray[np.float64], others: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Return the curve of :func:`threshold_attack` alone, without checks and standard error.

    Parameters
    ----------
    members, others
        Scores, float64 ``(n,)`` and ``(m,)``.

    Returns
    -------
    false_positive_rate, true_positive_rate, auc
        As in :class:`ThresholdAttack`.
    """
    thresholds = np.unique(np.concatenate([members, others]))[::-1]

    def share_above(scores: NDArray[np.float64]) -> NDArray[np.float64]:
        below = np.searchsorted(np.sort(scores), thresholds, side="left")
        return np.concatenate([[0.0], (len(scores) - below) / len(scores)])

    false_positives, true_positives = share_above(others), share_above(members)
    heights = (true_positives[1:] + true_positives[:-1]) / 2
    return false_positives, true_positives, float(np.diff(false_positives) @ heights)


def require_resolution(limit: float, others: int) -> None:
    """Raise PrivacyError where a false-positive rate is finer than the number of others shows."""
    if limit * others < 1:
        raise PrivacyError(
            f"A false-positive rate of {limit:g} cannot be seen with {others:,} non-members: the "
            f"finest step is {1 / others:.2g}. Attack at least {int(np.ceil(1 / limit)):,} of "
            "them, or ask for a larger rate."
        )


def _area_deviation(members: NDArray[np.float64], others: NDArray[np.float64]) -> float:
    """Return DeLong's standard error: the spread of each example's own part of the area."""
    if min(len(members), len(others)) < 2:
        return float("nan")

    def share_below(values: NDArray[np.float64], among: NDArray[np.float64]) -> NDArray[np.float64]:
        ordered = np.sort(among)
        below = np.searchsorted(ordered, values, side="left")
        not_above = np.searchsorted(ordered, values, side="right")
        return (below + not_above) / (2 * len(among))

    parts = [(share_below(members, others), members), (share_below(others, members), others)]
    return float(np.sqrt(sum(part.var(ddof=1) / len(kind) for part, kind in parts)))


def _checked(name: str, scores: ArrayLike) -> NDArray[np.float64]:
    values = np.asarray(scores, np.float64)
    if values.ndim != 1 or not len(values) or np.isnan(values).any():
        raise PrivacyError(
            f"{name} of shape {values.shape} must be a list of at least one score, without NaN."
        )
    return values
