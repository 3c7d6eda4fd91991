"""Judge a DP-SGD implementation by what it released about canaries.

Four tests, each with its share of one stated probability of a false alarm:

noise
    the coordinates of canaries that were left out hold noise alone. Its standard deviation must be
    ``noise_multiplier * l2_norm_clip / expected batch size``, in every step and overall.
fresh noise
    the noise of one step must not repeat in another.
contribution
    no canary may move its coordinate by more than one clipped gradient.
privacy profile
    guessing who is in the training set must not succeed more often than the accountant's
    (epsilon, delta) curve for Poisson sampling allows, at an epsilon chosen on half of the
    canaries and tested on the others.

A pass says that these tests found nothing, not that there is nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from helpers.errors import PrivacyError
from helpers.privacy._checks import require_probability
from helpers.privacy.accounting import dp_sgd_event, event_epsilon, privacy_profile
from helpers.privacy.auditing.bounds import (
    clopper_pearson,
    epsilon_lower_bound,
    one_run_epsilon,
)
from helpers.privacy.auditing.canaries import AuditSettings, Observations, Trainer, observe

# Epsilons at which the privacy profile is compared, before one of them is tested.
_GRID = (0.0, 0.5, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0)
# Share of the canaries that the one-run guesses are about; the auditor abstains on the rest.
_GUESSED = 0.2
_MOST_THRESHOLDS = 100
# Width of the accountant's cells: fine ones take half a minute where there is so little noise.
_CELL = 1e-2


@dataclass(frozen=True)
class Finding:
    """Outcome of one test.

    Attributes
    ----------
    name
        Which test.
    passed
        Whether the measurement is within its limits.
    measured
        What was measured.
    limits
        Lowest and highest value that a right implementation gives, but for a false alarm.
    meaning
        One sentence on what was measured.
    """

    name: str
    passed: bool
    measured: float
    limits: tuple[float, float]
    meaning: str


@dataclass(frozen=True)
class AuditReport:
    """Outcome of an audit.

    Attributes
    ----------
    findings
        One a test.
    epsilon_claimed
        What the accountant says of the audited run, by privacy-loss distributions.
    epsilon_lower_bound
        What the canaries prove if they are independent, as a right implementation makes them.
    one_run_lower_bound
        What they prove without that assumption (Steinke et al. 2023).
    delta
        Delta of the three.
    error_probability
        Chance that a right implementation fails any of the tests; also that a lower bound does
        not hold, each.
    """

    findings: tuple[Finding, ...]
    epsilon_claimed: float
    epsilon_lower_bound: float
    one_run_lower_bound: float
    delta: float
    error_probability: float

    @property
    def passed(self) -> bool:
        """Whether every test passed."""
        return all(finding.passed for finding in self.findings)

    def describe(self) -> str:
        """Lay the report out as text."""
        lines = [
            f"{'ok  ' if f.passed else 'FAIL'} {f.name}: {f.measured:.4g} "
            f"(limits {f.limits[0]:.4g} to {f.limits[1]:.4g}); {f.meaning}"
            for f in self.findings
        ]
        lines.append(
            f"epsilon at delta={self.delta:g}: claimed {self.epsilon_claimed:.3g}, measured at "
            f"least {self.epsilon_lower_bound:.3g} (independent canaries) and "
            f"{self.one_run_lower_bound:.3g} (one run)"
        )
        return "\n".join(lines)


def audit_dp_sgd(
    train: Trainer,
    settings: AuditSettings | None = None,
    delta: float = 1e-5,
    error_probability: float = 1e-3,
) -> AuditReport:
    """Audit an implementation of DP-SGD that is accounted for as Poisson-sampled.

    Parameters
    ----------
    train
        The implementation; see :class:`~helpers.privacy.auditing.canaries.Trainer`.
    settings
        The run that the audit makes.
    delta
        Delta at which epsilons are reported.
    error_probability
        Chance of failing a right implementation.

    Returns
    -------
    AuditReport
        Findings and measured lower bounds.

    Raises
    ------
    PrivacyError
        If a setting is out of its range or the trainer does not report every step.
    """
    chosen = settings or AuditSettings()
    require_probability("delta", delta)
    require_probability("error_probability", error_probability)
    return judge(observe(train, chosen), chosen, delta, error_probability)


def judge(
    seen: Observations, settings: AuditSettings, delta: float, error_probability: float
) -> AuditReport:
    """Test what was observed.

    Parameters
    ----------
    seen
        Signals of a run.
    settings
        The run as it was meant to be.
    delta, error_probability
        As for :func:`audit_dp_sgd`.

    Returns
    -------
    AuditReport
        Findings and measured lower bounds.

    Raises
    ------
    PrivacyError
        If signals are not finite.
    """
    if not np.isfinite(seen.signals).all():
        raise PrivacyError("The trainer left weights that are not finite.")
    share = error_probability / 4
    left_out = seen.signals[:, ~seen.included]
    scores = participation_scores(seen.signals, settings)
    findings = (
        _noise(left_out, settings.noise_multiplier, share),
        _fresh_noise(left_out, share),
        _contribution(seen.signals[:, seen.included], settings.noise_multiplier, share),
        _profile(scores, seen.included, settings, delta, share),
    )
    confidence = 1 - error_probability
    return AuditReport(
        findings,
        _claims(settings.noise_multiplier, settings.sample_rate, settings.steps, delta)[0],
        _independent_bound(scores, seen.included, settings.seed, delta, confidence),
        _one_run_bound(scores, seen.included, delta, confidence),
        delta,
        error_probability,
    )


def participation_scores(
    signals: NDArray[np.float64], settings: AuditSettings
) -> NDArray[np.float64]:
    r"""Score how much each canary looks like a member.

    Parameters
    ----------
    signals
        float64 ``(steps, num_canaries)``.
    settings
        The mechanism.

    Returns
    -------
    np.ndarray
        float64 ``(num_canaries,)``: log-likelihood ratio of the Poisson-sampled Gaussian,
        :math:`\sum_t \log(1 - q + q e^{(s_t - 1/2) / z^2})`, the most powerful test against it.
    """
    rate, variance = settings.sample_rate, settings.noise_multiplier**2
    absent = np.log1p(-rate) if rate < 1 else -np.inf
    ratios = np.logaddexp(absent, np.log(rate) + (signals - 0.5) / variance)
    return np.asarray(ratios.sum(axis=0))


def _noise(left_out: NDArray[np.float64], claimed: float, error: float) -> Finding:
    """Compare the noise's variance with the claim, each step alone and all together."""
    steps, count = left_out.shape
    squares = (left_out / claimed) ** 2
    sums = [*squares.sum(axis=1), squares.sum()]
    sizes = [count] * steps + [count * steps]
    tail = error / (2 * len(sums))
    lows, highs = stats.chi2.ppf(tail, sizes), stats.chi2.isf(tail, sizes)
    inside = bool(np.all((lows <= sums) & (sums <= highs)))
    ratio = math.sqrt(sums[-1] / sizes[-1])
    limits = math.sqrt(lows[-1] / sizes[-1]), math.sqrt(highs[-1] / sizes[-1])
    worst = math.sqrt(max(sums[:-1]) / count), math.sqrt(min(sums[:-1]) / count)
    return Finding(
        "noise",
        inside,
        ratio,
        limits,
        f"standard deviation over the claimed one ({worst[1]:.3g} to {worst[0]:.3g} by step)",
    )


