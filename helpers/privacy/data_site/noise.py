"""Laplace noise on a grid, drawn exactly, so that no floating-point digit betrays the answer.

**The attack.** A textbook sampler computes ``answer + scale * log(u)`` in floating point. Doubles
are unevenly spaced, so each exact answer can reach its own set of doubles only, and an output
that one answer reaches is often out of reach for its neighbour: the observer then knows the
answer for certain, whatever epsilon was (Mironov 2012). More bits make the sets larger, not equal.

**The way out.** Exact answers are whole numbers of grid steps, and so is the noise:
:func:`rounded_laplace` has the law of a real Laplace variable rounded to the nearest integer. It
is drawn by comparing random integers, and no logarithm, exponential or float occurs.

Why rounded Laplace, and not the two-sided geometric ("discrete Laplace") law? Rounding is
post-processing, so this noise never costs more than Laplace noise of the same scale, alone or
composed, and a Laplace charge in the ledger is right. The geometric law keeps the same pure
epsilon for one answer but composes worse: on a count (sensitivity of one step) it *is* randomised
response, the worst mechanism with that epsilon, and a Laplace charge would be too small.

References
----------
C. L. Canonne, G. Kamath, T. Steinke (2020). The discrete Gaussian for differential privacy.
NeurIPS. arXiv:2004.00010. Algorithms 1 and 2 draw ``Bernoulli(exp(-x))`` and geometric variables.

I. Mironov (2012). On significance of the least significant bits for differential privacy. CCS.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

from helpers.errors import PrivacyError

RandBelow = Callable[[int], int]
"""``randbelow(n)`` is uniform over ``0 .. n - 1``; :func:`secrets.randbelow` outside of tests."""


def rounded_laplace(scale: Fraction, randbelow: RandBelow) -> int:
    """Draw Laplace noise of a rational scale, rounded to the nearest integer.

    Zero has probability ``1 - exp(-1 / (2 scale))``; from 1 outwards, on either side, each step is
    ``exp(-1 / scale)`` times as likely as the one before.

    Parameters
    ----------
    scale : fractions.Fraction
        Mean absolute value of the unrounded noise, in grid steps, above 0.
    randbelow : callable
        Source of all randomness.

    Returns
    -------
    int
        Noise in grid steps.

    Raises
    ------
    PrivacyError
        If `scale` is not above 0.
    """
    if scale <= 0:
        raise PrivacyError(f"The noise has scale {scale}; it must be above 0.")
    if not _happens_exp(1 / (2 * scale), randbelow):
        return 0
    distance = 1 + _geometric(1 / scale, randbelow)
    return distance if randbelow(2) else -distance


def noise_margin(scale: Fraction, confidence: float = 0.95) -> float:
    """Return how far the noise stays from zero with the given probability, in grid steps.

    Parameters
    ----------
    scale : fractions.Fraction
        As for :func:`rounded_laplace`.
    confidence : float
        Probability, between 0 and 1.

    Returns
    -------
    float
        Quantile of the absolute unrounded noise, plus the half step that rounding may add.

    Raises
    ------
    PrivacyError
        If `confidence` is out of its range.
    """
    if not 0 < confidence < 1:
        raise PrivacyError(f"confidence={confidence!r} must lie between 0 and 1.")
    return float(scale) * -math.log(1 - confidence) + 0.5


def _happens_exp(x: Fraction, randbelow: RandBelow) -> bool:
    """Return True with probability ``exp(-x)``, x at least 0."""
    while x > 1:
        if not _happens_exp(Fraction(1), randbelow):
            return False
        x -= 1
    # the series of exp(-x): the k-th coin shows heads with probability x / k
    k = 1
    while randbelow(x.denominator * k) < x.numerator:
        k += 1
    return k % 2 == 1


def _geometric(x: Fraction, randbelow: RandBelow) -> int:
    """Return k = 0, 1, ... with probability ``exp(-x k) (1 - exp(-x))``.

    Drawn at the finer rate ``1 / denominator`` first, digit by digit as it were, because stepping
    at rate x would take ``1 / x`` coins.
    """
    fine = x.denominator
    low = randbelow(fine)
    while not _happens_exp(Fraction(low, fine), randbelow):
        low = randbelow(fine)
    high = 0
    while _happens_exp(Fraction(1), randbelow):
        high += 1
    return (low + fine * high) // x.numerator
