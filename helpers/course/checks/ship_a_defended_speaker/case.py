"""The case itself, and how to cheat it: q5 to q7."""

from __future__ import annotations

import datetime
import hashlib
from typing import Any

import numpy as np
from scipy import stats

from helpers.course.compare import Slips, close, equal, or_explain
from helpers.course.tasks import Case, FunctionTask, ValueTask
from helpers.threats.evidence import Evidence
from helpers.threats.security_case import Claim, find

# --- q5: what state a claim is in


def _state_reference(claim: Any, evidence: bytes, shipped: str) -> str:
    cited = Claim("claim", "", "", "claim", claim["sha256"], claim["relation"], claim["limit"])
    return find(cited, evidence, shipped).state


def _state_cases(rng: np.random.Generator) -> list[Case]:
    shipped, other = rng.bytes(32).hex(), rng.bytes(32).hex()
    value = float(rng.uniform(0.6, 0.8))

    def case(
        label: str, relation: str, limit: float, measures: str = shipped, add: bytes = b"",
        cut: int = 0,
    ) -> Case:  # fmt: skip
        evidence = Evidence(
            measures, "share", value, value - 0.05, value + 0.05, "480 clips", "lab 14",
            datetime.date(2026, 7, 1),
        ).to_bytes()  # fmt: skip
        cited = hashlib.sha256(evidence).hexdigest()
        claim = {"relation": relation, "limit": limit, "sha256": cited}
        return Case((claim, evidence.rstrip()[:-cut] if cut else evidence + add, shipped), label)

    return [
        case("good at the worse end", "at least", value - 0.1),
        case("good at the better end only", "at least", value + 0.02),
        case("good in the middle, not at the worse end", "at least", value - 0.02),
        case("good in the middle, not at the worse end", "at most", value + 0.02),
        case("exactly at the limit", "at most", value + 0.05),
        case("exactly at the limit", "at least", value - 0.05),
        case("measured on another file", "at least", value - 0.1, other),
        case("measured on another file, and not good", "at least", 0.99, other),
        case("written over after it was cited", "at least", value - 0.1, add=b"\n"),
        case("written over, and of another file", "at least", value - 0.1, other, b" "),
        case("far below", "at least", 0.99),
        case("a bracket was lost since it was cited", "at least", value - 0.1, cut=1),
    ]


def _state_without(skipped: str) -> Any:
    def state(claim: Any, evidence: bytes, shipped: str) -> str:
        import json

        try:
            content = json.loads(evidence)
        except ValueError:  # no slip is about bytes that are no evidence at all
            return _state_reference(claim, evidence, shipped)
        relation, limit = claim["relation"], claim["limit"]
        low, high = content["interval"]
        if skipped == "worse end":
            low = high = content["value"]
        if skipped == "better end":
            low, high = high, low
        if skipped == "order" and content["measures"] != shipped:
            return "stale"
        if skipped != "cited" and hashlib.sha256(evidence).hexdigest() != claim["sha256"]:
            return "changed"
        if skipped != "shipped" and content["measures"] != shipped:
            return "stale"
        worse = low if relation == "at least" else high
        held = worse >= limit if relation == "at least" else worse <= limit
        if skipped == "limit" and worse == limit:
            held = False
        return "supported" if held else "not supported"

    return state


_STATE_SLIPS: Slips = {
    "the number in the middle is not enough: the worse end of the interval must reach the limit": (
        _state_without("worse end")
    ),
    "this is the better end: for `at least` the lower one is the worse": (
        _state_without("better end")
    ),
    "nothing in a changed file can be believed, not even what it measured: changed comes first": (
        _state_without("order")
    ),
    "evidence that was written over since it was cited is changed, whatever it says": (
        _state_without("cited")
    ),
    "a good number of another file says nothing about the one that ships: stale": (
        _state_without("shipped")
    ),
    "at the limit is enough": _state_without("limit"),
    "these are the bytes that were cited: the hash is SHA-256 of the bytes, written as digits": (
        lambda claim, evidence, shipped: "changed"
    ),
    "this evidence is of the file that ships: compare what it measures with `shipped`; the hash in "
    "the claim is the evidence's own": lambda claim, evidence, shipped: "stale",
}

