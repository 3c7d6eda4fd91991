"""What privacy costs and what leaks: noise, epsilons, attacks on membership."""

from __future__ import annotations

import math

import numpy as np

from helpers.course.interview_answers.federated import clip_and_average
from helpers.course.interview_answers.registry import answer
from helpers.errors import InterviewError


@answer
def dp_epsilon(noise_multiplier: float, batch: float, records: int, steps: int, delta: float,
               method: str = "rdp", sampling: str = "poisson") -> float:  # fmt: skip
    """Epsilon of DP-SGD with batches of an expected size."""
    from helpers.privacy.accounting import epsilon

    rate = batch / records
    return epsilon(noise_multiplier, rate, steps, delta, method, sampling)  # type: ignore[arg-type]


@answer
def largest_true_positive_rate(epsilon: float, delta: float, false_positive_rate: float) -> float:
    """Most members that any attack finds at a false-positive rate, under (epsilon, delta)-DP."""
    fpr = false_positive_rate
    return min(1.0, math.exp(epsilon) * fpr + delta, 1 - math.exp(-epsilon) * (1 - delta - fpr))


@answer
def largest_posterior(epsilon: float, prior: float) -> float:
    """Largest belief in membership after seeing the output, under epsilon-DP."""
    odds = math.exp(epsilon) * prior / (1 - prior)
    return odds / (1 + odds)


@answer
def scaled_probability(epsilon: float, prior: float) -> float:
    """A belief multiplied by e^epsilon: what somebody gets who forgets the odds."""
    return math.exp(epsilon) * prior


@answer
def epsilon_proved(true_positives: int, members: int, false_positives: int, others: int,
                   delta: float, confidence: float = 0.95) -> float:  # fmt: skip
    """Epsilon that an audit with independent trials proves to be exceeded."""
    from helpers.privacy.auditing.bounds import epsilon_lower_bound

    return epsilon_lower_bound(true_positives, members, false_positives, others, delta, confidence)


@answer
def log_ratio(part: float, whole: float) -> float:
    """Natural logarithm of a ratio: the epsilon that two exactly known rates would prove."""
    return math.log(part / whole)


@answer
def laplace_scale(sensitivity: float, epsilon: float) -> float:
    """Scale of the Laplace noise that makes a release epsilon-DP."""
    return sensitivity / epsilon


@answer
def laplace_margin(sensitivity: float, epsilon: float, confidence: float) -> float:
    """Distance that Laplace noise does not exceed, with a probability."""
    return laplace_scale(sensitivity, epsilon) * -math.log(1 - confidence)


@answer
def laplace_normal_margin(sensitivity: float, epsilon: float) -> float:
    """1.96 standard deviations of Laplace noise: what the rule for a normal law would say."""
    return 1.96 * math.sqrt(2) * laplace_scale(sensitivity, epsilon)


@answer
def odds_factor(epsilon: float) -> float:
    """Factor by which the odds of a guess may rise under epsilon-DP."""
    return math.exp(epsilon)


@answer
def composed_epsilon(epsilon: float, releases: int) -> float:
    """Epsilon of several releases by plain composition, or of a group of records."""
    return epsilon * releases


@answer
def noise_in_mean(noise_multiplier: float, clip: float, batch: float) -> float:
    """Standard deviation of the noise in each coordinate of DP-SGD's mean gradient."""
    return noise_multiplier * clip / batch


@answer
def local_noise_in_mean(noise_multiplier: float, clip: float, parties: int) -> float:
    """Standard deviation in the mean when every party adds all of the noise itself."""
    return noise_in_mean(noise_multiplier, clip, parties) * math.sqrt(parties)


@answer
def clip_and_scale(gradients: list[list[float]], clip: float, expected: float) -> list[float]:
    """DP-SGD's step before the noise: clipped gradients over the expected batch.

    Raises
    ------
    InterviewError
        If the batch is empty.
    """
    if not gradients:
        raise InterviewError("an empty batch has no dimension here: give one gradient or more")
    scale = len(gradients) / expected
    return [scale * value for value in clip_and_average(gradients, clip)]


@answer
def expected_count(trials: int, probability: float) -> float:
    """Mean number of successes."""
    return trials * probability


@answer
def membership_auc(gap: float, scatter: float, rounding: float) -> float:
    """Area under the curve of the best attack on one record, both groups normal."""
    from scipy.stats import norm

    return float(norm.cdf(gap / math.sqrt(2 * (scatter**2 + rounding**2))))


@answer
def rounding_for_auc(gap: float, scatter: float, area: float) -> float:
    """Deviation of rounding noise that brings the best attack down to an area under the curve."""
    from scipy.stats import norm

    return math.sqrt((gap / float(norm.ppf(area))) ** 2 / 2 - scatter**2)


@answer
def total_noise_for_auc(gap: float, area: float) -> float:
    """Deviation of all noise together at which the best attack has an area under the curve."""
    return rounding_for_auc(gap, 0.0, area)


@answer
def leftover_for_auc(gap: float, scatter: float, area: float) -> float:
    """Rounding noise for an area, if deviations and not their squares added: a slip."""
    return total_noise_for_auc(gap, area) - scatter


@answer
def members_found(members: list[float], others: list[float], limit: float) -> float:
    """Highest true-positive rate of a threshold with at most so many false positives."""
    from helpers.privacy.membership.threshold import threshold_attack

    return threshold_attack(members, others).tpr_at_fpr(limit)


@answer
def likelihood_score(confidence: float, inside: list[float], outside: list[float]) -> float:
    """Log-likelihood ratio of one record, each kind of shadow with its own normal law."""
    from helpers.privacy.membership.lira import lira_scores

    shadows = np.asarray([*inside, *outside], float)[:, None]
    members = np.arange(len(shadows))[:, None] < len(inside)
    return float(lira_scores([confidence], shadows, members, variance="example")[0])
