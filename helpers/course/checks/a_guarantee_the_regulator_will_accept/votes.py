"""Noisy votes and what they prove: q1 to q4."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from helpers.course.compare import Slips, close, equal, or_explain, row_of, satisfies
from helpers.course.tasks import Case, FunctionTask
from helpers.robustness.certification.radius import (
    certified_radius,
    lower_bound,
    samples_needed,
)

_TOLERANCE = close(rtol=1e-5, atol=1e-7)

# --- q1: noisy copies


def _copies_reference(image: Any, sigma: float, count: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal((count, *np.shape(image)), dtype=np.float32)
    return (np.asarray(image) + np.float32(sigma) * noise).astype(np.float32)


def _copies_cases(rng: np.random.Generator) -> list[Case]:
    def case(shape: tuple[int, ...], sigma: float, count: int, label: str) -> Case:
        image = rng.random(shape, dtype=np.float32)
        return Case((image, sigma, count, int(rng.integers(10_000))), label)

    first = case((12, 12, 3), 0.25, 40, "40 copies of a small image")
    image, sigma, count, seed = first.args
    return [
        first,
        Case((image, sigma, count, seed), "the same again, with the same seed"),
        Case((image, sigma, count, seed + 1), "the same image, with another seed"),
        case((8, 16, 3), 0.5, 30, "more noise; the image is not square"),
        case((10, 10, 1), 2.0, 50, "one channel, and noise far beyond [0, 1]"),
    ]


_SHARED = (
    "every copy got the same noise: draw count times as many numbers",
    "all rows of a copy got the same noise: draw a number for each",
    "all columns of a copy got the same noise: draw a number for each",
    "the channels of a pixel got one and the same number: draw one for each channel",
)  # by the axis along which the noise does not change


def _copies_problem(args: tuple[Any, ...], got: Any) -> str | None:
    image, sigma, count, _ = args
    shape = (count, *np.shape(image))
    if not isinstance(got, np.ndarray) or got.shape != shape:
        return f"an array of shape {shape} was expected: {count} copies, each like the image"
    if got.dtype != np.float32:
        return f"float32 was expected, got {got.dtype}"
    if not np.isfinite(got).all():
        return "the copies must be finite numbers"
    noise = np.asarray(got, float) - image
    return _content_problem(image, got, noise) or _law_problem(noise, sigma)


def _content_problem(image: Any, got: np.ndarray, noise: np.ndarray) -> str | None:
    """Say what is wrong before any law can be looked at."""
    if not noise.any():
        return "these are copies without noise"
    centre = got.mean(axis=0)
    if np.abs(centre).mean() < np.abs(centre - image).mean():
        return "this is the noise alone; add it to the image"
    if got.min() >= 0 and got.max() <= 1:
        return (
            "every number lies in [0, 1]: clipping spoils the noise, which the proof needs to be "
            "Gaussian. The file clips for itself, and that is part of the file"
        )
    spread = noise.std()
    if np.mean([copy.std() for copy in noise]) < spread / 4:
        return "all pixels of a copy got one and the same number: draw one for each pixel"
    for axis, explanation in enumerate(_SHARED):
        if noise.shape[axis] > 1 and noise.std(axis=axis).mean() < spread / 4:
            return explanation
    return _independence_problem(noise.reshape(len(noise), -1))


def _independence_problem(rows: np.ndarray) -> str | None:
    """Say which two copies know of each other. rows: the noise of each copy."""
    sizes = np.linalg.norm(rows, axis=1)
    if sizes.min() < sizes.max() / 2:
        return f"copy {int(sizes.argmin())} has hardly any noise: each gets its own"
    alike = rows @ rows.T / np.outer(sizes, sizes) - np.eye(len(rows))
    first, second = np.unravel_index(int(np.abs(alike).argmax()), alike.shape)
    if abs(alike[first, second]) > 0.8:
        return (
            f"the noise of the copies {first} and {second} is "
            f"{'the same' if alike[first, second] > 0 else 'the same, with the sign turned'}: "
            "each copy needs noise that knows nothing of the others"
        )
    return None


def _law_problem(noise: np.ndarray, sigma: float) -> str | None:
    """Say where the noise is not what the generator draws from a normal law."""
    spread = noise.std()
    if abs(spread / sigma - 1) > 0.06:
        return (
            f"the deviation of the noise is {spread:.3f}, and {sigma:g} was asked for; "
            "is what you gave the generator the deviation, and not the variance?"
        )
    if abs(noise.mean()) > 0.06 * sigma:
        return f"the noise has the mean {noise.mean():.3f}; it must be 0"
    fourth = float(np.mean((noise / spread) ** 4))
    if abs(fourth - 3) > 0.5:
        return (
            f"this is not a normal law: the mean fourth power of the noise is {fourth:.1f} "
            "deviations, and a normal law has 3"
        )
    return None


def _copies_across(results: list[tuple[tuple[Any, ...], Any]]) -> str | None:
    """Compare the first image's copies, drawn again with its seed, and with another one."""
    (_, first), (_, again), (_, other), *_ = results
    if not np.array_equal(first, again):
        return "the same seed must give the same noise: draw it from `rng`, and from nothing else"
    if np.array_equal(first, other):
        return "another seed must give other noise: draw it from `rng`, which was made with `seed`"
    return None