def _fresh_noise(left_out: NDArray[np.float64], error: float) -> Finding:
    """Look for the pair of steps whose noise is most alike."""
    steps, count = left_out.shape
    correlations = np.corrcoef(left_out)[np.triu_indices(steps, 1)]
    # Student's t for the correlation of two independent Gaussian samples, over all the pairs.
    t = stats.t.isf(error / (2 * len(correlations)), count - 2)
    limit = float(t / math.sqrt(count - 2 + t**2))
    largest = float(correlations[np.abs(correlations).argmax()])
    return Finding(
        "fresh noise",
        abs(largest) <= limit,
        largest,
        (-limit, limit),
        "strongest correlation between the noise of two steps",
    )


def _contribution(taken: NDArray[np.float64], claimed: float, error: float) -> Finding:
    """Bound the largest move that clipping to one unit leaves possible."""
    limit = 1 + claimed * float(stats.norm.isf(error / taken.size))
    largest = float(taken.max())
    return Finding(
        "contribution",
        largest <= limit,
        largest,
        (-math.inf, limit),
        "largest move of a canary in one step, in clip norms over the expected batch",
    )


def _profile(
    scores: NDArray[np.float64],
    included: NDArray[np.bool_],
    settings: AuditSettings,
    delta: float,
    error: float,
) -> Finding:
    """Test one point of the privacy profile, chosen on one half of the canaries, on the other."""
    run = (settings.noise_multiplier, settings.sample_rate, settings.steps)
    claimed = _claims(*run, delta)[1]
    choosing, testing = _halves(len(scores), settings.seed)
    point, threshold, above = _promising(scores[choosing], included[choosing], claimed, error / 2)
    measured = _proven_deltas(
        scores[testing], included[testing], np.array([threshold]), above, error / 2
    )[0, point]
    return Finding(
        "privacy profile",
        bool(measured <= claimed[point]),
        float(measured),
        (-math.inf, float(claimed[point])),
        f"delta that the guesses prove at epsilon={_GRID[point]:g}, against the accountant's",
    )


