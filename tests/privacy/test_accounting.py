from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, optimize, stats
from scipy.special import logsumexp, ndtr

from helpers.errors import PrivacyError
from helpers.privacy.accounting import (
    calibrate_noise,
    compare_accounting,
    epsilon,
    privacy_profile,
)

ORDERS = np.concatenate([1 + np.arange(1, 100) / 10, np.arange(11, 64), [128, 256, 512, 1024]])


def sampled_gaussian_rdp(noise: float, rate: float) -> np.ndarray:
    """Mironov et al. 2019, section 3.3, by quadrature: no series, no code of an accountant."""
    # The integrand is a mixture of Gaussians with means from 0 to the order: the trapezoidal rule
    # is exact to rounding once its step is below their deviation.
    points = np.linspace(-12 * noise, ORDERS + 12 * noise, 3_001)
    ratios = np.logaddexp(math.log1p(-rate), math.log(rate) + (2 * points - 1) / (2 * noise**2))
    logs = ORDERS * ratios - points**2 / (2 * noise**2) - math.log(noise * math.sqrt(2 * math.pi))
    moments = logsumexp(logs, axis=0) + np.log(points[1] - points[0])
    return np.asarray(moments / (ORDERS - 1))


def epsilon_by_quadrature(noise: float, rate: float, steps: int, delta: float) -> float:
    """Convert with Canonne, Kamath and Steinke 2020, Proposition 12."""
    spent = steps * sampled_gaussian_rdp(noise, rate)
    bounds = spent + np.log1p(-1 / ORDERS) - np.log(delta * ORDERS) / (ORDERS - 1)
    return max(0.0, float(bounds.min()))


def random_settings() -> list[tuple[float, float, int, float]]:
    rng = np.random.default_rng(20260)
    return [
        (
            float(rng.uniform(0.6, 5)),
            float(10 ** rng.uniform(-3, -0.5)),
            int(10 ** rng.uniform(0, 4)),
            float(10 ** rng.uniform(-8, -4)),
        )
        for _ in range(100)
    ]


def test_rdp_agrees_with_quadrature_on_a_hundred_random_settings() -> None:
    # dp-accounting tries other orders between 10 and 64 and above: half a percent is the grid's.
    for noise, rate, steps, delta in random_settings():
        ours = epsilon(noise, rate, steps, delta)
        oracle = epsilon_by_quadrature(noise, rate, steps, delta)
        assert ours == pytest.approx(oracle, rel=5e-3, abs=1e-6), (noise, rate, steps, delta)


