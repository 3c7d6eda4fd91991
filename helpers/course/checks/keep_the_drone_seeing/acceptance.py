"""What the measurements amount to: q4, q5 and q8."""

from __future__ import annotations

from typing import Any

import numpy as np

from helpers.course.compare import Slips, close, equal, or_explain, row_of
from helpers.course.tasks import Case, FunctionTask
from helpers.robustness.perturbations.scores import robustness

# --- q4: mean performance under corruption


def _mpc_reference(clean: float, table: Any) -> tuple[float, float]:
    rows = {str(i): list(map(float, row)) for i, row in enumerate(table)}
    summed = robustness(float(clean), rows)
    return summed.mpc, summed.relative


def _mpc_cases(rng: np.random.Generator) -> list[Case]:
    def table(kinds: int, severities: int) -> np.ndarray:
        falling = np.sort(rng.uniform(0.1, 0.9, (kinds, severities)), axis=1)[:, ::-1]
        return falling.copy()

    return [
        Case((0.9, np.array([[0.9, 0.6], [0.45, 0.15]])), "two perturbations, two severities"),
        Case((0.95, table(11, 5)), "the whole suite"),
        Case((float(rng.uniform(0.5, 0.9)), table(4, 3)), "four perturbations"),
    ]


_MPC_SLIPS: Slips = {
    "the relative figure is a share of the clean score: divide, do not subtract": (
        lambda c, t: (float(np.mean(t)), float(c - np.mean(t)))
    ),
    "the clean picture is no perturbation: leave it out of the mean": (
        lambda c, t: (
            float(np.mean([c, *np.ravel(t)])), float(np.mean([c, *np.ravel(t)]) / c)
        )
    ),
    "this is the worst perturbation; the mean was asked for": (
        lambda c, t: (float(np.mean(t, axis=1).min()), float(np.mean(t, axis=1).min() / c))
    ),
    "this takes the last severity alone; mPC averages over all of them": (
        lambda c, t: (float(t[:, -1].mean()), float(t[:, -1].mean() / c))
    ),
    "both results are wanted: the mean, and the mean over the clean score": (
        lambda c, t: float(np.mean(t))
    ),
}  # fmt: skip

# --- q5: what an interval says


def _verdict_reference(low: float, high: float, limit: float) -> str:
    if low > limit:
        return "met"
    return "not met" if high <= limit else "open"


def _verdict_cases(rng: np.random.Generator) -> list[Case]:
    limit = float(np.round(rng.uniform(0.6, 0.8), 3))
    return [
        Case((limit + 0.05, limit + 0.1, limit), "all of it above"),
        Case((limit - 0.2, limit - 0.1, limit), "all of it below"),
        Case((limit - 0.05, limit + 0.04, limit), "it holds the limit"),
        Case((limit, limit + 0.04, limit), "it begins at the limit: more than it is asked"),
        Case((limit - 0.1, limit, limit), "it ends at the limit"),
        Case((-21.0, -4.0, -30.0), "numbers below zero"),
    ]


_VERDICT_SLIPS: Slips = {
    "more than the limit is asked for: exactly the limit is not more": (
        lambda low, high, limit: "met" if low >= limit else "not met" if high <= limit else "open"
    ),
    "an interval that ends exactly at the limit holds nothing above it": (
        lambda low, high, limit: "met" if low > limit else "not met" if high < limit else "open"
    ),
    "this decides by the middle; where the interval holds the limit, it is open": (
        lambda low, high, limit: "met" if (low + high) / 2 > limit else "not met"
    ),
    "this is met as soon as the upper end is above; the lower end has to be": (
        lambda low, high, limit: "met" if high > limit else "not met"
    ),
}

# --- q8: the front


def _front_reference(cost: Any, score: Any) -> np.ndarray:
    c, s = np.asarray(cost, float), np.asarray(score, float)
    no_worse = (c[None] <= c[:, None]) & (s[None] >= s[:, None])
    better = (c[None] < c[:, None]) | (s[None] > s[:, None])
    return ~(no_worse & better).any(axis=1)


def _front_cases(rng: np.random.Generator) -> list[Case]:
    cost, score = rng.uniform(5, 30, 12), rng.uniform(0.5, 0.95, 12)
    return [
        Case((np.array([1.0, 2.0, 3.0]), np.array([0.5, 0.4, 0.9])),
             "the second costs more than the first and sees less"),
        Case((np.array([2.0, 2.0, 1.0]), np.array([0.8, 0.6, 0.3])), "two at one cost"),
        Case((np.array([1.0, 2.0]), np.array([0.7, 0.7])), "two that see as much"),
        Case((np.array([1.0, 1.0]), np.array([0.7, 0.7])), "two that are the same"),
        Case((cost, score), "a dozen"),
    ]  # fmt: skip


def _walked_up(cost: Any, score: Any) -> np.ndarray:
    """From the cheapest up, keep what sees more than all before."""
    kept, most = np.zeros(len(cost), bool), -np.inf
    for i in np.lexsort((-np.asarray(score), cost)):
        kept[i], most = score[i] > most, max(most, score[i])
    return kept


_FRONT_SLIPS: Slips = {
    "two options that are equal do not beat each other: one must be better in something": (
        lambda c, s: np.array(
            [
                not any(j != i and c[j] <= c[i] and s[j] >= s[i] for j in range(len(c)))
                for i in range(len(c))
            ]
        )
    ),
    "every option is no worse than itself, and so all are beaten here: one must also be better in "
    "something": lambda c, s: np.zeros(len(c), bool),
    "of two options that are the same both stay, for neither beats the other": _walked_up,
    "an option that costs the same and sees more beats another, and so does one that sees as much "
    "and costs less": (
        lambda c, s: np.array([not ((c < c[i]) & (s > s[i])).any() for i in range(len(c))])
    ),
    "these are the options that some other beats; the front is the rest": (
        lambda c, s: ~_front_reference(c, s)
    ),
    "lower cost is better: this looks for the highest": lambda c, s: _front_reference(-c, s),
}

MPC = FunctionTask(
    "q4", "One number for the suite", 1, _mpc_reference, _mpc_cases,
    or_explain(row_of(close(parts=("the mean", "the relative figure"))), _MPC_SLIPS),
    "The table has a row a perturbation and a column a severity. Every entry counts the same.",
)  # fmt: skip
VERDICT = FunctionTask(
    "q5", "Met, not met, or open", 1, _verdict_reference, _verdict_cases,
    or_explain(equal(), _VERDICT_SLIPS),
    "Only one of the two ends decides each of the first two answers.",
)  # fmt: skip
FRONT = FunctionTask(
    "q8", "The front", 2, _front_reference, _front_cases,
    or_explain(row_of(equal()), _FRONT_SLIPS),
    "For each option ask: is there another that is no worse in both and better in one? Compare "
    "cost[None] with cost[:, None] for all pairs at once, or write two loops.",
)  # fmt: skip