@cache
def _claims(
    noise_multiplier: float, sample_rate: float, steps: int, delta: float
) -> tuple[float, NDArray[np.float64]]:
    """Return the accountant's epsilon at delta, and its deltas on the grid."""
    run = (noise_multiplier, sample_rate, steps)
    claimed = event_epsilon(dp_sgd_event(*run), delta, "pld", _CELL)
    return claimed, np.array(privacy_profile(*run, _GRID))


def _promising(
    scores: NDArray[np.float64],
    included: NDArray[np.bool_],
    claimed: NDArray[np.float64],
    error: float,
) -> tuple[int, float, bool]:
    """Find the epsilon, threshold and side that prove most beyond the claim."""
    thresholds = _thresholds(scores)
    excess = np.stack(
        [
            _proven_deltas(scores, included, thresholds, above, error) - claimed
            for above in (True, False)
        ]
    )
    side, row, point = np.unravel_index(excess.argmax(), excess.shape)
    return int(point), float(thresholds[row]), bool(side == 0)


def _proven_deltas(
    scores: NDArray[np.float64],
    included: NDArray[np.bool_],
    thresholds: NDArray[np.float64],
    above: bool,
    error: float,
) -> NDArray[np.float64]:
    """Bound delta from below at each threshold and epsilon of the grid.

    Differential privacy forces ``P(event | in) <= e^epsilon P(event | out) + delta`` for the event
    *score above the threshold*, and the same with in and out exchanged for *score below*.
    """
    hits = (scores > thresholds[:, None]) == above
    first, second = included == above, included != above
    low, _ = clopper_pearson(hits[:, first].sum(axis=1), int(first.sum()), error)
    _, high = clopper_pearson(hits[:, second].sum(axis=1), int(second.sum()), error)
    return np.asarray(low[:, None] - np.exp(_GRID) * high[:, None])


def _independent_bound(
    scores: NDArray[np.float64],
    included: NDArray[np.bool_],
    seed: int,
    delta: float,
    confidence: float,
) -> float:
    """Choose the best threshold on one half of the canaries and take the bound on the other."""
    choosing, testing = _halves(len(scores), seed)

    def bound(group: NDArray[np.bool_], threshold: float) -> float:
        hits = scores > threshold
        members, others = group & included, group & ~included
        counts = (int(hits[members].sum()), int(members.sum()))
        return epsilon_lower_bound(
            *counts, int(hits[others].sum()), int(others.sum()), delta, confidence
        )

    best = max(_thresholds(scores[choosing]), key=lambda value: bound(choosing, value))
    return bound(testing, best)


def _one_run_bound(
    scores: NDArray[np.float64], included: NDArray[np.bool_], delta: float, confidence: float
) -> float:
    """Guess *in* on the highest scores, *out* on the lowest, and abstain in between."""
    each = int(len(scores) * _GUESSED / 2)
    order = np.argsort(scores)
    correct = int(included[order[-each:]].sum() + (~included[order[:each]]).sum())
    return one_run_epsilon(correct, 2 * each, len(scores), delta, confidence)


def _halves(count: int, seed: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    choosing = np.random.default_rng([seed, 1]).random(count) < 0.5
    return choosing, ~choosing


def _thresholds(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.unique(np.quantile(scores, np.linspace(0, 1, _MOST_THRESHOLDS)[1:-1]))
