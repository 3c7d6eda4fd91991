"""What a set of attacked models gives away, in four numbers with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from helpers.errors import PrivacyError
from helpers.privacy._checks import require_probability, require_rate, require_whole
from helpers.privacy.membership.lira import checked_shadows
from helpers.privacy.membership.threshold import (
    Estimate,
    ThresholdAttack,
    require_resolution,
    roc,
    threshold_attack,
)


@dataclass(frozen=True, eq=False)
class Leakage:
    """How well membership shows, over several attacked models.

    Attributes
    ----------
    auc
        Area under the pooled curve.
    tpr
        ``{limit: share of members found}`` with at most so many false positives.
    attack
        The pooled curve itself.
    targets, examples
        What was attacked.
    confidence
        Of each interval.
    """

    auc: Estimate
    tpr: dict[float, Estimate]
    attack: ThresholdAttack
    targets: int
    examples: int
    confidence: float


def leakage(
    scores: ArrayLike,
    members: ArrayLike,
    limits: Sequence[float] = (0.001, 0.01),
    *,
    confidence: float = 0.95,
    repeats: int = 200,
    seed: int = 0,
) -> Leakage:
    """Sum up the scores of one attack on several models.

    The scores of all models are ranked together. Models share their examples and examples their
    models, so neither is an independent sample of the other: the interval comes from drawing both
    anew, rows and columns, with replacement (the pigeonhole bootstrap; Owen 2007, "The pigeonhole
    bootstrap", Annals of Applied Statistics 1). With few models it is wide, and rather too wide
    than too narrow.

    Parameters
    ----------
    scores
        float ``(models, n)``, higher meaning *member*; one model is a single row.
    members
        Which examples each model was trained on, bool ``(models, n)``.
    limits
        False-positive rates at which to report the true-positive rate.
    confidence
        Probability that an interval is meant to hold with.
    repeats
        Bootstrap samples.
    seed
        Of the bootstrap.

    Returns
    -------
    Leakage
        Area and rates with their intervals.

    Raises
    ------
    PrivacyError
        If shapes or settings do not fit, or a limit is finer than one in the number of
        non-members, counted over all models.
    """
    values, inside = checked_shadows(scores, members)
    require_probability("confidence", confidence)
    require_whole("repeats", repeats, at_least=20)
    if inside.all() or not inside.any():
        raise PrivacyError("members must hold both kinds: examples trained on and others.")
    for limit in limits:
        require_rate("limit", limit)
        require_resolution(limit, int((~inside).sum()))
    attack = threshold_attack(values[inside], values[~inside])
    found = [attack.auc, *(attack.tpr_at_fpr(limit) for limit in limits)]
    drawn = _redrawn(values, inside, limits, repeats, seed)
    tails = (1 - confidence) / 2, (1 + confidence) / 2
    low, high = np.quantile(drawn, tails, axis=0)
    estimates = [
        Estimate(float(v), float(min(v, a)), float(max(v, b)))
        for v, a, b in zip(found, low, high, strict=True)
    ]
    rates = dict(zip(limits, estimates[1:], strict=True))
    return Leakage(estimates[0], rates, attack, len(values), values.shape[1], confidence)


def _redrawn(
    values: NDArray[np.float64],
    inside: NDArray[np.bool_],
    limits: Sequence[float],
    repeats: int,
    seed: int,
) -> NDArray[np.float64]:
    """Return the statistics of samples drawn anew, ``(repeats, 1 + limits)``."""
    rng = np.random.default_rng(seed)
    models, examples = values.shape
    rows: list[list[float]] = []
    while len(rows) < repeats:
        chosen = np.ix_(rng.integers(models, size=models), rng.integers(examples, size=examples))
        own, kept = inside[chosen], values[chosen]
        if own.all() or not own.any():
            continue
        false_positives, true_positives, area = roc(kept[own], kept[~own])
        caught = (float(true_positives[false_positives <= limit].max()) for limit in limits)
        rows.append([area, *caught])
    return np.array(rows)
