"""What counts as right, which designs are worth having, and under which budget: q1, q2, q3, q6."""

from __future__ import annotations

from typing import Any

import numpy as np

from helpers.course.compare import Slips, close, equal, or_explain, row_of
from helpers.course.tasks import Case, FunctionTask
from helpers.robustness.frontier import pareto_front

# --- q1: right under every attack


def _right_reference(clean: Any, attacked: Any) -> np.ndarray:
    kept: np.ndarray = np.asarray(clean, bool) & np.asarray(attacked, bool).all(axis=0)
    return kept


def _right_cases(rng: np.random.Generator) -> list[Case]:
    def drawn(attacks: int, designs: int, images: int) -> tuple[np.ndarray, np.ndarray]:
        return rng.random((designs, images)) < 0.85, rng.random((attacks, designs, images)) < 0.7

    return [
        Case(drawn(2, 3, 24), "two attacks, three designs"),
        Case(drawn(1, 2, 20), "one attack"),
        Case(drawn(4, 1, 30), "four attacks, one design"),
        Case(
            (np.array([[True, False, True]]), np.array([[[True, True, False]]])),
            "an attack can push a wrong answer to the right one",
        ),
    ]


_RIGHT_SLIPS: Slips = {
    "an image that is wrong without any attack is not robust, even if the attack happens to mend "
    "it": lambda clean, attacked: np.asarray(attacked).all(axis=0),
    "the attacker needs one attack that works: right under SOME attack is not enough": (
        lambda clean, attacked: np.asarray(clean) & np.asarray(attacked).any(axis=0)
    ),
    "the first axis of `attacked` is the attack; this goes along another": (
        lambda clean, attacked: (
            np.asarray(clean)
            & np.broadcast_to(np.asarray(attacked).all(axis=1)[0], np.shape(clean))
        )
    ),
    "only the first attack was looked at": lambda clean, attacked: (
        np.asarray(clean) & np.asarray(attacked)[0]
    ),
}

RIGHT = FunctionTask(
    "q1", "Right, whatever is tried", 1, _right_reference, _right_cases,
    or_explain(equal(), _RIGHT_SLIPS),
    "`.all(axis=0)` goes over the attacks; `&` joins two arrays of true and false.",
)  # fmt: skip

# --- q2: the Pareto front


def _front_reference(table: Any, higher: Any) -> np.ndarray:
    return np.asarray(pareto_front(table, higher))


def _front_cases(rng: np.random.Generator) -> list[Case]:
    robust, clean = rng.integers(20, 60, 8) / 100, rng.integers(60, 99, 8) / 100
    return [
        Case(
            (np.array([[0.9, 0.2], [0.8, 0.5], [0.7, 0.4], [0.95, 0.1]]), [True, True]),
            "two accuracies",
        ),
        Case(
            (np.column_stack([clean, robust, rng.integers(3, 40, 8) * 1.0]), [True, True, False]),
            "two accuracies and kilobytes",
        ),
        Case(
            (np.array([[0.8, 9.0], [0.8, 7.0], [0.6, 7.0], [0.9, 30.0]]), [True, False]),
            "equal in one measure and better in the other is enough to dominate",
        ),
        Case(
            (np.array([[0.8, 0.5], [0.8, 0.5], [0.7, 0.6], [0.6, 0.4]]), [True, True]),
            "two designs that are equal in everything stay",
        ),
        Case((np.array([[0.5, 12.0]]), [True, False]), "one design alone"),
    ]


def _signed(table: Any, higher: Any) -> np.ndarray:
    return np.where(higher, 1.0, -1.0) * np.asarray(table, np.float64)


def _front_strict(table: Any, higher: Any) -> np.ndarray:
    t = _signed(table, higher)
    return np.array([not any((b > a).all() for b in t) for a in t])


def _front_without_twins(table: Any, higher: Any) -> np.ndarray:
    t = _signed(table, higher)
    others = [[b for j, b in enumerate(t) if j != i] for i in range(len(t))]
    return np.array(
        [not any((b >= a).all() for b in rest) for a, rest in zip(t, others, strict=True)]
    )


