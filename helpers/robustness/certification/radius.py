"""From counts of votes to a certified radius: the statistics of randomised smoothing."""

from __future__ import annotations

import math
from typing import Literal, get_args

from scipy import special, stats

from helpers.errors import RobustnessError
from helpers.robustness._checks import require_choice, require_positive, require_whole

Guarantee = Literal["each", "all"]


def lower_bound(count: int, trials: int, alpha: float) -> float:
    """Bound a probability from below (Clopper and Pearson 1934, one-sided and exact).

    Parameters
    ----------
    count
        Successes.
    trials
        Independent trials.
    alpha
        Probability that the bound lies above the true probability, at most.

    Returns
    -------
    float
        The smallest probability with which so many successes or more have a chance of ``alpha``.

    Raises
    ------
    RobustnessError
        If a number is out of its range.
    """
    require_whole("trials", trials, at_least=1)
    require_whole("count", count, at_least=0)
    require_alpha(alpha)
    if count > trials:
        raise RobustnessError(f"count={count} is more than trials={trials}.")
    if count == 0:
        return 0.0
    if count == trials:
        return float(alpha ** (1 / trials))
    return float(special.betaincinv(count, trials - count + 1, alpha))


def certified_radius(sigma: float, count: int, trials: int, alpha: float) -> float:
    """Return the radius that the votes for one class certify.

    Cohen, Rosenfeld and Kolter, *Certified adversarial robustness via randomized smoothing*, ICML
    2019, theorem 1 with the second class's probability bounded by one less the first's, as in their
    CERTIFY.

    Parameters
    ----------
    sigma
        Standard deviation of the noise.
    count, trials
        Votes for the class, and all votes. The class must have been chosen before these votes.
    alpha
        Probability that the certificate is wrong, at most.

    Returns
    -------
    float
        ``sigma`` times the normal quantile of the lower bound of the class's probability, in the
        unit of ``sigma``; 0 if that bound is at most one half, and nothing is certified.

    Raises
    ------
    RobustnessError
        If a number is out of its range.
    """
    require_positive("sigma", sigma)
    low = lower_bound(count, trials, alpha)
    return float(sigma * special.ndtri(low)) if low > 0.5 else 0.0


def radius_ceiling(sigma: float, trials: int, alpha: float) -> float:
    """Return the radius if every vote agrees: with so many votes no certificate is larger.

    It is ``sigma`` times the normal quantile of ``alpha ** (1 / trials)``.

    Raises
    ------
    RobustnessError
        If a number is out of its range.
    """
    return certified_radius(sigma, trials, trials, alpha)


def samples_needed(sigma: float, radius: float, alpha: float) -> int:
    """Return the fewest votes with which a radius can be certified at all: all must agree.

    Raises
    ------
    RobustnessError
        If a number is out of its range.
    """
    require_positive("sigma", sigma)
    require_positive("radius", radius)
    require_alpha(alpha)
    return max(1, math.ceil(math.log(alpha) / float(stats.norm.logcdf(radius / sigma))))


def alpha_of_each(alpha: float, images: int, guarantee: Guarantee) -> float:
    """Return the error probability that a single certificate may spend.

    Parameters
    ----------
    alpha
        Error probability promised.
    images
        Images that are certified together.
    guarantee
        ``"each"``: every certificate by itself is wrong with at most ``alpha``, so of a thousand
        certificates at .001 about one may be. ``"all"``: with probability one less ``alpha`` not
        one of them is wrong; each then gets ``alpha / images`` (Bonferroni).

    Returns
    -------
    float
        Of one certificate.

    Raises
    ------
    RobustnessError
        If a number is out of its range or the guarantee is unknown.
    """
    require_alpha(alpha)
    require_whole("images", images, at_least=1)
    require_choice("guarantee", guarantee, get_args(Guarantee))
    return alpha / images if guarantee == "all" else alpha


def require_alpha(alpha: float) -> None:
    """Raise RobustnessError unless an error probability lies between 0 and one half."""
    require_positive("alpha", alpha)
    if alpha >= 0.5:
        raise RobustnessError(f"alpha={alpha!r} must be below one half; 0.001 is usual.")