def deltas_by_fourier(noise: float, rate: float, steps: int, adding: bool) -> tuple:
    """Privacy profile of a composition: exact cell masses of one loss, one Fourier transform.

    Nothing is shared with an accountant: the loss is inverted in closed form, so that each cell of
    the grid gets its mass as a difference of normal distribution functions, and the grid is wide
    enough that nothing wraps around.
    """
    count, width = 1 << 17, 2.5e-4
    centres = (np.arange(count) - count // 2) * width
    edges = np.append(centres - width / 2, centres[-1] + width / 2)
    inside = np.exp(edges if adding else -edges) - (1 - rate)
    points = np.full(len(edges), -np.inf)
    points[inside > 0] = noise**2 * np.log(inside[inside > 0] / rate) + 0.5
    below = ndtr(points / noise)
    if adding:
        below = (1 - rate) * below + rate * ndtr((points - 1) / noise)
    spectrum = np.fft.rfft(np.fft.ifftshift(np.abs(np.diff(below))))
    mass = np.fft.fftshift(np.fft.irfft(spectrum**steps, count))
    above = np.cumsum(mass[::-1])[::-1]
    weighted = np.cumsum((mass * np.exp(-centres))[::-1])[::-1]
    return centres, above - np.exp(centres) * weighted


def epsilon_by_fourier(noise: float, rate: float, steps: int, delta: float) -> float:
    found = 0.0
    for adding in (True, False):
        centres, deltas = deltas_by_fourier(noise, rate, steps, adding)
        usable = slice(len(centres) // 2, None)  # epsilons from 0 upwards
        last = int(np.argmax(deltas[usable] <= delta)) + len(centres) // 2
        step = slice(last - 1, last + 1)
        found = max(found, float(np.interp(-delta, -deltas[step], centres[step])))
    return found


def test_pld_agrees_with_a_fourier_accountant_on_a_hundred_random_settings() -> None:
    # Both round losses to a grid (1e-4 theirs, upwards; 2.5e-4 ours, to the nearest).
    rng = np.random.default_rng(20261)
    for _ in range(100):
        noise, rate = float(rng.uniform(0.8, 4)), float(10 ** rng.uniform(-3, -1))
        steps, delta = int(10 ** rng.uniform(0, 2)), float(10 ** rng.uniform(-7, -4))
        ours = epsilon(noise, rate, steps, delta, "pld")
        oracle = epsilon_by_fourier(noise, rate, steps, delta)
        assert ours == pytest.approx(oracle, rel=1e-3, abs=1e-4), (noise, rate, steps, delta)


@pytest.mark.parametrize(
    ("noise", "batch", "steps", "rdp", "pld"),
    [(1.1, 256, 3515, 1.28, 1.13), (1.3, 250, 3600, 0.94, 0.85), (0.7, 250, 10800, 6.23, 5.56)],
)
def test_published_settings_give_the_published_epsilons(
    noise: float, batch: int, steps: int, rdp: float, pld: float
) -> None:
    rate = batch / 60_000
    assert epsilon(noise, rate, steps, 1e-5) == pytest.approx(rdp, abs=0.006)
    assert epsilon(noise, rate, steps, 1e-5, "pld") == pytest.approx(pld, abs=0.006)


def test_the_statement_of_tensorflow_privacy_is_reproduced() -> None:
    from tensorflow_privacy.privacy.analysis.compute_dp_sgd_privacy_lib import (
        compute_dp_sgd_privacy_statement,
    )

    statement = compute_dp_sgd_privacy_statement(60_000, 256, 10, 1.2, 1e-5, False)
    assert "15.1" in statement
    assert epsilon(1.2, 1 / 60, 600, 1e-5, sampling="none") == pytest.approx(15.1, abs=0.05)
    assert "0.93" in statement
    assert epsilon(1.2, 256 / 60_000, 2344, 1e-5) == pytest.approx(0.93, abs=0.005)


def gaussian_delta(noise: float, value: float) -> float:
    """Balle and Wang 2018, Theorem 8: the exact profile of one Gaussian release."""
    shift = value * noise
    return float(
        stats.norm.cdf(0.5 / noise - shift) - math.exp(value) * stats.norm.cdf(-0.5 / noise - shift)
    )


def test_pld_without_sampling_is_the_exact_gaussian() -> None:
    for noise, steps in [(1.0, 1), (4.0, 10), (2.0, 3)]:
        together = noise / math.sqrt(steps)
        exact = optimize.brentq(lambda e, z=together: gaussian_delta(z, e) - 1e-5, 0, 60)
        assert epsilon(noise, 1.0, steps, 1e-5, "pld") == pytest.approx(exact, rel=1e-3)


def sampled_delta(noise: float, rate: float, value: float) -> float:
    """Larger hockey-stick divergence of one sampled release, by quadrature, in both directions."""
    points = np.linspace(-12 * noise, 1 + 12 * noise, 40_001)
    without = stats.norm.pdf(points, 0, noise)
    mixed = (1 - rate) * without + rate * stats.norm.pdf(points, 1, noise)
    growth = math.exp(value)
    gaps = (mixed - growth * without, without - growth * mixed)
    return max(float(integrate.simpson(np.maximum(gap, 0), x=points)) for gap in gaps)


def test_the_privacy_profile_bounds_the_exact_one_from_just_above() -> None:
    grid = [0.0, 0.3, 1.0]
    for noise, rate in [(0.8, 0.3), (2.0, 0.05)]:
        for value, bound in zip(grid, privacy_profile(noise, rate, 1, grid), strict=True):
            exact = sampled_delta(noise, rate, value)
            # Losses are rounded up by at most a hundredth.
            assert exact - 1e-7 <= bound <= sampled_delta(noise, rate, max(0, value - 0.011)) + 1e-4


@settings(deadline=None, max_examples=10)
@given(st.floats(0.7, 4), st.floats(0.002, 0.3), st.integers(1, 500))
def test_more_noise_or_fewer_steps_never_cost_more(noise: float, rate: float, steps: int) -> None:
    spent = epsilon(noise, rate, steps, 1e-5)
    assert epsilon(noise * 1.1, rate, steps, 1e-5) <= spent
    assert epsilon(noise, rate, steps + 10, 1e-5) >= spent


def test_the_comparison_shows_what_the_sampler_buys() -> None:
    compared = compare_accounting(1.1, 256 / 60_000, 3515, 1e-5)
    assert compared.pld < compared.rdp < compared.no_amplification
    assert compared.no_amplification > 10 * compared.pld


def test_no_steps_cost_nothing_and_no_noise_costs_everything() -> None:
    assert epsilon(1.0, 0.1, 0, 1e-5) == 0
    assert epsilon(0.0, 0.1, 3, 1e-5) == math.inf


def test_epochs_are_not_rounded_up_by_float_error() -> None:
    third = epsilon(2.0, 1 / 3, 9, 1e-5, sampling="none")
    assert third == epsilon(2.0, 1.0, 3, 1e-5)


@pytest.mark.parametrize("method", ["rdp", "pld"])
@pytest.mark.parametrize("budget", [(1.0, 0.02, 200), (6.0, 0.1, 100)])
def test_calibrated_noise_is_the_least_that_fits(
    method: str, budget: tuple[float, float, int]
) -> None:
    target, rate, steps = budget
    noise = calibrate_noise(target, rate, steps, 1e-5, method)  # type: ignore[arg-type]
    assert epsilon(noise, rate, steps, 1e-5, method) <= target  # type: ignore[arg-type]
    assert epsilon(noise * 0.998, rate, steps, 1e-5, method) > target  # type: ignore[arg-type]


def test_a_budget_that_no_noise_can_keep_is_refused() -> None:
    with pytest.raises(PrivacyError, match="Take fewer steps"):
        calibrate_noise(1e-6, 1.0, 1000, 1e-9)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ((-1.0, 0.1, 1, 1e-5), "noise_multiplier"),
        ((1.0, 1.5, 1, 1e-5), "sample_rate"),
        ((1.0, 0.1, -1, 1e-5), "steps"),
        ((1.0, 0.1, 1, 0.0), "delta"),
        ((1.0, 0.1, 1, 1e-5, "moments"), "method"),
        ((1.0, 0.1, 1, 1e-5, "rdp", "shuffle"), "sampling"),
    ],
)
def test_a_setting_out_of_range_is_named(arguments: tuple, word: str) -> None:
    with pytest.raises(PrivacyError, match=word):
        epsilon(*arguments)