# --- q2: a lower bound of a share


def _without_itself(count: int, trials: int, alpha: float) -> float:
    from scipy.stats import beta

    return float(beta.ppf(alpha, count + 1, trials - count)) if count < trials else 1.0


def _two_sided(count: int, trials: int, alpha: float) -> float:
    return lower_bound(count, trials, alpha / 2)


def _upper(count: int, trials: int, alpha: float) -> float:
    from scipy.stats import beta

    return float(beta.ppf(1 - alpha, count + 1, trials - count)) if count < trials else 1.0


def _normal(count: int, trials: int, alpha: float) -> float:
    from scipy.stats import norm

    share = count / trials
    return float(share + norm.ppf(alpha) * np.sqrt(share * (1 - share) / trials))


def _other_tail(count: int, trials: int, alpha: float) -> float:
    from scipy.stats import beta

    return float(beta.ppf(1 - alpha, count, trials - count + 1)) if count else 0.0


def _without_one(count: int, trials: int, alpha: float) -> float:
    from scipy.stats import beta

    if count == 0:
        return 0.0
    return float(beta.ppf(alpha, count, trials - count)) if count < trials else float("nan")


def _unguarded(count: int, trials: int, alpha: float) -> float:
    from scipy.stats import beta

    return float(beta.ppf(alpha, count, trials - count + 1))


_BOUND_SLIPS: Slips = {
    "this is the observed share; the true one may well be lower": lambda k, n, alpha: k / n,
    "this is the upper end; the certificate needs the lower one": _upper,
    "this spends alpha on two sides; only the lower side can hurt, so all of it goes there": (
        _two_sided
    ),
    "the tail must include `count` itself: beta.ppf(alpha, count, trials - count + 1)": (
        _without_itself
    ),
    "the quantile is taken at 1 - alpha; the bound must be too high with alpha only": _other_tail,
    "without a vote beta.ppf gives nan; nothing is known then, and the bound is 0": _unguarded,
    "the second number of the beta law is one more than the votes for other classes": _without_one,
    "the normal approximation is not exact, and fails where all votes agree": _normal,
}


def _bound_cases(rng: np.random.Generator) -> list[Case]:
    near = int(rng.integers(880, 960))
    return [
        Case((near, 1000, 0.001), "most votes agree"),
        Case((1000, 1000, 0.001), "all votes agree"),
        Case((int(rng.integers(30, 45)), 60, 0.05), "few votes"),
        Case((0, 100, 0.01), "no vote for the class: the bound is 0"),
    ]


# --- q3: a certificate


def _certify_reference(
    selection: Any, counts: Any, sigma: float, alpha: float
) -> tuple[int, float]:
    label = int(np.argmax(selection))
    radius = certified_radius(sigma, int(counts[label]), int(np.sum(counts)), alpha)
    return (label, radius) if radius > 0 else (-1, 0.0)


def _certify_cases(rng: np.random.Generator) -> list[Case]:
    sure = int(rng.integers(930, 990))
    return [
        Case((np.array([8, 92]), np.array([1000 - sure, sure]), 0.25, 0.001), "a clear case"),
        Case((np.array([100, 0]), np.array([1000, 0]), 0.5, 0.001), "all votes agree"),
        Case((np.array([48, 52]), np.array([485, 515]), 0.25, 0.001),
             "more than half, but not surely so"),
        Case((np.array([52, 48]), np.array([150, 850]), 0.25, 0.001),
             "the first votes chose the other class"),
        Case((np.array([3, 90, 7]), np.array([40, 880, 80]), 0.25, 0.01), "three classes"),
    ]  # fmt: skip


