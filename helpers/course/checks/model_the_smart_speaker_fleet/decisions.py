"""From a measurement to a likelihood, and from findings to a gate: q6, q7."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from helpers.course.compare import Slips, close, or_explain
from helpers.course.tasks import Case, FunctionTask
from helpers.threats.measurement import ATTACK_FLOOR, METRICS
from helpers.threats.model import LEVELS

# --- q6: a likelihood from an interval


def _likelihood_reference(points: Any, low: float, high: float, evidence: str) -> float:
    return _likelihood()(points, low, high, evidence)


def _likelihood(
    end: Callable[[float, float], float] = max, floor_on: tuple[str, ...] = ("attack",)
) -> Callable[..., float]:
    def read(points: Any, low: float, high: float, evidence: str) -> float:
        values, scores = zip(*points, strict=True)
        found = float(np.interp(end(low, high), values, scores))
        return max(ATTACK_FLOOR, found) if evidence in floor_on else found

    return read


def _likelihood_cases(rng: np.random.Generator) -> list[Case]:
    def points(metric: str) -> list[list[float]]:
        return [list(point) for point in METRICS[metric].points]

    low = float(rng.uniform(0.1, 0.2))
    return [
        Case((points("bypass-rate"), 0.02, 0.05, "attack"), "between two points"),
        Case((points("members-named"), 0.0, 0.03, "bound"), "a proof"),
        Case((points("attack-success-rate"), 0.0, 0.01, "attack"), "an attack that failed: 3"),
        Case((points("attack-success-rate"), 0.0, 0.01, "bound"), "a proof may go lower"),
        Case((points("extraction-fidelity"), 0.96, 0.99, "attack"), "beyond the last point: 10"),
        Case((points("accuracy-loss"), -0.01, low, "attack"), "a wide interval"),
    ]


_LIKELIHOOD_SLIPS: Slips = {
    "this is the end that is better for the defender; the worse one counts": _likelihood(min),
    "this is the middle of the interval; its worse end counts": _likelihood(
        lambda low, high: (low + high) / 2
    ),
    "an attack that failed shows that this attack failed: never below 3": _likelihood(floor_on=()),
    "a bound holds for every attacker: it may go below 3": _likelihood(
        floor_on=("attack", "bound")
    ),
}

# --- q7: what blocks a release


def _gate_reference(
    findings: list[dict[str, str]], acceptances: list[dict[str, str]], at: str, today: str
) -> list[str]:
    return _gate()(findings, acceptances, at, today)


Covers = Callable[[dict[str, str], dict[str, str], str], bool]


def _covers(acceptance: dict[str, str], finding: dict[str, str], today: str) -> bool:
    return _in_force(acceptance, today) and _rank(finding["level"]) <= _rank(acceptance["level"])


def _in_force(acceptance: dict[str, str], today: str) -> bool:
    return acceptance["on"] <= today <= acceptance["until"]


def _rank(level: str) -> int:
    return LEVELS.index(level)


def _gate(
    covers: Covers = _covers,
    counts: Callable[[str, str], bool] = lambda level, at: _rank(level) >= _rank(at),
) -> Callable[..., list[str]]:
    """Judge findings, with something left out."""

    def blocking(
        findings: list[dict[str, str]], acceptances: list[dict[str, str]], at: str, today: str
    ) -> list[str]:
        return [
            finding["id"]
            for finding in findings
            if counts(finding["level"], at)
            and not any(
                accepted["threat"] == finding["id"] and covers(accepted, finding, today)
                for accepted in acceptances
            )
        ]

    return blocking


def _gate_cases(rng: np.random.Generator) -> list[Case]:
    day = f"2026-06-{int(rng.integers(10, 28))}"
    findings = [
        {"id": "a@x", "level": "critical"},
        {"id": "b@x", "level": "high"},
        {"id": "b@y", "level": "medium"},
        {"id": "c@z", "level": "low"},
    ]

    def accept(threat: str, level: str, on: str = "2026-01-01", until: str = "2026-12-31") -> Any:
        return {"threat": threat, "level": level, "on": on, "until": until}

    return [
        Case((findings, [], "high", day), "nothing is accepted"),
        Case((findings, [], "low", day), "a stricter gate"),
        Case((findings, [accept("b@x", "high")], "high", day), "one is accepted"),
        Case((findings, [accept("b@x", "high", until="2026-05-31")], "high", day), "it is over"),
        Case((findings, [accept("b@x", "high", on="2026-07-01")], "high", day), "not yet in force"),
        Case((findings, [accept("b@x", "high", until=day)], "high", day), "its last day counts"),
        Case((findings, [accept("b@x", "high", on=day)], "high", day), "its first day counts"),
        Case((findings[::-1], [], "high", day), "the less risky stands first"),
        Case((findings, [accept("a@x", "high")], "high", day), "it has become worse than accepted"),
        Case((findings, [accept("b@y", "critical")], "high", day), "accepted for something else"),
        Case((findings, [accept("b@x", "critical")], "high", day), "accepted for worse than it is"),
        Case(
            (findings, [accept("b@x", "high", until="2026-05-31"), accept("b@x", "high")],
             "high", day),
            "renewed after it had run out",
        ),
    ]  # fmt: skip


def _last_only(
    findings: list[dict[str, str]], acceptances: list[dict[str, str]], at: str, today: str
) -> list[str]:
    first = {accepted["threat"]: accepted for accepted in reversed(acceptances)}
    return _gate_reference(findings, list(first.values()), at, today)


def _of_the_rule(
    findings: list[dict[str, str]], acceptances: list[dict[str, str]], at: str, today: str
) -> list[str]:
    def rule(identity: str) -> str:
        return identity.split("@")[0]

    accepted = [
        {**a, "threat": finding["id"]}
        for a in acceptances
        for finding in findings
        if rule(a["threat"]) == rule(finding["id"])
    ]
    return _gate_reference(findings, accepted, at, today)


_GATE_SLIPS: Slips = {
    "an acceptance is of one threat at one place, its whole id": _of_the_rule,
    "in the order of the findings, not of the alphabet": lambda *args: sorted(
        _gate_reference(*args)
    ),
    "an acceptance ends: after its last day the threat blocks again": _gate(
        lambda a, f, t: a["on"] <= t and _rank(f["level"]) <= _rank(a["level"])
    ),
    "an acceptance that has not begun covers nothing yet": _gate(
        lambda a, f, t: t <= a["until"] and _rank(f["level"]) <= _rank(a["level"])
    ),
    "its last day still counts": _gate(
        lambda a, f, t: a["on"] <= t < a["until"] and _rank(f["level"]) <= _rank(a["level"])
    ),
    "its first day counts already": _gate(
        lambda a, f, t: a["on"] < t <= a["until"] and _rank(f["level"]) <= _rank(a["level"])
    ),
    "accepted up to a level: a threat that has become worse blocks again": _gate(
        lambda a, f, t: _in_force(a, t)
    ),
    "whoever accepts a higher level accepts this one too": _gate(
        lambda a, f, t: _in_force(a, t) and f["level"] == a["level"]
    ),
    "the threat was accepted again: any acceptance in force is enough": _last_only,
    "no acceptance counts here; one that is in force and covers the level lets it pass": _gate(
        lambda *_: False
    ),
    "the level of the gate itself blocks too": _gate(
        counts=lambda level, at: _rank(level) > _rank(at)
    ),
    "only the level itself blocks here; worse ones must too": _gate(
        counts=lambda level, at: level == at
    ),
    "levels are ordered as in LEVELS, not by the alphabet": _gate(
        counts=lambda level, at: level >= at
    ),
    "everything blocks here; only threats at the gate's level or above do": _gate(
        counts=lambda *_: True
    ),
}

LIKELIHOOD = FunctionTask(
    "q6", "A likelihood from a measurement", 1, _likelihood_reference, _likelihood_cases,
    or_explain(close(), _LIKELIHOOD_SLIPS),
    "np.interp(value, values, scores) draws the straight lines and stays constant outside.",
)  # fmt: skip
GATE = FunctionTask(
    "q7", "The gate", 2, _gate_reference, _gate_cases,
    or_explain(close(), _GATE_SLIPS),
    "LEVELS.index(level) turns a level into a number; dates in this form compare as text.",
)  # fmt: skip
