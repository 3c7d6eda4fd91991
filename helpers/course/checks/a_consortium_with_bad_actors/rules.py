"""Rules that survive a liar, and the strength of an attack against one: q1 to q4."""

from __future__ import annotations

from typing import Any

import numpy as np

from helpers.course.compare import Slips, close, or_explain, row_of
from helpers.course.tasks import Case, FunctionTask
from helpers.federated import robust

_TOLERANCE = close(rtol=1e-6, atol=1e-8)


def aggregate(updates: Any, rule: str, num_byzantine: int) -> np.ndarray:
    """Apply a rule by the name that the lab gives it."""
    rows = np.asarray(updates)
    if rule == "mixed":
        mixed = robust.nearest_neighbour_mixing(rows, num_byzantine)
        return robust.trimmed_mean(mixed, num_byzantine)
    return robust.RULES[rule](rows, num_byzantine)


def honest_round(rng: np.random.Generator, num_honest: int, num_values: int) -> np.ndarray:
    """Draw the updates of hospitals that agree on a direction and differ around it."""
    progress = rng.standard_normal(num_values)
    progress /= np.linalg.norm(progress)
    spread = rng.uniform(0.5, 1.5, num_values) / np.sqrt(num_values)
    return np.asarray(progress + 0.8 * spread * rng.standard_normal((num_honest, num_values)))


def _squared_distances(rows: Any) -> np.ndarray:
    return np.square(rows[:, None] - rows[None]).sum(axis=2)


# --- q1: the trimmed mean


def _trimmed_cases(rng: np.random.Generator) -> list[Case]:
    rows = honest_round(rng, 15, 5)
    shouted = rows.copy()
    shouted[:3] = 1e6 * rng.standard_normal((3, 5))
    return [
        Case((rows, 3), "fifteen updates, three cut at each end"),
        Case((shouted, 3), "three of them shout"),
        Case((rows[:6], 1), "six updates, one cut at each end"),
        Case((rows, 0), "nobody is suspected: the mean"),
    ]


def _kept(rows: Any, low: int, high: int) -> np.ndarray:
    return np.asarray(np.sort(rows, axis=0)[low : len(rows) - high].mean(axis=0))


def _without_longest(rows: Any, count: int) -> np.ndarray:
    order = np.argsort(np.linalg.norm(rows, axis=1))
    return np.asarray(rows[order[: len(rows) - count]].mean(axis=0))


_TRIMMED_SLIPS: Slips = {
    "with nobody suspected nothing is left: the slice [f:-f] is empty for f = 0; use [f:n - f]": (
        lambda u, f: np.full(u.shape[1], np.nan) if not f else np.zeros((1, 1, 1))
    ),
    "nothing was cut": lambda u, f: u.mean(axis=0),
    "this is the median": lambda u, f: np.median(u, axis=0),
    "only the largest values were cut; a liar may send small ones": lambda u, f: _kept(u, 0, f),
    "only the smallest values were cut; a liar may send large ones": lambda u, f: _kept(u, f, 0),
    "one value was cut at each end; cut num_byzantine": lambda u, f: _kept(u, 1, 1),
    "num_byzantine values were cut in all; cut as many at each end": lambda u, f: _kept(
        u, f // 2, f - f // 2
    ),
    "twice as many were cut as were asked for": lambda u, f: _kept(u, 2 * f, 2 * f),
    "divided by all updates; divide by those that are left": lambda u, f: (
        np.sort(u, axis=0)[f : len(u) - f].sum(axis=0) / len(u)
    ),
    "the values within a row were sorted; sort each column (axis=0)": lambda u, f: np.sort(
        u, axis=1
    )[f : len(u) - f].mean(axis=0),
    "the rows were not sorted before the cut": lambda u, f: u[f : len(u) - f].mean(axis=0),
    "whole updates were left out, by their length; cut values, in each column": _without_longest,
    "this is the sum; take the mean": lambda u, f: np.sort(u, axis=0)[f : len(u) - f].sum(axis=0),
}


# --- q2: Krum's scores


def _scores_reference(updates: Any, num_neighbours: int) -> np.ndarray:
    others = _squared_distances(updates) + np.diag(np.full(len(updates), np.inf))
    return np.asarray(np.sort(others, axis=1)[:, :num_neighbours].sum(axis=1))