STATE = FunctionTask(
    "q5", "What holds a claim", 3, _state_reference, _state_cases,
    or_explain(equal(), _STATE_SLIPS),
    "Hash the bytes before you read them. Then ask which file was measured, and only then what the "
    "number is.",
)  # fmt: skip

# --- q6: passing by luck


def _luck_reference(share: float, clips: int, needed: int, tries: int) -> float:
    once = float(stats.binom.sf(needed - 1, clips, share))
    return float(-np.expm1(tries * np.log1p(-once)))


def _luck_cases(rng: np.random.Generator) -> list[Case]:
    share = float(rng.uniform(0.6, 0.7))
    return [
        Case((share, 100, 72, 3), "three samples of a hundred clips"),
        Case((share, 100, 72, 1), "one sample"),
        Case((share, 100, 72, 20), "twenty samples"),
        Case((0.5, 10, 10, 3), "ten of ten"),
        Case((0.65, 100, 90, 50), "hopeless, fifty times"),
    ]


_LUCK_SLIPS: Slips = {
    "binom.sf(k) is the chance of MORE than k; enough includes `needed` itself": (
        lambda p, n, k, t: 1 - stats.binom.cdf(k, n, p) ** t
    ),
    "chances of single tries do not add up: two samples may pass together": lambda p, n, k, t: (
        t * stats.binom.sf(k - 1, n, p)
    ),
    "more than `needed` is enough too; this counts exactly `needed`": lambda p, n, k, t: (
        1 - (1 - stats.binom.pmf(k, n, p)) ** t
    ),
    "this is the chance that not all tries pass; one is enough": lambda p, n, k, t: (
        1 - stats.binom.sf(k - 1, n, p) ** t
    ),
    "this is the chance that all tries pass; one is enough": lambda p, n, k, t: (
        stats.binom.sf(k - 1, n, p) ** t
    ),
    "this is the chance of a single try": lambda p, n, k, t: stats.binom.sf(k - 1, n, p),
    "this is the chance that no try passes": lambda p, n, k, t: stats.binom.cdf(k - 1, n, p) ** t,
}

LUCK = FunctionTask(
    "q6", "Passing by luck", 2, _luck_reference, _luck_cases,
    or_explain(close(rtol=1e-6, atol=1e-12), _LUCK_SLIPS),
    "When does none of the tries pass? Take the chance that a single one fails to the power of the "
    "tries.",
)  # fmt: skip

# --- q7: what caught each trick

CATCHES = {
    "h": "a hash: of the file, or of the evidence",
    "m": "the threat model, which whoever examines brings along",
    "d": "the date of a decision",
    "r": "nothing but a reader, or a rule from before the measurement",
}
_CAUGHT = {
    "another file ships": "h",
    "a number is mended": "h",
    "a risk is left out": "m",
    "an old case is shown again": "d",
    "the best sample is reported": "r",
    "the limit is lowered": "r",
}


def _caught(seed: int = 0, profile: str = "full") -> dict[str, str]:
    return dict(_CAUGHT)


def _same_letters(got: Any, expected: Any, args: tuple[Any, ...]) -> str | None:
    if not isinstance(got, dict) or set(got) != set(expected):
        return "give a dict with one letter for each of the six tricks, and for nothing else"
    tidy = {name: str(letter).strip().lower() for name, letter in got.items()}
    strange = next((letter for letter in tidy.values() if letter not in CATCHES), None)
    if strange is not None:
        return f"{strange[:20]!r} is none of the letters {', '.join(CATCHES)}"
    wrong = [name for name, letter in expected.items() if tidy[name] != letter]
    return f"look again at: {', '.join(wrong)}" if wrong else None


CAUGHT = ValueTask(
    "q7", "What caught each trick", 2, _caught, _same_letters,
    "Read what the examination said of each trick. Where it said nothing, what could have?",
    tells=True,
)  # fmt: skip
