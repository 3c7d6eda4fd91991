"""Comparisons: within strata, on pairs, and many at once: q1, q4 and q7."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import stats

from helpers.course.compare import Slips, close, or_explain, row_of
from helpers.course.tasks import Case, FunctionTask
from helpers.robustness.paired import compare_paired, holm

# --- q1: within strata


def _strata_parts(right: Any, flared: Any, stratum: Any) -> list[tuple[int, int, float]]:
    """Number of flared, number of all, and the difference in each stratum that has both kinds."""
    right, flared, stratum = np.asarray(right), np.asarray(flared), np.asarray(stratum)
    parts = []
    for name in sorted(set(stratum.tolist())):
        own = stratum == name
        with_flare, without = right[own & flared], right[own & ~flared]
        if len(with_flare) and len(without):
            gap = float(with_flare.mean() - without.mean())
            parts.append((len(with_flare), int(own.sum()), gap))
    return parts


def _strata_reference(right: Any, flared: Any, stratum: Any) -> float:
    parts = _strata_parts(right, flared, stratum)
    return float(sum(n * gap for n, _, gap in parts) / sum(n for n, _, _ in parts))


def _strata_cases(rng: np.random.Generator) -> list[Case]:
    def log(shares: dict[str, tuple[int, int, float, float]]) -> tuple[Any, ...]:
        right, flared, stratum = [], [], []
        for name, (with_flare, without, p_with, p_without) in shares.items():
            right += [*(rng.random(with_flare) < p_with), *(rng.random(without) < p_without)]
            flared += [True] * with_flare + [False] * without
            stratum += [name] * (with_flare + without)
        order = rng.permutation(len(right))
        return np.array(right)[order], np.array(flared)[order], [stratum[i] for i in order]

    return [
        Case(log({"noon": (6, 60, 0.6, 0.95), "dusk": (50, 25, 0.4, 0.7)}), "two times of day"),
        Case(log({"dusk": (40, 30, 0.5, 0.8)}), "one time of day"),
        Case(
            log({"a": (7, 40, 0.3, 0.9), "b": (33, 11, 0.5, 0.6), "c": (20, 20, 0.5, 0.9)}),
            "three places",
        ),
        Case(
            log({"night": (0, 30, 0.0, 0.5), "noon": (9, 40, 0.5, 0.9), "dusk": (30, 0, 0.4, 0.0)}),
            "strata that have only one kind say nothing",
        ),
    ]


def _strata_naive(right: Any, flared: Any, stratum: Any) -> float:
    right, flared = np.asarray(right), np.asarray(flared)
    return float(right[flared].mean() - right[~flared].mean())


def _strata_all_have_both(right: Any, flared: Any, stratum: Any) -> bool:
    return len(_strata_parts(right, flared, stratum)) == len(set(stratum))


def _strata_as_a_list(right: Any, flared: Any, stratum: Any) -> float:
    """Give what a comparison with the whole list gives, where nothing else would: NaN."""
    return float("nan") if _strata_all_have_both(right, flared, stratum) else float("inf")


def _strata_unskipped(right: Any, flared: Any, stratum: Any) -> float:
    if not _strata_all_have_both(right, flared, stratum):
        return float("nan")  # the mean of an empty side
    return _strata_reference(right, flared, stratum)


def _strata_by_all(right: Any, flared: Any, stratum: Any) -> float:
    parts = _strata_parts(right, flared, stratum)
    return float(sum(n * gap for n, _, gap in parts) / np.sum(flared))


_STRATA_SLIPS: Slips = {
    "`stratum` is a list, so `stratum == name` is a single False, and the mean of nothing is NaN; "
    "make it an array first": _strata_as_a_list,
    "this compares all frames at once: each comparison must stay within one stratum": _strata_naive,
    "each stratum counts alike here; weigh it by its number of flared frames": (
        lambda r, f, s: float(np.mean([gap for _, _, gap in _strata_parts(r, f, s)]))
    ),
    "a stratum's weight is its number of FLARED frames, not of all": lambda r, f, s: float(
        np.average(
            [gap for _, _, gap in _strata_parts(r, f, s)],
            weights=[n for _, n, _ in _strata_parts(r, f, s)],
        )
    ),
    "a stratum with only one of the two kinds has no difference (NaN): leave it out": (
        _strata_unskipped
    ),
    "a stratum that is left out is left out below the line as well": _strata_by_all,
    "the sign is turned: with flare minus without": lambda r, f, s: -_strata_reference(r, f, s),
}

STRATA = FunctionTask(
    "q1", "Compare like with like", 2, _strata_reference, _strata_cases,
    or_explain(close(rtol=1e-6), _STRATA_SLIPS),
    "Go through set(stratum). In each, split the frames by `flared`; skip the stratum if one of "
    "the two is empty.",
)  # fmt: skip

# --- q4: paired test


def _paired_reference(before: Any, after: Any) -> float:
    return compare_paired(before, after).p_value


def _paired_cases(rng: np.random.Generator) -> list[Case]:
    def pair(both: int, lost: int, gained: int, none: int, label: str) -> Case:
        before = np.repeat([True, True, False, False], [both, lost, gained, none])
        after = np.repeat([True, False, True, False], [both, lost, gained, none])
        order = rng.permutation(len(before))
        return Case((before[order], after[order]), label)

    return [
        pair(200, int(rng.integers(20, 30)), 8, 40, "more lost than gained"),
        pair(200, 8, int(rng.integers(20, 30)), 40, "more gained than lost"),
        pair(90, 7, 7, 3, "as many lost as gained: 1"),
        pair(300, 60, 1, 3, "a tiny p-value"),
        pair(30, 0, 0, 9, "nothing changed: 1"),
    ]


def _changes(before: Any, after: Any) -> tuple[int, int]:
    before, after = np.asarray(before), np.asarray(after)
    return int(np.sum(after & ~before)), int(np.sum(before & ~after))


def _one_sided(before: Any, after: Any, side: str = "") -> float:
    gained, lost = _changes(before, after)
    towards = side or ("less" if gained <= lost else "greater")
    return float(stats.binomtest(gained, max(gained + lost, 1), alternative=towards).pvalue)


def _unpaired(before: Any, after: Any) -> float:
    n, right = len(before), [int(np.sum(before)), int(np.sum(after))]
    return float(stats.fisher_exact([right, [n - right[0], n - right[1]]])[1])


_PAIRED_SLIPS: Slips = {
    "this is one side only: a change in either direction would be news": _one_sided,
    "this asks for more gained alone; a loss would be news too": lambda b, a: _one_sided(
        b, a, "greater"
    ),
    "this forgets that the pictures are the same: only those that changed count": _unpaired,
    "where nothing changed there is no evidence at all: return 1": lambda b, a: (
        _paired_reference(b, a) if sum(_changes(b, a)) else float("nan")
    ),
    "the trials are the pictures that changed, not all pictures": lambda b, a: float(
        stats.binomtest(_changes(b, a)[0], len(b)).pvalue
    ),
}

PAIRED = FunctionTask(
    "q4", "Test pairs", 2, _paired_reference, _paired_cases,
    or_explain(close(rtol=1e-6, atol=1e-30), _PAIRED_SLIPS),
    "Count the pictures that are right only after, and those right only before. If neither were "
    "the better, each change would be a coin flip: binomtest(gained, gained + lost).",
)  # fmt: skip

# --- q7: many tests


def _many_reference(p_values: Any) -> list[float]:
    return [float(p) for p in holm(p_values)]


def _many_cases(rng: np.random.Generator) -> list[Case]:
    return [
        Case(([0.012, 0.001, 0.6, 0.03],), "four tests"),
        Case((rng.permutation([0.01, 0.013, 0.014, 0.2, 0.0001]).tolist(),), "never decreasing"),
        Case(((rng.random(11) ** 3).tolist(),), "eleven perturbations"),
        Case(([0.04],), "one test needs no correction"),
        Case(([0.9, 0.5, 0.7],), "no p-value is above 1"),
    ]


def _holm_unsorted(p: Any) -> list[float]:
    n, order = len(p), np.argsort(p)
    out = np.empty(n)
    out[order] = np.minimum((n - np.arange(n)) * np.sort(p), 1.0)
    return [float(v) for v in out]


def _benjamini(p: Any) -> list[float]:
    return [float(v) for v in stats.false_discovery_control(p)]


_MANY_SLIPS: Slips = {
    "this multiplies all by the number of tests (Bonferroni); after the smallest, one test fewer "
    "is left each time": lambda p: [float(min(1.0, len(p) * v)) for v in p],
    "a larger p-value may not end below a smaller one: keep the largest so far": _holm_unsorted,
    "this controls the false discovery rate, another promise": _benjamini,
    "the results belong in the order of the input, not sorted": lambda p: sorted(
        _many_reference(p)
    ),
    "sorting by `order` once more does not undo it: write each result where its p-value stood": (
        lambda p: [sorted(_many_reference(p))[place] for place in np.argsort(p)]
    ),
    "a p-value cannot be above 1": lambda p: [
        float(v)
        for v in np.maximum.accumulate((len(p) - np.arange(len(p))) * np.sort(p))[
            np.argsort(np.argsort(p))
        ]
    ],
}

MANY = FunctionTask(
    "q7", "Correct for many looks", 2, _many_reference, _many_cases,
    or_explain(row_of(close(rtol=1e-6)), _MANY_SLIPS),
    "np.argsort gives the places from the smallest p-value on. Walk along them with the factor "
    "n, n - 1, ..., 1, and remember the largest product so far.",
)  # fmt: skip
