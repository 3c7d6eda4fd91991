"""What a promise of privacy means, what refutes it, and the noise it asks for: q1, q2, q7."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from helpers.course.compare import Slips, close, or_explain, satisfies
from helpers.course.tasks import Case, FunctionTask
from helpers.errors import PrivacyError
from helpers.privacy.auditing import epsilon_lower_bound, proportion_bounds

_TOLERANCE = close(rtol=1e-4, atol=1e-6)

# --- q1: what guesses prove

# Two rates, each bounded on both sides: four limits that hold together with 95 %.
_LIMITS = partial(proportion_bounds, error_probability=0.0125)


def _proof_reference(hits_in: int, num_in: int, hits_out: int, num_out: int, delta: float) -> float:
    return epsilon_lower_bound(hits_in, num_in, hits_out, num_out, delta)


def _proof_cases(rng: np.random.Generator) -> list[Case]:
    hits = int(rng.integers(60, 80))
    return [
        Case((hits, 100, 10, 120, 0.01), "hits are much more frequent with the patient"),
        Case((99, 100, 40, 100, 0.01), "the misses prove more than the hits"),
        Case((200, 200, 0, 200, 1e-4), "every guess right"),
        Case((50, 100, 52, 100, 1e-4), "guessing at random proves nothing: 0"),
        Case((0, 50, 0, 50, 1e-4), "no hits at all: 0, and no logarithm of a negative number"),
    ]


def _proof(
    *,
    sides: str = "both",
    bounds: Callable[[int, int], tuple[float, float]] = _LIMITS,
    use_delta: float = 1.0,
    log: Callable[[float], float] = math.log,
    swap: bool = False,
    floor: float = 0.0,
) -> Callable[..., float]:
    """Write the bound with something left out or exchanged."""

    def bound(hits_in: int, num_in: int, hits_out: int, num_out: int, delta: float) -> float:
        low_in, high_in = bounds(hits_in, num_in)
        low_out, high_out = bounds(hits_out, num_out)
        if swap:
            low_in, high_out = high_in, low_out
        pairs = {"hits": (low_in, high_out), "misses": (1 - high_out, 1 - low_in)}
        found = [
            log((above - use_delta * delta) / below) if above > delta and below > 0 else floor
            for name, (above, below) in pairs.items()
            if sides in ("both", name)
        ]
        return max(floor, *found, floor)

    return bound


_PROOF_SLIPS: Slips = {
    "these are the rates as counted; a bound needs their limits from proportion_bounds": _proof(
        bounds=lambda hits, count: (hits / count, hits / count)
    ),
    "delta is missing: the promise allows that much on top": _proof(use_delta=0.0),
    "epsilon is never negative: return at least 0": _proof(floor=-math.inf),
    "the two groups are exchanged: a hit is evidence when it is frequent with the patient in": (
        lambda hits_in, num_in, hits_out, num_out, delta: _proof()(
            hits_out, num_out, hits_in, num_in, delta
        )
    ),
    "delta has the wrong sign: TPR <= exp(epsilon) x FPR + delta, solved for epsilon": _proof(
        use_delta=-1.0
    ),
    "the limits are the wrong way round: the lowest TPR over the highest FPR": _proof(swap=True),
    "only the hits are used; the misses are a test too": _proof(sides="hits"),
    "only the misses are used; the hits are a test too": _proof(sides="misses"),
    "epsilon is a natural logarithm": _proof(log=math.log10),
    "epsilon is a natural logarithm, not to the base 2": _proof(log=math.log2),
    "this is the ratio; epsilon is its logarithm": _proof(log=float),
    "each limit may err with probability 0.0125, not 0.05": _proof(
        bounds=partial(proportion_bounds, error_probability=0.05)
    ),
    "each limit may err with probability 0.0125, not 0.025": _proof(
        bounds=partial(proportion_bounds, error_probability=0.025)
    ),
}


# --- q2: what epsilon means


def _most_hits_reference(epsilon: float, delta: float, false_alarms: Any) -> np.ndarray:
    rate = np.asarray(false_alarms, float)
    hits = math.exp(epsilon) * rate + delta
    misses = 1 - math.exp(-epsilon) * (1 - delta - rate)
    return np.minimum(1.0, np.minimum(hits, misses))


def _most_hits_cases(rng: np.random.Generator) -> list[Case]:
    rates = np.sort(np.concatenate([[0.0, 0.01, 0.995, 1.0], rng.random(6)]))
    return [
        Case((1.0, 0.01, np.array([0.001, 0.01, 0.05])), "few false alarms: the hits bind"),
        Case((1.0, 0.01, np.array([0.6, 0.8, 0.9])), "many false alarms: the misses bind"),
        Case((2.5, 0.01, rates), "all of the range, and never above 1"),
        Case((0.0, 0.02, rates), "epsilon 0: delta on top of guessing at random"),
    ]


def _first_only(epsilon: float, delta: float, rate: Any) -> np.ndarray:
    return np.asarray(math.exp(epsilon) * rate + delta)


def _delta_multiplied(epsilon: float, delta: float, rate: Any) -> np.ndarray:
    return np.minimum(1.0, _most_hits_reference(epsilon, 0.0, rate + delta))


_MOST_HITS_SLIPS: Slips = {
    "this is the limit from the hits alone; the misses and 1 limit too": _first_only,
    "this is the limit from the hits, at most 1; the misses limit too": lambda e, d, r: np.minimum(
        1.0, _first_only(e, d, r)
    ),
    "this is the limit from the misses, or the larger one; the smallest counts": lambda e, d, r: (
        1 - math.exp(-e) * (1 - d - r)
    ),
    "this is the limit from the misses, at most 1; the hits limit too": lambda e, d, r: np.minimum(
        1.0, 1 - math.exp(-e) * (1 - d - r)
    ),
    "a rate cannot exceed 1": lambda e, d, r: np.minimum(
        _first_only(e, d, r), 1 - math.exp(-e) * (1 - d - r)
    ),
    "delta is added, not multiplied by exp(epsilon)": _delta_multiplied,
    "delta is missing from a limit": lambda e, d, r: _most_hits_reference(e, 0.0, r),
    "take the smallest of the limits: each of them holds": lambda e, d, r: np.minimum(
        1.0, np.maximum(_first_only(e, d, r), 1 - math.exp(-e) * (1 - d - r))
    ),
    "solved for TPR, the second line has exp(-epsilon)": lambda e, d, r: np.minimum(
        1.0, np.minimum(_first_only(e, d, r), 1 - math.exp(e) * (1 - d - r))
    ),
    "the factor is exp(epsilon), not epsilon": lambda e, d, r: np.minimum(
        1.0, np.minimum(e * r + d, 1 - (1 - d - r) / max(e, 1e-12))
    ),
}


# --- q7: the noise that a budget asks for


def _calibrated_reference(
    target_epsilon: float, sample_rate: float, steps: int, delta: float
) -> float:
    from helpers.privacy import accounting

    return accounting.calibrate_noise(target_epsilon, sample_rate, steps, delta, method="rdp")


def _calibrated_cases(rng: np.random.Generator) -> list[Case]:
    target = round(float(rng.uniform(1.05, 1.3)), 2)  # above 1, so that it is no delta
    return [
        Case((target, 0.05, 100, 1e-4), "about the run of this lab"),
        Case((0.3, 0.2, 300, 1e-5), "a smaller budget, more steps"),
        Case((8.0, 0.05, 100, 1e-4), "a large budget: less noise than 1"),
    ]


def _calibrated_problem(args: tuple[Any, ...], got: Any) -> str | None:
    from helpers.privacy.accounting import epsilon

    target, sample_rate, steps, delta = args
    if np.ndim(got) or np.asarray(got).dtype.kind not in "iuf":
        return "return one number, the noise multiplier"
    noise = float(got)
    if not 0.05 <= noise <= 1e4:
        return f"{noise:g} is no noise multiplier that could be right: look between 0.3 and 100"
    spent = epsilon(noise, sample_rate, steps, delta)
    if 0.98 * target <= spent <= target:
        return None
    # The tighter accountant's word would do too. It takes minutes where noise is far too little.
    if target < spent <= 2 * target:
        tighter = epsilon(noise, sample_rate, steps, delta, "pld")
        if 0.98 * target <= tighter <= target:
            return None
    if target < spent < 1.01 * target:
        return (
            f"this spends epsilon={spent:.5g}, a little more than {target:g}: return the end of "
            "the interval that does not"
        )
    slip = _calibration_slip(noise, *args)
    if slip is not None:
        return slip
    if spent > target:
        return f"this spends epsilon={spent:.5g}, more than the budget of {target:g}: more noise"
    return f"this spends only epsilon={spent:.4g} of {target:g}: less noise is enough (within 2 %)"


def _calibration_slip(
    noise: float, target: float, sample_rate: float, steps: int, delta: float
) -> str | None:
    """Name the mistake that leads to a noise multiplier, if it is a known one."""
    from helpers.privacy.accounting import calibrate_noise

    slips = {
        "that is the noise for one step; the budget is for all of them": (
            target, sample_rate, 1, delta,
        ),
        "that is the noise for the epochs; every step is a release": (
            target, sample_rate, max(1, round(sample_rate * steps)), delta,
        ),
        "that is the noise for a sample rate of 1: the sampler's help is left out": (
            target, 1.0, steps, delta,
        ),
        "the budget was divided by the steps; the accountant composes them for less": (
            target / steps, sample_rate, 1, delta,
        ),
    }  # fmt: skip
    for explanation, other in slips.items():
        try:
            slipped = _calibrated_reference(*other)
        except PrivacyError:  # no noise keeps so small a budget, so nobody found it
            continue
        if abs(noise / slipped - 1) < 0.01:
            return explanation
    shuffled = calibrate_noise(target, sample_rate, steps, delta, "rdp", sampling="none")
    if abs(noise / shuffled - 1) < 0.01:
        return "that is the noise for shuffled batches; yours are drawn by coins"
    return None


PROOF = FunctionTask(
    "q1", "What guesses prove", 2, _proof_reference, _proof_cases,
    or_explain(_TOLERANCE, _PROOF_SLIPS),
    "Solve each line for exp(epsilon): one rate is above the fraction bar, one below. Which end "
    "of each interval makes the fraction small? Take the logarithm only where there is one.",
)  # fmt: skip
MEANING = FunctionTask(
    "q2", "What epsilon means", 1, _most_hits_reference, _most_hits_cases,
    or_explain(_TOLERANCE, _MOST_HITS_SLIPS),
    "Three limits hold at once; np.minimum takes the smaller of two arrays.",
)  # fmt: skip
CALIBRATION = FunctionTask(
    "q7", "The noise that a budget asks for", 1, _calibrated_reference, _calibrated_cases,
    satisfies(_calibrated_problem),
    "low spends too much and high does not: double high until that is so, then try the middle and "
    "move one of the two there, again and again. Which of them keeps the promise?",
    time_limit=60.0,
    show_expected=False,
)  # fmt: skip