_FRONT_SLIPS: Slips = {
    "here a design must be better in EVERY measure to dominate; at least as good in all and "
    "better in one is enough": _front_strict,
    "two designs that are equal in everything do not dominate each other: one must be better in "
    "something": _front_without_twins,
    "a design is at least as good as itself, so without 'and better in something' nothing is "
    "left": lambda table, higher: np.zeros(len(np.asarray(table)), bool),
    "of kilobytes, fewer are better: look at `higher`": lambda table, higher: _front_reference(
        table, [True] * len(higher)
    ),
    "the signs are turned: this looks for the worst in every measure": lambda table, higher: (
        _front_reference(table, ~np.asarray(higher, bool))
    ),
    "a design need not be best in any single measure: ask whether another dominates it": (
        lambda table, higher: (_signed(table, higher) == _signed(table, higher).max(axis=0)).any(
            axis=1
        )
    ),
    "this marks the designs that ARE dominated": lambda table, higher: (
        ~_front_reference(table, higher)
    ),
}

FRONT = FunctionTask(
    "q2", "Which designs are worth having", 2, _front_reference, _front_cases,
    or_explain(row_of(equal()), _FRONT_SLIPS),
    "Turn the sign of every column where lower is better; then larger is always better. For each "
    "row ask whether any other row is `>=` in all columns and `>` in any.",
)  # fmt: skip

# --- q3: the best within a budget


def _fits(costs: Any, limits: Any) -> np.ndarray:
    kept: np.ndarray = (np.asarray(costs, np.float64) <= np.asarray(limits, np.float64)).all(axis=1)
    return kept


def _front_of(accuracies: Any, keep: np.ndarray) -> list[int]:
    kept = np.flatnonzero(keep)
    if not len(kept):
        return []
    table = np.asarray(accuracies, np.float64)[kept]
    return [int(i) for i in kept[pareto_front(table, [True] * table.shape[1])]]


def _budget_reference(accuracies: Any, costs: Any, limits: Any) -> list[int]:
    return _front_of(accuracies, _fits(costs, limits))


def _budget_cases(rng: np.random.Generator) -> list[Case]:
    accuracies = np.array([[0.97, 0.60], [0.95, 0.50], [0.94, 0.40], [0.90, 0.55], [0.89, 0.54]])
    costs = np.array([[40.0, 9.0], [20.0, 5.0], [12.0, 5.0], [9.0, 2.0], [10.0, 3.0]])
    many = np.column_stack([rng.integers(70, 99, 12), rng.integers(10, 70, 12)]) / 100
    prices = np.column_stack([rng.integers(4, 60, 12), rng.integers(1, 12, 12)]) * 1.0
    return [
        Case((accuracies, costs, [20.0, 5.0]), "the best does not fit; a limit itself is allowed"),
        Case((accuracies, costs, [100.0, 100.0]), "all fit: one beats all others"),
        Case((accuracies, costs, [100.0, 4.0]), "two are quick enough"),
        Case((accuracies, costs, [5.0, 5.0]), "nothing fits: nothing is left"),
        Case((many, prices, [40.0, 9.0]), "twelve designs"),
        Case((many, prices[:, :1], [35.0]), "one limit"),
    ]


def _numbered_anew(accuracies: Any, costs: Any, limits: Any) -> list[int]:
    keep = _fits(costs, limits)
    places = np.cumsum(keep) - 1
    return [int(places[i]) for i in _front_of(accuracies, keep)]


def _front_of_all(accuracies: Any, costs: Any, limits: Any) -> list[int]:
    everything = np.ones(len(np.asarray(costs)), bool)
    keep = _fits(costs, limits)
    return [i for i in _front_of(accuracies, everything) if keep[i]]


def _costs_count(accuracies: Any, costs: Any, limits: Any) -> list[int]:
    kept = np.flatnonzero(_fits(costs, limits))
    if not len(kept):
        return []
    table = np.column_stack([np.asarray(accuracies)[kept], -np.asarray(costs)[kept]])
    return [int(i) for i in kept[pareto_front(table, [True] * table.shape[1])]]


