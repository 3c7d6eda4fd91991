"""Reading a mark, and what the reading is worth: q1 to q4."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import stats

from helpers.course.compare import Slips, close, equal, or_explain
from helpers.course.tasks import Case, FunctionTask
from helpers.watermark.null import CONFIDENCE, measure
from helpers.watermark.scheme import Reading

# --- q1: read the message


def _read_reference(kernel: Any, signs: Any, message: Any) -> int:
    return int(np.sum((signs @ np.ravel(kernel) > 0) == message))


def _read_cases(rng: np.random.Generator) -> list[Case]:
    def case(bits: int, shape: tuple[int, ...], label: str, *, marked: bool = False) -> Case:
        kernel = rng.standard_normal(shape)
        signs = rng.choice([-1.0, 1.0], (bits, kernel.size))
        read = signs @ kernel.ravel() > 0
        message = read if marked else rng.random(bits) < 0.3
        return Case((kernel, signs, message), label)

    return [
        case(201, (1, 1, 6, 8), "201 bits, a kernel without a mark"),
        case(24, (1, 1, 6, 8), "the whole message is there: 24", marked=True),
        case(40, (3, 3, 2, 5), "a kernel of another shape"),
        case(7, (10, 4), "a dense layer's kernel"),
    ]


_READ_SLIPS: Slips = {
    "this is the share; return how many bits agree": lambda k, s, m: (
        _read_reference(k, s, m) / len(m)
    ),
    "these are the bits that differ; count those that agree": lambda k, s, m: (
        len(m) - _read_reference(k, s, m)
    ),
    "this counts the bits read as 1; a bit that is 0 in both agrees too": lambda k, s, m: int(
        np.sum(s @ np.ravel(k) > 0)
    ),
    "this counts the bits that are 1 in both; a bit that is 0 in both agrees too": lambda k, s, m: (
        int(np.sum((s @ np.ravel(k) > 0) & m))
    ),
    "the kernel was flattened in another order; use kernel.ravel()": lambda k, s, m: (
        _read_reference(np.asarray(k).ravel(order="F"), s, m)
    ),
}

READ = FunctionTask(
    "q1", "Read the message", 1, _read_reference, _read_cases,
    or_explain(equal(), _READ_SLIPS),
    "signs @ kernel.ravel() gives one number a bit; the bit is whether it is above 0.",
)  # fmt: skip

# --- q2: the rate that a null gives


def _rate_reference(found: Any, looked_for: int, chance: float) -> float:
    null = measure(chance, [Reading(int(count), looked_for) for count in found])
    return float(null.rate or 0.0)


def _pooled(found: Any, looked_for: int, confidence: float = CONFIDENCE) -> float:
    total, trials = int(np.sum(found)), looked_for * len(found)
    return float(stats.beta.ppf(confidence, total + 1, trials - total)) if total < trials else 1.0


def _rate_cases(rng: np.random.Generator) -> list[Case]:
    def drawn(rate: float, looked_for: int, count: int) -> list[int]:
        return [int(n) for n in rng.binomial(looked_for, rate, count)]

    return [
        Case((drawn(0.5, 256, 9), 256, 0.5), "a message of 256 bits, nine innocents"),
        Case(([3, 2, 4, 1, 3, 20, 2, 3], 64, 0.125), "one innocent stands out"),
        Case(([2, 1, 0, 1, 3, 0, 2, 1, 0, 1], 8, 0.125), "few bits: one innocent shows most"),
        Case(([0] * 8, 64, 0.125), "no innocent shows anything: the design's chance stays"),
        Case(([6] * 8, 24, 0.125), "all alike, above the design's chance"),
    ]


_RATE_SLIPS: Slips = {
    "the design's own chance is missing: an owner may not claim less than it": (
        lambda found, n, chance: max(np.max(found) / n, _pooled(found, n))
    ),
    "the innocent who shows most is missing": lambda found, n, chance: max(
        chance, _pooled(found, n)
    ),
    "the upper end for all of them together is missing": lambda found, n, chance: max(
        chance, np.max(found) / n
    ),
    "this interval has two sides; all of the 0.1 % belongs to the upper one": (
        lambda found, n, chance: max(
            chance, np.max(found) / n, _pooled(found, n, 1 - (1 - CONFIDENCE) / 2)
        )
    ),
    "the mean of the innocents is not an upper end; somebody shows more": (
        lambda found, n, chance: max(chance, np.mean(found) / n)
    ),
    "this is the interval of a single innocent; take all of them together, as one long message": (
        lambda found, n, chance: max(chance, _pooled([np.max(found)], n))
    ),
}

RATE = FunctionTask(
    "q2", "What innocents show", 2, _rate_reference, _rate_cases,
    or_explain(close(rtol=1e-6), _RATE_SLIPS),
    "For the interval, k and n are sums over all innocents: all that was found, and all that was "
    "looked for.",
)  # fmt: skip

# --- q3: the p-value


def _p_reference(found: int, looked_for: int, rate: float) -> float:
    return float(stats.binom.sf(found - 1, looked_for, rate))


def _p_cases(rng: np.random.Generator) -> list[Case]:
    found = int(rng.integers(20, 40))
    return [
        Case((found, 64, 0.5), "near the middle"),
        Case((250, 256, 0.58), "so small that 1 minus something would be 0"),
        Case((64, 64, 0.5), "the whole message: one half to the power of 64"),
        Case((0, 64, 0.5), "nothing found is no surprise: 1"),
        Case((9, 24, 0.2), "a few triggers"),
    ]


_P_SLIPS: Slips = {
    "binom.sf(k) is the chance of MORE than k; at least `found` includes `found` itself": (
        lambda k, n, p: float(stats.binom.sf(k, n, p))
    ),
    "this is the chance of exactly so many; add those that are even more": lambda k, n, p: float(
        stats.binom.pmf(k, n, p)
    ),
    "this is the other tail: at most so many": lambda k, n, p: float(stats.binom.cdf(k, n, p)),
    "1 minus a number close to 1 loses the digits: use binom.sf, not 1 - binom.cdf": (
        lambda k, n, p: float(1 - stats.binom.cdf(k - 1, n, p))
    ),
    "this tests both sides; only too much is suspicious, not too little": lambda k, n, p: float(
        stats.binomtest(k, n, p).pvalue
    ),
}

P_VALUE = FunctionTask(
    "q3", "How likely an innocent shows as much", 1, _p_reference, _p_cases,
    or_explain(close(rtol=1e-6, atol=1e-300), _P_SLIPS),
    "At least three of a thing is more than two of it.",
)  # fmt: skip

# --- q4: how much is enough


def _threshold(
    tries: Callable[[int, int], float] = lambda s, k: s * k,
) -> Callable[..., int | None]:
    def threshold(
        looked_for: int, rate: float, alpha: float, suspects: int, keys: int
    ) -> int | None:
        level = alpha / tries(suspects, keys)
        chances = stats.binom.sf(np.arange(looked_for + 1) - 1, looked_for, rate)
        enough = np.flatnonzero(chances <= level)
        return int(enough[0]) if len(enough) else None

    return threshold


def _needed_reference(
    looked_for: int, rate: float, alpha: float, suspects: int, keys: int
) -> int | None:
    return _threshold()(looked_for, rate, alpha, suspects, keys)


def _needed_cases(rng: np.random.Generator) -> list[Case]:
    suspects = int(rng.integers(5, 50))
    return [
        Case((1024, 0.5, 1e-9, 30, 40), "thirty suspects, forty keys"),
        Case((256, 0.55, 1e-9, 1, 1), "one suspect, one key"),
        Case((256, 0.6, 1e-9, suspects, 1), "a null that showed more"),
        Case((24, 0.2, 1e-3, suspects, 2), "few triggers, a mild court"),
        Case((24, 0.5, 1e-9, 1, 1), "even all 24 are not enough: None"),
        Case((10, 0.5, 4e-3, 2, 2), "all ten are enough"),
    ]


_NEEDED_SLIPS: Slips = {
    "the keys are missing: each key that was committed to is another chance": _threshold(
        lambda s, k: s
    ),
    "the suspects are missing: each one is another chance": _threshold(lambda s, k: k),
    "each suspect may be tried with each key: suspects times keys": _threshold(lambda s, k: s + k),
    "nothing was divided: many suspects and keys are many chances to be wrong": _threshold(
        lambda s, k: 1
    ),
    "one too many: the loop can stop at the first that is enough": lambda *a: (
        None if (found := _needed_reference(*a)) is None else found + 1
    ),
    "one too few: its p-value is still above alpha / (suspects * keys)": lambda *a: (
        None if (found := _needed_reference(*a)) is None else found - 1
    ),
    "where even everything is not enough, return None": lambda *a: (
        a[0] if (found := _needed_reference(*a)) is None else found
    ),
    "all of them is a count too: range(looked_for) stops one short of it": lambda *a: (
        None if (found := _needed_reference(*a)) == a[0] else found
    ),
}

NEEDED = FunctionTask(
    "q4", "How much the court asks for", 2, _needed_reference, _needed_cases,
    or_explain(equal(), _NEEDED_SLIPS),
    "The p-value falls with every part more that is found. Where does it first reach the level?",
)  # fmt: skip
