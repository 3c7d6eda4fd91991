"""The noise has the law it claims, to the digit, and no float comes near it."""

from __future__ import annotations

import math
import random
import secrets
from fractions import Fraction

import numpy as np
import pytest
from scipy import stats

from helpers.errors import PrivacyError
from helpers.privacy.data_site import noise_margin, rounded_laplace


def rounded_pmf(k: np.ndarray, scale: float) -> np.ndarray:
    """What rounding a real Laplace variable to integers gives, by scipy's distribution function."""
    law, below = stats.laplace(scale=scale), -np.abs(k)  # this side loses no digits
    return law.cdf(below + 0.5) - law.cdf(below - 0.5)


@pytest.mark.parametrize(
    "scale", [Fraction(1, 3), Fraction(1), Fraction(7, 3), Fraction(40), Fraction(12345, 10)]
)
def test_the_noise_is_laplace_noise_rounded(scale: Fraction) -> None:
    rng = random.Random(20)
    drawn = np.array([rounded_laplace(scale, rng.randrange) for _ in range(6_000)])
    width = max(1, round(float(scale) / 4))  # bins of several integers when the noise is wide
    bins = np.round(drawn / width)
    reach = max(2, int(4 * scale / width))
    inner = np.arange(-reach, reach + 1)
    low, high = np.ceil((inner - 0.5) * width), np.floor((inner + 0.5) * width)
    ties = np.round(low / width) != inner  # numpy rounds halves to even, as the bins above do
    low = np.where(ties, low + 1, low)
    high = np.where(np.round(high / width) != inner, high - 1, high)
    law = stats.laplace(scale=float(scale))
    expected = law.cdf(high + 0.5) - law.cdf(low - 0.5)
    found = np.array([np.count_nonzero(bins == place) for place in inner])
    found = np.append(found, len(drawn) - found.sum())
    expected = np.append(expected, 1 - expected.sum()) * len(drawn)
    few = expected < 5
    found = np.append(found[~few], found[few].sum())
    expected = np.append(expected[~few], expected[few].sum())
    kept = expected > 0
    assert found[~kept].sum() == 0
    assert stats.chisquare(found[kept], expected[kept]).pvalue > 1e-3


def test_this_check_of_the_law_can_tell_geometric_from_rounded_noise() -> None:
    # the same pure epsilon, and 0 is likelier by 17 % at scale 1: 6,000 draws see that
    rounded = rounded_pmf(np.array([0]), 1.0)[0]
    geometric = (1 - math.exp(-1)) / (1 + math.exp(-1))
    deviation = math.sqrt(rounded * (1 - rounded) / 6_000)
    assert abs(rounded - geometric) > 10 * deviation


def test_neighbouring_answers_are_never_told_apart_by_more_than_epsilon() -> None:
    epsilon, sensitivity = 0.7, 5
    k = np.arange(-150, 150)
    pmf = rounded_pmf(k, sensitivity / epsilon)
    for shift in range(1, sensitivity + 1):
        shifted = rounded_pmf(k - shift, sensitivity / epsilon)
        assert np.abs(np.log(pmf / shifted)).max() <= epsilon + 1e-9


def hockey_stick(p: np.ndarray, q: np.ndarray, epsilon: float) -> float:
    return float(np.maximum(p - math.exp(epsilon) * q, 0).sum())


@pytest.mark.parametrize("sensitivity", [1, 3, 50])
def test_a_laplace_charge_covers_rounded_noise_but_not_geometric_noise(sensitivity: int) -> None:
    # delta(x) of Laplace noise: 1 - exp((x - epsilon) / 2). If a mechanism lies below it for
    # every x, a Laplace charge covers any composition of it.
    epsilon = 1.0
    scale = sensitivity / epsilon
    k = np.arange(-60 * sensitivity, 60 * sensitivity + 1)
    ratio = math.exp(-1 / scale)

    def geometric(at: np.ndarray) -> np.ndarray:
        return (1 - ratio) / (1 + ratio) * ratio ** np.abs(at)

    here, beside = rounded_pmf(k, scale), rounded_pmf(k - sensitivity, scale)
    levels = np.linspace(0, epsilon, 11)[:-1]
    allowed = np.array([1 - math.exp((x - epsilon) / 2) for x in levels])
    ours = np.array([hockey_stick(here, beside, x) for x in levels])
    theirs = np.array([hockey_stick(geometric(k), geometric(k - sensitivity), x) for x in levels])
    assert np.all(ours <= allowed + 1e-9)
    assert np.any(theirs > allowed + 1e-6)


def test_the_margin_holds_as_often_as_it_says() -> None:
    scale, rng = Fraction(30), random.Random(1)
    drawn = np.array([rounded_laplace(scale, rng.randrange) for _ in range(4_000)])
    inside = np.mean(np.abs(drawn) <= noise_margin(scale, 0.95))
    assert inside == pytest.approx(0.95, abs=0.015)


def test_wide_noise_takes_few_random_numbers() -> None:
    calls = 0
    rng = random.Random(0)

    def counted(n: int) -> int:
        nonlocal calls
        calls += 1
        return rng.randrange(n)

    for _ in range(200):
        rounded_laplace(Fraction(10**9), counted)
    assert calls / 200 < 40


def test_the_operating_systems_randomness_will_do() -> None:
    drawn = [rounded_laplace(Fraction(1000), secrets.randbelow) for _ in range(50)]
    assert len(set(drawn)) > 25
    assert all(type(value) is int for value in drawn)


def test_noise_of_no_width_is_refused() -> None:
    with pytest.raises(PrivacyError, match="scale 0"):
        rounded_laplace(Fraction(0), secrets.randbelow)
    with pytest.raises(PrivacyError, match="confidence=1"):
        noise_margin(Fraction(1), 1.0)
