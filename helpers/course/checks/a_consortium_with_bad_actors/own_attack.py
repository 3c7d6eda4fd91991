"""An attack of the learner's own: q8."""

from __future__ import annotations

from typing import Any

import numpy as np

from helpers.course.checks.a_consortium_with_bad_actors.rules import aggregate, honest_round
from helpers.course.compare import satisfies
from helpers.course.tasks import Case, FunctionTask

_ENOUGH = 0.85  # of the push that a plain search over 40 strengths finds


def _push(honest: Any, goal: Any, rule: str, sent: Any) -> float:
    """How far what the liars send carries the aggregate along the goal."""
    count = len(sent)
    result = aggregate(np.concatenate([honest, sent]), rule, count)
    return float((result - honest.mean(axis=0)) @ goal)


def _along(honest: Any, goal: Any, num_byzantine: int, strength: float) -> np.ndarray:
    spread = np.sqrt(np.square(honest - honest.mean(axis=0)).sum(axis=1).mean())
    sent = honest.mean(axis=0) + strength * spread * goal
    return np.tile(sent, (num_byzantine, 1))


def push_reference(honest: Any, goal: Any, num_byzantine: int, rule: str) -> np.ndarray:
    """Go from the honest mean along the goal, as far as it pays against the rule."""
    tries = [_along(honest, goal, num_byzantine, s) for s in np.geomspace(0.05, 50, 40)]
    return max(tries, key=lambda sent: _push(honest, goal, rule, sent))


def _cases(rng: np.random.Generator) -> list[Case]:
    cases = []
    for rule, why in (
        ("trimmed_mean", "the trimmed mean"),
        ("mixed", "mixing, then the trimmed mean: too loud is left out"),
        ("krum", "Krum: one update is taken whole"),
    ):
        honest = 0.2 * honest_round(rng, 13, 31)
        goal = rng.standard_normal(31)
        cases.append(Case((honest, goal / np.linalg.norm(goal), 2, rule), why))
    return cases


def _problem(args: tuple[Any, ...], got: Any) -> str | None:
    honest, goal, num_byzantine, rule = args
    sent = np.asarray(got, dtype=float)
    if sent.shape == goal.shape:
        return f"return one row a liar, shape ({num_byzantine}, {len(goal)}); np.tile repeats a row"
    if sent.shape != (num_byzantine, len(goal)):
        return f"shape ({num_byzantine}, {len(goal)}) was expected, got {sent.shape}"
    if not np.isfinite(sent).all():
        return "some values are not finite: a server drops such an update"
    best = _push(honest, goal, rule, push_reference(*args))
    found = _push(honest, goal, rule, sent)
    if found >= _ENOUGH * best:
        return None
    if found < -0.1 * best:
        return f"this carries the aggregate {-found:.3f} *away* from the goal"
    loud = np.linalg.norm(sent - honest.mean(axis=0), axis=1).min()
    typical = np.linalg.norm(honest - honest.mean(axis=0), axis=1).max()
    advice = (
        "the liars are so far out that the rule passes them over: search smaller strengths"
        if loud > 3 * typical
        else "search more strengths, and measure on the rule itself"
    )
    return (
        f"this carries the aggregate {found:.3f} along the goal; a plain search reaches "
        f"{best:.3f}, and {_ENOUGH:.0%} of that is enough. {advice}"
    )


OWN_ATTACK = FunctionTask(
    "q8", "Your attack", 3, push_reference, _cases, satisfies(_problem),
    "Where would a lie stand so that no rule looks at it twice? Begin there, go from there along "
    "the goal, and let aggregate(...) tell how far is best for this rule: several lengths, from "
    "far less than the honest disagree by to far more.",
    time_limit=10.0,
    show_expected=False,
)  # fmt: skip