_BUDGET_SLIPS: Slips = {
    "the front was drawn before the budget: a design comes back when its better does not fit": (
        _front_of_all
    ),
    "the limit itself is allowed": lambda accuracies, costs, limits: _front_of(
        accuracies, (np.asarray(costs) < np.asarray(limits)).all(axis=1)
    ),
    "these fit, and some of them are dominated by another that fits": (
        lambda accuracies, costs, limits: [int(i) for i in np.flatnonzero(_fits(costs, limits))]
    ),
    "what fits, fits: within the budget only the accuracies count": _costs_count,
    "one limit is not enough: a design has to keep to all": lambda accuracies, costs, limits: (
        _front_of(accuracies, (np.asarray(costs) <= np.asarray(limits)).any(axis=1))
    ),
    "these are numbers among the designs that fit; give their numbers in the table": (
        _numbered_anew
    ),
    "these are the right designs in another order: give the smallest number first": (
        lambda accuracies, costs, limits: _budget_reference(accuracies, costs, limits)[::-1]
    ),
    "this is one true or false a design; np.flatnonzero makes row numbers of it": (
        lambda accuracies, costs, limits: np.isin(
            np.arange(len(np.asarray(costs))), _budget_reference(accuracies, costs, limits)
        )
    ),
}

BUDGET = FunctionTask(
    "q3", "The best within a budget", 2, _budget_reference, _budget_cases,
    or_explain(row_of(equal()), _BUDGET_SLIPS),
    "First collect the numbers of the designs that keep to every limit. Then ask `pareto_front` "
    "about their accuracies alone, and translate back.",
)  # fmt: skip

# --- q6: how often on the front


def _often_reference(clean: Any, robust: Any, costs: Any, picks: Any) -> np.ndarray:
    clean, robust = (np.asarray(bits, np.float64) for bits in (clean, robust))
    hits = [
        pareto_front(
            np.column_stack([clean[:, rows].mean(axis=1), robust[:, rows].mean(axis=1), costs]),
            [True, True, False],
        )
        for rows in np.asarray(picks)
    ]
    share: np.ndarray = np.mean(hits, axis=0)
    return share


def _often_cases(rng: np.random.Generator) -> list[Case]:
    def drawn(designs: int, images: int, draws: int) -> tuple[np.ndarray, ...]:
        clean = rng.random((designs, images)) < rng.uniform(0.7, 0.9, (designs, 1))
        robust = clean & (rng.random((designs, images)) < rng.uniform(0.3, 0.8, (designs, 1)))
        costs = rng.permutation(designs) * 3.0 + 5.0
        return clean, robust, costs, rng.integers(0, images, (draws, images))

    return [
        Case(drawn(5, 40, 12), "five designs, twelve draws"),
        Case(drawn(8, 30, 20), "eight designs, twenty draws"),
        Case(drawn(3, 25, 1), "one draw: each is on the front or not"),
    ]


def _often_without(which: str) -> Any:
    def slip(clean: Any, robust: Any, costs: Any, picks: Any) -> np.ndarray:
        clean, robust = (np.asarray(bits, np.float64) for bits in (clean, robust))
        hits = []
        for rows in np.asarray(picks):
            columns = {
                "clean": clean[:, rows].mean(axis=1),
                "robust": robust[:, rows].mean(axis=1),
                "costs": -np.asarray(costs, np.float64),
            }
            del columns[which]
            hits.append(pareto_front(np.column_stack([*columns.values()]), [True, True]))
        return np.mean(hits, axis=0)

    return slip


def _often_of_distinct(clean: Any, robust: Any, costs: Any, picks: Any) -> np.ndarray:
    draws = [_often_reference(clean, robust, costs, [np.unique(rows)]) for rows in picks]
    share: np.ndarray = np.mean(draws, axis=0)
    return share


_OFTEN_SLIPS: Slips = {
    "the cost counts too: the small design is on the front because it is small": _often_without(
        "costs"
    ),
    "clean accuracy counts too": _often_without("clean"),
    "of the cost, less is better": lambda clean, robust, costs, picks: _often_reference(
        clean, robust, -np.asarray(costs), picks
    ),
    "this counts the draws; return their share": lambda clean, robust, costs, picks: (
        _often_reference(clean, robust, costs, picks) * len(np.asarray(picks))
    ),
    "each draw has its own images: use the rows that `picks` names": (
        lambda clean, robust, costs, picks: _often_reference(
            clean, robust, costs, np.arange(np.shape(clean)[1])[None]
        )
    ),
    "an image that is drawn twice counts twice": _often_of_distinct,
}

OFTEN = FunctionTask(
    "q6", "How sure is the front", 2, _often_reference, _often_cases,
    or_explain(row_of(close(rtol=1e-9, atol=1e-9)), _OFTEN_SLIPS),
    "For each row of `picks`: `clean[:, row].mean(axis=1)` are the accuracies of that draw. Put "
    "three columns side by side with np.column_stack and ask `pareto_front`.",
)  # fmt: skip
