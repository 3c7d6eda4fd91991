r"""What guesses about membership prove about epsilon, with a stated confidence.

Two bounds, for two kinds of evidence:

``epsilon_lower_bound``
    independent trials. Differential privacy forces
    :math:`\mathrm{TPR} \le e^\varepsilon \mathrm{FPR} + \delta` on every test, and the same with
    the two errors in each other's place (Kairouz, Oh and Viswanath 2015).
``one_run_epsilon``
    many canaries in *one* training run, whose guesses need not be independent (Steinke, Nasr and
    Jagielski 2023, "Privacy auditing with one (1) training run", Theorem 5.2).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.optimize import brentq

from helpers.errors import PrivacyError
from helpers.privacy._checks import (
    require_not_negative,
    require_probability,
    require_share,
    require_whole,
)

# A bound above this is reported as this: no number of guesses that fits in memory proves more.
_CEILING = 50.0


def proportion_bounds(successes: int, trials: int, error_probability: float) -> tuple[float, float]:
    """Bound a probability from above and from below (Clopper and Pearson 1934).

    Parameters
    ----------
    successes, trials
        Counts of independent trials.
    error_probability
        Probability that the lower bound is too high; the same for the upper bound.

    Returns
    -------
    low, high
        Each a one-sided bound.

    Raises
    ------
    PrivacyError
        If counts or probability are out of range.
    """
    require_whole("trials", trials, at_least=1)
    require_whole("successes", successes, at_least=0)
    require_probability("error_probability", error_probability)
    if successes > trials:
        raise PrivacyError(f"successes={successes} must not exceed trials={trials}.")
    low, high = clopper_pearson(np.array(successes), trials, error_probability)
    return float(low), float(high)


def clopper_pearson(
    successes: NDArray[np.integer], trials: int, error_probability: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Compute :func:`proportion_bounds` for many counts, unchecked.

    Parameters
    ----------
    successes
        Integer array of any shape.
    trials, error_probability
        As for :func:`proportion_bounds`.

    Returns
    -------
    low, high
        float64 arrays of that shape.
    """
    # Where a beta distribution has no second parameter SciPy gives NaN: there the bound is trivial.
    low = stats.beta.ppf(error_probability, successes, trials - successes + 1)
    high = stats.beta.isf(error_probability, successes + 1, trials - successes)
    return np.where(successes == 0, 0.0, low), np.where(successes == trials, 1.0, high)


def epsilon_lower_bound(
    true_positives: int,
    members: int,
    false_positives: int,
    others: int,
    delta: float,
    confidence: float = 0.95,
) -> float:
    """Bound epsilon from below by the two error rates of one fixed test.

    Parameters
    ----------
    true_positives
        Members that the test called members.
    members
        Members tested, independently of each other.
    false_positives
        Others that the test called members.
    others
        Others tested.
    delta
        Delta of the claim.
    confidence
        Probability with which the bound holds.

    Returns
    -------
    float
        The mechanism is not (epsilon, delta)-private for any smaller epsilon; at least 0.

    Raises
    ------
    PrivacyError
        If an argument is out of its range.
    """
    require_share("delta", delta)
    require_probability("confidence", confidence)
    # Two tails, two proportions each: four bounds that must all hold.
    each = (1 - confidence) / 4
    tpr_low, tpr_high = proportion_bounds(true_positives, members, each)
    fpr_low, fpr_high = proportion_bounds(false_positives, others, each)
    positive = _log_ratio(tpr_low - delta, fpr_high)
    negative = _log_ratio(1 - fpr_high - delta, 1 - tpr_low)
    swapped = _log_ratio(fpr_low - delta, tpr_high)
    return max(0.0, positive, negative, swapped)


def _log_ratio(above: float, below: float) -> float:
    return math.log(above / below) if above > 0 and below > 0 else 0.0


def one_run_p_value(
    correct: int, guesses: int, canaries: int, epsilon: float, delta: float
) -> float:
    r"""Return how likely so many correct guesses are under (epsilon, delta)-privacy, at most.

    Parameters
    ----------
    correct
        Guesses that were right.
    guesses
        Canaries guessed about; the auditor abstains on the rest.
    canaries
        Canaries, each included by a fair coin of its own.
    epsilon, delta
        The claim.

    Returns
    -------
    float
        :math:`P[\check W \ge v] + 2 m \delta \max_i \frac1i P[v > \check W \ge v - i]` with
        :math:`\check W \sim \mathrm{Binomial}(r, e^\varepsilon / (1 + e^\varepsilon))`, at most 1.

    Raises
    ------
    PrivacyError
        If an argument is out of its range.
    """
    for name, count in (("correct", correct), ("guesses", guesses), ("canaries", canaries)):
        require_whole(name, count, at_least=0)
    require_not_negative("epsilon", epsilon)
    require_share("delta", delta)
    if not correct <= guesses <= canaries:
        raise PrivacyError(
            f"correct={correct}, guesses={guesses}, canaries={canaries} must not fall."
        )
    law = stats.binom(guesses, 1 / (1 + math.exp(-epsilon)))
    chance = float(law.sf(correct - 1))
    if delta > 0 and correct > 0:
        below = np.cumsum(law.pmf(np.arange(correct - 1, -1, -1)))
        chance += 2 * canaries * delta * float((below / np.arange(1, correct + 1)).max())
    return min(chance, 1.0)


def one_run_epsilon(
    correct: int, guesses: int, canaries: int, delta: float, confidence: float = 0.95
) -> float:
    """Bound epsilon from below by the guesses about the canaries of one run.

    Parameters
    ----------
    correct, guesses, canaries
        As for :func:`one_run_p_value`.
    delta
        Delta of the claim.
    confidence
        Probability with which the bound holds.

    Returns
    -------
    float
        The mechanism is not (epsilon, delta)-private for any smaller epsilon; at least 0.

    Raises
    ------
    PrivacyError
        If an argument is out of its range.
    """
    require_probability("confidence", confidence)
    limit = 1 - confidence

    def excess(epsilon: float) -> float:
        return one_run_p_value(correct, guesses, canaries, epsilon, delta) - limit

    if excess(0.0) >= 0:
        return 0.0
    if excess(_CEILING) <= 0:
        return _CEILING
    return float(brentq(excess, 0.0, _CEILING, xtol=1e-6))
