r"""How much privacy a noisy training run spends, computed with Google's ``dp-accounting``.

A run of :math:`T` steps, each on a batch drawn by Poisson sampling at rate :math:`q` and released
with Gaussian noise of standard deviation :math:`zC` on a sum of vectors clipped to norm :math:`C`,
is :math:`(\varepsilon, \delta)`-differentially private when one example is added or removed. Two
accountants bound :math:`\varepsilon`:

``"rdp"``
    Rényi divergences (Mironov, Talwar and Zhang 2019, "Rényi differential privacy of the sampled
    Gaussian mechanism"). Fast, and looser.
``"pld"``
    numerical privacy-loss distributions (Doroshenko et al. 2022, "Connect the dots"). Tight to its
    discretisation, which it rounds up, and slower.

Both are upper bounds; the smaller one holds. ``sampling="none"`` is for batches that are shuffled
or fixed in advance, each example in one batch an epoch: nothing is gained from sampling, and the
run costs one Gaussian release an epoch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Literal

import dp_accounting
import numpy as np
from dp_accounting import pld, rdp
from numpy.typing import NDArray
from scipy.optimize import brentq

from helpers.errors import PrivacyError
from helpers.privacy._checks import (
    require_choice,
    require_not_negative,
    require_positive,
    require_probability,
    require_rate,
    require_whole,
)

Method = Literal["rdp", "pld"]
Sampling = Literal["poisson", "none"]

METHODS: tuple[Method, ...] = ("rdp", "pld")
_SAMPLINGS: tuple[Sampling, ...] = ("poisson", "none")
# The largest noise that calibration tries: so much that nothing could be learned.
_MOST_NOISE = 1e4
_LEAST_NOISE = 0.05
# Width of a PLD's cells; losses are rounded up to the next, so a coarse bound is a bound too.
_FINE, _COARSE, _COARSEST = 1e-4, 1e-3, 1e-2


@dataclass(frozen=True)
class Comparison:
    """Three bounds on what one run spends, at one delta.

    Attributes
    ----------
    rdp, pld
        Epsilon with Poisson sampling, by each accountant.
    no_amplification
        Epsilon when batches are shuffled or fixed instead (PLD accountant).
    delta
        The delta that all three hold at.
    """

    rdp: float
    pld: float
    no_amplification: float
    delta: float


def epsilon(
    noise_multiplier: float,
    sample_rate: float,
    steps: int,
    delta: float,
    method: Method = "rdp",
    sampling: Sampling = "poisson",
) -> float:
    """Bound the epsilon of a run of DP-SGD or DP-FedAvg.

    Parameters
    ----------
    noise_multiplier
        Standard deviation of the noise on the clipped *sum*, in units of the clip norm. 0 gives
        infinity.
    sample_rate
        Probability with which each example (or client) joins a batch; expected batch size over
        number of examples.
    steps
        Number of noisy releases; 0 gives 0.
    delta
        Probability of failure that the bound may have; well below 1 over the number of examples.
    method
        Accountant.
    sampling
        ``"poisson"`` only when the code draws every batch so. ``"none"`` otherwise: an example
        then takes part ``ceil(steps * sample_rate)`` times.

    Returns
    -------
    float
        Epsilon, an upper bound, for adding or removing one example; every intermediate model may
        be published too.

    Raises
    ------
    PrivacyError
        If a setting is out of its range.
    """
    event = dp_sgd_event(noise_multiplier, sample_rate, steps, sampling)
    return event_epsilon(event, delta, method)


def compare_accounting(
    noise_multiplier: float, sample_rate: float, steps: int, delta: float
) -> Comparison:
    """Put the accountants, and a run without Poisson sampling, side by side.

    Parameters
    ----------
    noise_multiplier, sample_rate, steps, delta
        As for :func:`epsilon`.

    Returns
    -------
    Comparison
        What the tighter accountant and what the sampler buy.

    Raises
    ------
    PrivacyError
        If a setting is out of its range.
    """
    settings = (noise_multiplier, sample_rate, steps, delta)
    return Comparison(
        rdp=epsilon(*settings, method="rdp"),
        pld=epsilon(*settings, method="pld"),
        no_amplification=epsilon(*settings, method="pld", sampling="none"),
        delta=delta,
    )


def privacy_profile(
    noise_multiplier: float, sample_rate: float, steps: int, epsilons: Sequence[float]
) -> list[float]:
    """Bound the delta of a Poisson-sampled run at several epsilons.

    Losses are rounded up to hundredths, which keeps runs with little noise quick to account for.

    Parameters
    ----------
    noise_multiplier, sample_rate, steps
        As for :func:`epsilon`.
    epsilons
        Values to evaluate at, each at least 0.

    Returns
    -------
    list of float
        Upper bounds by privacy-loss distributions, one an epsilon.

    Raises
    ------
    PrivacyError
        If a setting is out of its range.
    """
    for value in epsilons:
        require_not_negative("epsilons", value)
    require_positive("noise_multiplier", noise_multiplier)
    accountant = pld.PLDAccountant(value_discretization_interval=_COARSEST)
    accountant.compose(dp_sgd_event(noise_multiplier, sample_rate, steps, "poisson"))
    # What rounding adds may take the bound of a hopeless run past a probability.
    return [min(1.0, float(accountant.get_delta(value))) for value in epsilons]


def calibrate_noise(
    target_epsilon: float,
    sample_rate: float,
    steps: int,
    delta: float,
    method: Method = "pld",
    sampling: Sampling = "poisson",
    tolerance: float = 1e-3,
) -> float:
    """Find the least noise multiplier that keeps a run within a privacy budget.

    Parameters
    ----------
    target_epsilon
        Budget; the answer never exceeds it.
    sample_rate, steps, delta, sampling
        As for :func:`epsilon`.
    method
        Accountant of the answer. ``"pld"`` searches below the answer of ``"rdp"``, which takes
        a fraction of the time of searching with PLD alone.
    tolerance
        Noise multiplier may exceed the least one by at most this, relative to it.

    Returns
    -------
    float
        Noise multiplier.

    Raises
    ------
    PrivacyError
        If a setting is out of its range or no noise multiplier up to 10,000 is enough.
    """
    require_positive("target_epsilon", target_epsilon)
    require_whole("steps", steps, at_least=1)
    require_probability("tolerance", tolerance)
    require_choice("method", method, METHODS)

    def excess(by: Method, interval: float = _FINE) -> Callable[[float], float]:
        @cache
        def gap(log_noise: float) -> float:
            event = dp_sgd_event(math.exp(log_noise), sample_rate, steps, sampling)
            return math.log(max(event_epsilon(event, delta, by, interval), 1e-12) / target_epsilon)

        return gap

    low, high = math.log(_LEAST_NOISE), math.log(_MOST_NOISE)
    if excess("rdp")(high) > 0:
        raise PrivacyError(
            f"No noise_multiplier up to {_MOST_NOISE:g} keeps {steps} steps at sample_rate="
            f"{sample_rate} within target_epsilon={target_epsilon} at delta={delta}. Take fewer "
            "steps, a smaller sample_rate, or a larger budget."
        )
    answer = _least(excess("rdp"), low, high, tolerance)
    if method == "pld":
        # Each search starts where the looser and faster one ended.
        answer = _least_below(excess("pld", _COARSE), answer, low, tolerance, reach=0.1)
        answer = _least_below(excess("pld"), answer, low, tolerance, reach=4 * tolerance)
    return math.exp(answer)


def dp_sgd_event(
    noise_multiplier: float, sample_rate: float, steps: int, sampling: Sampling = "poisson"
) -> dp_accounting.DpEvent:
    """Describe a run to ``dp-accounting``.

    Parameters
    ----------
    noise_multiplier, sample_rate, steps, sampling
        As for :func:`epsilon`.

    Returns
    -------
    dp_accounting.DpEvent
        The composed event.

    Raises
    ------
    PrivacyError
        If a setting is out of its range.
    """
    require_not_negative("noise_multiplier", noise_multiplier)
    require_rate("sample_rate", sample_rate)
    require_whole("steps", steps, at_least=0)
    require_choice("sampling", sampling, _SAMPLINGS)
    release = dp_accounting.GaussianDpEvent(float(noise_multiplier))
    if steps == 0:
        return dp_accounting.NoOpDpEvent()
    if sampling == "none":
        # Rounding first: 3 epochs of 1/3 must not become 4 by float error.
        return dp_accounting.SelfComposedDpEvent(release, math.ceil(round(steps * sample_rate, 9)))
    if sample_rate == 1:
        return dp_accounting.SelfComposedDpEvent(release, int(steps))
    sampled = dp_accounting.PoissonSampledDpEvent(float(sample_rate), release)
    return dp_accounting.SelfComposedDpEvent(sampled, int(steps))


def event_epsilon(
    event: dp_accounting.DpEvent, delta: float, method: Method, interval: float = _FINE
) -> float:
    """Bound the epsilon of any composed event.

    Parameters
    ----------
    event
        What was released.
    delta
        Probability of failure that the bound may have.
    method
        Accountant.
    interval
        Width of the cells that ``"pld"`` rounds privacy losses up to.

    Returns
    -------
    float
        Epsilon; infinity for a release without noise.

    Raises
    ------
    PrivacyError
        If ``delta`` or ``method`` is out of its range.
    """
    require_probability("delta", delta)
    require_choice("method", method, METHODS)
    if method == "rdp":
        return float(rdp.compute_epsilon(rdp.RdpAccountant().orders, _divergences(event), delta)[0])
    accountant = pld.PLDAccountant(value_discretization_interval=interval)
    accountant.compose(event)
    return float(accountant.get_epsilon(delta))


def _divergences(event: dp_accounting.DpEvent) -> NDArray[np.float64]:
    """Return Rényi divergences at the accountant's orders; they add over releases."""
    if isinstance(event, dp_accounting.SelfComposedDpEvent):
        return event.count * _divergences(event.event)
    if isinstance(event, dp_accounting.ComposedDpEvent):
        return np.sum([_divergences(part) for part in event.events], axis=0)
    return _release_divergences(event)


@lru_cache(maxsize=1024)
def _release_divergences(event: dp_accounting.DpEvent) -> NDArray[np.float64]:
    """Compute one release: a quarter of a second, and runs repeat the same one."""
    return np.array(rdp.RdpAccountant().compose(event).rdp)


def _least(gap: Callable[[float], float], low: float, high: float, tolerance: float) -> float:
    """Find where a falling ``gap`` crosses zero, on the side where it is not positive."""
    if gap(low) <= 0:
        return low
    root = float(brentq(gap, low, high, xtol=tolerance / 4))
    while gap(root) > 0:
        root += tolerance / 4
    return root


def _least_below(
    gap: Callable[[float], float], start: float, floor: float, tolerance: float, reach: float
) -> float:
    """Walk down from ``start`` until ``gap`` is positive, then search in between."""
    high = start
    while gap(high) > 0:
        high += reach
    low = max(high - reach, floor)
    while low > floor and gap(low) <= 0:
        high, reach = low, 2 * reach
        low = max(high - reach, floor)
    return _least(gap, low, high, tolerance)
