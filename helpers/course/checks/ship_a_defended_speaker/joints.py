"""Where one defence meets another: q1 to q4."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import stats

from helpers.course.compare import Slips, all_of, close, or_explain, row_of
from helpers.course.tasks import Case, FunctionTask
from helpers.privacy.auditing.bounds import proportion_bounds
from helpers.robustness.certification.radius import radius_ceiling

# --- q1: from a clip to a person


def _person_reference(epsilon: float, delta: float, clips: int) -> tuple[float, float]:
    grown = math.expm1(clips * epsilon) / math.expm1(epsilon)
    return clips * epsilon, delta * grown


def _person_cases(rng: np.random.Generator) -> list[Case]:
    epsilon = float(rng.uniform(0.5, 2.5))
    return [
        Case((epsilon, 1e-7, 3), "three clips of a person"),
        Case((2.0, 1e-6, 1), "one clip: the guarantee as it is"),
        Case((1.0, 1e-8, int(rng.integers(4, 8))), "more clips"),
        Case((0.1, 1e-6, 2), "a small epsilon"),
    ]


_PERSON_SLIPS: Slips = {
    "epsilon grows with the clips, and so does delta: add up what each step costs": (
        lambda e, d, k: (k * e, d)
    ),
    "delta grows faster than the clips: each step multiplies what is there by e ** epsilon": (
        lambda e, d, k: (k * e, k * d)
    ),
    "this bounds every term by the largest; add the terms as they are": (
        lambda e, d, k: (k * e, k * math.exp((k - 1) * e) * d)
    ),
    "this is the largest term alone; add all of them": (
        lambda e, d, k: (k * e, math.exp((k - 1) * e) * d)
    ),
    "the sum begins with 1: the last step's delta goes through no factor": (
        lambda e, d, k: (k * e, d * math.exp(e) * math.expm1(k * e) / math.expm1(e))
    ),
    "a term is missing: as many clips, as many terms": (
        lambda e, d, k: (k * e, d * math.expm1((k - 1) * e) / math.expm1(e))
    ),
    "one term too many: with one clip the guarantee stays as it is": (
        lambda e, d, k: (k * e, d * math.expm1((k + 1) * e) / math.expm1(e))
    ),
    "the square root is for independent releases; these clips are all one person's": (
        lambda e, d, k: (math.sqrt(k) * e, d)
    ),
}

PERSON = FunctionTask(
    "q1", "From a clip to a person", 2, _person_reference, _person_cases,
    or_explain(row_of(close(rtol=1e-6, atol=0, parts=("epsilon", "delta"))), _PERSON_SLIPS),
    "Take the clips away one at a time. Removing the last costs delta; what was lost before it has "
    "gone through e ** epsilon once, twice, ...",
)  # fmt: skip

# --- q2: what the pipeline spends


def _spent(
    steps: Any,
    free: Callable[[Any], bool] = lambda step: step["reads"] != "private",
    join: Callable[[list[float]], float] = math.fsum,
) -> list[float] | None:
    paid = [step for step in steps if not free(step)]
    if any(step["epsilon"] is None for step in paid):
        return None
    if not paid:
        return [0.0, 0.0]
    return [join([step["epsilon"] for step in paid]), join([step["delta"] for step in paid])]


def _spent_reference(steps: Any) -> list[float] | None:
    return _spent(steps)


def _step(
    name: str, reads: str, epsilon: float | None = None, delta: float | None = None
) -> dict[str, Any]:
    return {"name": name, "reads": reads, "epsilon": epsilon, "delta": delta}


def _spent_cases(rng: np.random.Generator) -> list[Case]:
    epsilon = float(rng.uniform(1, 4))
    train = _step("train", "private", epsilon, 1e-6)
    mark = _step("mark", "public")
    rounding = _step("round to eight bits", "nothing")
    return [
        Case(([train, mark, rounding],), "trained privately, then marked on public clips"),
        Case(([train, _step("mark", "private"), rounding],), "marked on the private clips"),
        Case(([train, _step("choose a threshold", "private", 0.5, 1e-7), mark],), "two that pay"),
        Case(([_step("calibrate", "private"), train],), "the first step reads without noise"),
        Case(([mark, rounding],), "nothing private was read at all"),
        Case(([_step("warm up", "public", 3.0, 1e-5), train],), "noise on public clips, too"),
    ]


_SPENT_SLIPS: Slips = {
    "a step that reads private clips without noise leaves no guarantee: None": lambda steps: _spent(
        [s for s in steps if s["reads"] != "private" or s["epsilon"] is not None]
    ),
    "only private clips are charged for; noise on public ones costs nothing": lambda steps: _spent(
        steps, lambda step: step["reads"] != "private" and step["epsilon"] is None
    ),
    "a step without noise that reads nothing private costs nothing": lambda steps: _spent(
        steps, lambda step: False
    ),
    "two steps that read the same clips add up": lambda steps: _spent(steps, join=max),
    "what was not spent is a pair too: (0.0, 0.0)": lambda steps: _spent(steps) or 0,
}

SPENT = FunctionTask(
    "q2", "What the pipeline spends", 2, _spent_reference, _spent_cases,
    or_explain(row_of(close(rtol=1e-9, atol=0, parts=("epsilon", "delta"))), _SPENT_SLIPS),
    "Go through the steps that read private clips and forget the others. What does one of them "
    "without noise do to the whole?",
)  # fmt: skip

# --- q3: the worse end


def _worse(successes: int, trials: int, relation: str, alpha: float, claims: int) -> float:
    level = alpha / claims
    if relation == "at least":
        return proportion_bounds(successes, trials, level)[0]
    return proportion_bounds(successes, trials, level)[1]


def _worse_reference(
    successes: int, trials: int, relation: str, alpha: float, claims: int
) -> float:
    return float(_worse(successes, trials, relation, alpha, claims))


def _worse_cases(rng: np.random.Generator) -> list[Case]:
    trials = int(rng.integers(150, 500))
    successes = int(rng.integers(trials // 2, trials - 10))
    return [
        Case((successes, trials, "at least", 0.05, 6), "one of six claims, a lower limit"),
        Case((successes, trials, "at most", 0.05, 6), "the same counts, an upper limit"),
        Case((trials, trials, "at least", 0.05, 4), "all of them: the lower end is not 1"),
        Case((0, trials, "at most", 0.01, 4), "none of them: the upper end is not 0"),
        Case((trials, trials, "at most", 0.05, 1), "all of them, upper end: 1"),
        Case((0, trials, "at least", 0.05, 1), "none of them, lower end: 0"),
    ]


def _other_end(relation: str) -> str:
    return "at most" if relation == "at least" else "at least"


_WORSE_SLIPS: Slips = {
    "alpha is for all claims together: each gets alpha / claims": lambda s, n, r, a, c: _worse(
        s, n, r, a, 1
    ),
    "this is the better end: for `at least` the lower one is the worse": lambda s, n, r, a, c: (
        _worse(s, n, _other_end(r), a, c)
    ),
    "only one end counts, so all of alpha / claims belongs to it: do not halve it": (
        lambda s, n, r, a, c: _worse(s, n, r, a / 2, c)
    ),
    "this is the share that was found, not an end of its interval": lambda s, n, r, a, c: s / n,
}

WORSE = FunctionTask(
    "q3", "The worse end", 2, _worse_reference, _worse_cases,
    or_explain(close(rtol=1e-6, atol=1e-9), _WORSE_SLIPS),
    "beta.ppf(level, k, n - k + 1) is the lower end and beta.ppf(1 - level, k + 1, n - k) the "
    "upper one. At k = 0 there is no lower end but 0, at k = n no upper one but 1.",
)  # fmt: skip

# --- q4: how far a certificate reaches within the deadline


def _farthest_reference(deadline: float, answer: float, sigma: float, alpha: float) -> float:
    votes = int(deadline // answer)
    return radius_ceiling(sigma, votes, alpha) if votes else 0.0


def _unfloored(deadline: float, answer: float, sigma: float, alpha: float) -> float:
    return max(0.0, float(sigma * stats.norm.ppf(alpha ** (answer / deadline))))


def _signed(deadline: float, answer: float, sigma: float, alpha: float) -> float:
    votes = int(deadline // answer)
    return float(sigma * stats.norm.ppf(alpha ** (1 / votes))) if votes else 0.0


def _rounded(deadline: float, answer: float, sigma: float, alpha: float) -> float:
    return _farthest_reference(round(deadline / answer), 1.0, sigma, alpha)


def _farthest_cases(rng: np.random.Generator) -> list[Case]:
    answer = float(rng.uniform(4, 6))
    return [
        Case((250.0, answer, 2.0, 0.001), "a small network: dozens of votes"),
        Case((250.0, 60.0, 2.0, 0.001), "four votes: nothing can be certified"),
        Case((250.0, 300.0, 2.0, 0.001), "not even one vote"),
        Case((2000.0, 1.0, 0.25, 0.001), "two thousand votes"),
        Case((110.0, 30.0, 1.0, 0.2), "the votes are whole: three, not three and two thirds"),
    ]


_FARTHEST_SLIPS: Slips = {
    "a vote is taken or not: round down to whole votes": _unfloored,
    "a vote that is not finished in time is no vote: round down, not to the nearest": _rounded,
    "a radius below zero is no certificate: return 0.0": _signed,
    "it is alpha itself that takes the power 1 / votes": lambda d, a, s, e: (
        max(0.0, float(s * stats.norm.ppf((1 - e) ** (1 / (d // a))))) if d >= a else 0.0
    ),
    "with every vote alike the bound is alpha ** (1 / votes), not 1 - alpha": lambda d, a, s, e: (
        float(s * stats.norm.ppf(1 - e)) if d >= a else 0.0
    ),
    "the quantile is in units of the noise: times sigma": lambda d, a, s, e: _farthest_reference(
        d, a, 1.0, e
    ),
}


def _is_finite(got: Any, expected: Any, args: tuple[Any, ...]) -> str | None:
    if isinstance(got, int | float) and not math.isfinite(got):
        return "the radius is not finite: what if there is time for no vote at all?"
    return None


FARTHEST = FunctionTask(
    "q4", "How far the votes reach", 2, _farthest_reference, _farthest_cases,
    all_of(_is_finite, or_explain(close(rtol=1e-6, atol=1e-9), _FARTHEST_SLIPS)),
    "Count the votes first. If all of them agree, the probability of the class is at least "
    "alpha ** (1 / votes); at one half the radius is 0.",
)  # fmt: skip