def _scores_cases(rng: np.random.Generator) -> list[Case]:
    rows = honest_round(rng, 8, 4)
    rows[6:] += 3.0
    twins = rows.copy()
    twins[7] = twins[6]
    return [
        Case((rows, 4), "eight updates, two far away, four neighbours"),
        Case((rows, 1), "one neighbour: the nearest"),
        Case((rows[:5], 4), "all others are neighbours"),
        Case((twins, 4), "two are equal: each is the other's neighbour, at distance 0"),
    ]


def _scores(
    updates: Any, count: int, *, power: float = 1.0, first: int = 1, last: bool = False
) -> np.ndarray:
    ordered = np.sort(_squared_distances(updates), axis=1) ** power
    chosen = ordered[:, -count:] if last else ordered[:, first : first + count]
    return np.asarray(chosen.sum(axis=1))


_SCORES_SLIPS: Slips = {
    "only the update itself is left out; another that equals it is a neighbour, at distance 0": (
        lambda u, k: np.array([np.sort(row[row > 0])[:k].sum() for row in _squared_distances(u)])
    ),
    "an update is counted as its own neighbour, at distance 0; leave it out": lambda u, k: _scores(
        u, k, first=0
    ),
    "square the distances: Krum adds up squares": lambda u, k: _scores(u, k, power=0.5),
    "these are the furthest neighbours; take the nearest": lambda u, k: _scores(u, k, last=True),
    "all others were counted; only the nearest num_neighbours count": lambda u, k: _scores(
        u, len(u) - 1
    ),
    "this is the mean of the squared distances; take the sum": lambda u, k: _scores(u, k) / k,
    "one neighbour too many": lambda u, k: _scores(u, k + 1),
    "two neighbours too few: num_neighbours is already the number to use": lambda u, k: _scores(
        u, k - 2
    ),
    "this is the chosen update's position; return everybody's score": lambda u, k: int(
        _scores_reference(u, k).argmin()
    ),
}


# --- q3: mixing


def _mix_cases(rng: np.random.Generator) -> list[Case]:
    rows = honest_round(rng, 9, 5)
    far = rows.copy()
    far[:2] = 50.0
    return [
        Case((rows, 2), "nine updates, each the mean of seven"),
        Case((far, 2), "two liars far away: no honest update mixes with them"),
        Case((rows[:4], 1), "four updates, each the mean of three"),
    ]


def _mixed(rows: Any, count: int, first: int = 0, last: bool = False) -> np.ndarray:
    order = np.argsort(_squared_distances(rows), axis=1, kind="stable")
    chosen = order[:, -count:] if last else order[:, first : first + count]
    return np.asarray(rows[chosen].mean(axis=1))


def _mixed_in_place(rows: Any, num_byzantine: int) -> np.ndarray:
    mixed = rows.copy()
    for row in range(len(mixed)):
        distances = np.square(mixed - mixed[row]).sum(axis=1)
        mixed[row] = mixed[np.argsort(distances, kind="stable")[: len(mixed) - num_byzantine]].mean(
            axis=0
        )
    return np.asarray(mixed)


_MIX_SLIPS: Slips = {
    "an update belongs to its own mean: it is the nearest of all": lambda u, f: _mixed(
        u, len(u) - f - 1, first=1
    ),
    "the update itself was left out, and one from further away was taken": lambda u, f: _mixed(
        u, len(u) - f, first=1
    ),
    "each mean holds one update too few: n - num_byzantine, itself among them": lambda u, f: _mixed(
        u, len(u) - f - 1
    ),
    "each mean holds num_byzantine updates; it must hold all but so many": lambda u, f: _mixed(
        u, f
    ),
    "these are the furthest updates; take the nearest": lambda u, f: _mixed(
        u, len(u) - f, last=True
    ),
    "updates were replaced one after the other, and later ones mixed with replaced ones; compare "
    "with the updates as they came": _mixed_in_place,
    "this is one mean; return one row an update": lambda u, f: _mixed(u, len(u) - f).mean(axis=0),
}


# --- q4: the strength of an attack

FACTORS = np.geomspace(0.1, 20, 25)


def _factor_reference(honest: Any, num_byzantine: int, rule: str, factors: Any) -> float:
    return _factor(honest, num_byzantine, rule, factors)


