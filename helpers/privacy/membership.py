"""Threshold membership inference: how well a score tells training examples from others.

Yeom et al. 2018, "Privacy risk in machine learning", guess *member* when an example's loss is low.
Averages hide the few examples that are given away with certainty, so read the true-positive rate at
a low false-positive rate beside the area under the curve (Carlini et al. 2022, "Membership
inference attacks from first principles").
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from helpers.errors import PrivacyError
from helpers.privacy._checks import require_rate


@dataclass(frozen=True, eq=False)
class ThresholdAttack:
    """ROC curve of one score.

    Attributes
    ----------
    false_positive_rate, true_positive_rate
        float64 ``(k,)``, both rising from 0 to 1; one point a threshold.
    auc
        Area under the curve: 0.5 tells nothing, 1 tells all. Ties count half.
    """

    false_positive_rate: NDArray[np.float64]
    true_positive_rate: NDArray[np.float64]
    auc: float

    def tpr_at_fpr(self, limit: float) -> float:
        """Return the highest true-positive rate with at most so many false positives.

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
    thresholds = np.unique(np.concatenate([members, others]))[::-1]

    def share_above(scores: NDArray[np.float64]) -> NDArray[np.float64]:
        below = np.searchsorted(np.sort(scores), thresholds, side="left")
        return np.concatenate([[0.0], (len(scores) - below) / len(scores)])

    false_positives, true_positives = share_above(others), share_above(members)
    heights = (true_positives[1:] + true_positives[:-1]) / 2
    area = float(np.diff(false_positives) @ heights)
    return ThresholdAttack(false_positives, true_positives, area)


def _checked(name: str, scores: ArrayLike) -> NDArray[np.float64]:
    values = np.asarray(scores, np.float64)
    if values.ndim != 1 or not len(values) or np.isnan(values).any():
        raise PrivacyError(
            f"{name} of shape {values.shape} must be a list of at least one score, without NaN."
        )
    return values