def _certify_with(
    choose: Callable[[Any, Any], Any] = lambda selection, counts: selection,
    pool: bool = False,
    bound: bool = True,
    abstain: bool = True,
    name_anyway: bool = False,
    largest: bool = False,
    bound_of: Callable[[Any, Any], Any] = lambda selection, counts: counts,
) -> Callable[[Any, Any, float, float], tuple[int, float]]:
    """A certificate with one thing wrong."""

    def certify(selection: Any, counts: Any, sigma: float, alpha: float) -> tuple[int, float]:
        from scipy.stats import norm

        label = int(np.argmax(choose(selection, counts)))
        used = np.asarray(bound_of(selection, counts)) + (np.asarray(selection) if pool else 0)
        count, trials = int(used.max() if largest else used[label]), int(used.sum())
        share = lower_bound(count, trials, alpha) if bound else count / trials
        if share <= 0.5 and abstain:
            return (label if name_anyway else -1), 0.0
        return label, float(sigma * norm.ppf(share))

    return certify


_CERTIFY_SLIPS: Slips = {
    "the class is chosen by `selection` alone: votes that choose it cannot also say how sure it "
    "is": _certify_with(lambda selection, counts: counts),
    "the votes that chose the class were counted once more: the bound takes `counts` alone": (
        _certify_with(pool=True)
    ),
    "this takes the observed share; take its lower bound": _certify_with(bound=False),
    "where the bound is at most one half nothing is certified: abstain, with (-1, 0.0)": (
        _certify_with(abstain=False)
    ),
    "a radius of 0 is not an abstention: where nothing is proved the class is -1 as well": (
        _certify_with(name_anyway=True)
    ),
    "`selection` only chooses; the bound is for the share in `counts`": (
        _certify_with(bound_of=lambda selection, counts: selection)
    ),
    "the bound is for the class that `selection` chose, and not for the largest of `counts`": (
        _certify_with(largest=True)
    ),
}


# --- q4: the ceiling


def _needed_cases(rng: np.random.Generator) -> list[Case]:
    return [
        Case((0.25, 0.25, 0.001), "as far as one deviation"),
        Case((0.25, float(rng.uniform(0.6, 0.7)), 0.001), "further than two"),
        Case((0.5, 1.5, 0.001 / 200), "three deviations, and a small alpha"),
        Case((1.0, 0.1, 0.3), "nearly nothing is asked for"),
    ]


def _needed_floor(sigma: float, radius: float, alpha: float) -> int:
    return samples_needed(sigma, radius, alpha) - 1


def _needed_swapped(sigma: float, radius: float, alpha: float) -> int:
    return samples_needed(radius, sigma, alpha)


def _needed_alone(sigma: float, radius: float, alpha: float) -> int:
    return samples_needed(1.0, radius, alpha)


_NEEDED_SLIPS: Slips = {
    "one vote is missing: round up": _needed_floor,
    "the share must reach Φ(radius / sigma); this takes Φ(sigma / radius)": _needed_swapped,
    "the radius counts in deviations of the noise: Φ(radius / sigma)": _needed_alone,
}


COPIES = FunctionTask(
    "q1", "Noisy copies", 1, _copies_reference, _copies_cases,
    satisfies(_copies_problem),
    "rng.standard_normal(size) draws numbers of deviation 1. What is the shape of all noise "
    "together, and what do you multiply it with?",
    show_expected=False, across=_copies_across,
)  # fmt: skip
BOUND = FunctionTask(
    "q2", "How sure, at least", 1, lower_bound, _bound_cases,
    or_explain(_TOLERANCE, _BOUND_SLIPS),
    "The formula above the exercise, with one exception: what if no vote is for the class?",
)  # fmt: skip
CERTIFY = FunctionTask(
    "q3", "A certificate, or none", 2, _certify_reference, _certify_cases,
    or_explain(row_of(close(rtol=1e-5, atol=1e-7, parts=("label", "radius"))), _CERTIFY_SLIPS),
    "Three lines: the class from the first votes, its bound from the others, and the case in "
    "which the bound proves nothing.",
)  # fmt: skip
NEEDED = FunctionTask(
    "q4", "The fewest votes", 1, samples_needed, _needed_cases,
    or_explain(equal(), _NEEDED_SLIPS),
    "If all n votes agree the bound is alpha ** (1 / n). Which bound does the radius ask for? Take "
    "logarithms of both sides; both are negative.",
)  # fmt: skip