def _factor(
    honest: Any,
    num_byzantine: int,
    rule: str,
    factors: Any,
    *,
    sign: float = -1.0,
    length: bool = False,
    liars: int | None = None,
    replaced: bool = False,
) -> float:
    centre = honest.mean(axis=0)
    liars = num_byzantine if liars is None else liars
    damage = []
    for factor in factors:
        sent = np.tile(sign * factor * centre, (liars, 1))
        others = honest[liars:] if replaced else honest
        result = aggregate(np.concatenate([others, sent]), rule, num_byzantine)
        damage.append(float(np.linalg.norm(result if length else result - centre)))
    return float(factors[int(np.argmax(damage))])


def _factor_cases(rng: np.random.Generator) -> list[Case]:
    def honest(clients: int, agreement: float) -> np.ndarray:
        rows = honest_round(rng, clients, 31)
        return rows + agreement * rows.mean(axis=0)

    return [
        Case((honest(13, -0.8), 4, "krum", FACTORS), "Krum: a lie is taken whole if it is quiet"),
        Case((honest(11, -0.8), 4, "krum", FACTORS), "Krum, and four liars among fifteen"),
        Case((honest(13, 3.0), 2, "krum", FACTORS), "Krum takes no lie: all do the same harm"),
        *(
            Case((honest_round(rng, 13, 31), liars, rule, FACTORS), why)
            for liars, rule, why in (
                (2, "mixed", "mixing, then the trimmed mean"),
                (2, "trimmed_mean", "the trimmed mean"),
                (2, "mean", "the mean: the loudest"),
                (4, "trimmed_mean", "four liars among seventeen"),
            )
        ),
    ]


_FACTOR_SLIPS: Slips = {
    "the liars must send the honest mean times *minus* the factor": lambda *a: _factor(
        *a, sign=1.0
    ),
    "harm is the distance from the honest mean, not the length of the aggregate": lambda *a: (
        _factor(*a, length=True)
    ),
    "the loudest factor is not always the worst, and of several that do the same harm the first "
    "counts; harm is measured from the mean of the *honest* updates, without the "
    "lies": lambda h, b, r, factors: float(factors[-1]),
    "this is the harm done; return the factor": lambda h, b, r, factors: float(
        np.linalg.norm(
            aggregate(
                np.concatenate(
                    [h, np.tile(-_factor(h, b, r, factors) * h.mean(axis=0), (b, 1))]
                ),
                r,
                b,
            )
            - h.mean(axis=0)
        )
    ),
    "this is the position of the factor; return the factor": lambda h, b, r, factors: int(
        np.argmin(np.abs(np.asarray(factors) - _factor(h, b, r, factors)))
    ),
    "num_byzantine rows lie, not one alone": lambda *a: _factor(*a, liars=1),
    "the lies come on top of the honest rows, and replace none of them": lambda *a: _factor(
        *a, replaced=True
    ),
}  # fmt: skip


TRIMMED = FunctionTask(
    "q1", "The trimmed mean", 1, robust.trimmed_mean, _trimmed_cases,
    or_explain(_TOLERANCE, _TRIMMED_SLIPS),
    "np.sort(updates, axis=0) sorts each column by itself; then a slice of rows, then a mean.",
)  # fmt: skip
KRUM = FunctionTask(
    "q2", "Krum's scores", 2, _scores_reference, _scores_cases,
    or_explain(row_of(_TOLERANCE), _SCORES_SLIPS),
    "updates[:, None] - updates[None] holds all differences, (n, n, d). Sorted, each row of "
    "distances begins with the update itself.",
)  # fmt: skip
MIXING = FunctionTask(
    "q3", "Nearest-neighbour mixing", 2, robust.nearest_neighbour_mixing, _mix_cases,
    or_explain(_TOLERANCE, _MIX_SLIPS),
    "np.argsort(distances, axis=1) gives each update's neighbours, nearest first, itself included; "
    "updates[positions] fetches them.",
)  # fmt: skip
STRENGTH = FunctionTask(
    "q4", "As strong as it pays", 2, _factor_reference, _factor_cases,
    or_explain(_TOLERANCE, _FACTOR_SLIPS),
    "For each factor: stack the honest rows and num_byzantine copies of -factor times their mean, "
    "aggregate, and measure the distance to the honest mean.",
    time_limit=30.0,
)  # fmt: skip
