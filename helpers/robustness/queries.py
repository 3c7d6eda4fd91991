"""Black-box attacks that need only the scores of the deployed artefact: Square and NES.

An int8 file gives scores in 256 steps. Where softmax says 1.00 the margin does not move at all, so
a search that only accepts improvements stands still, and a difference of two answers is exactly
zero. Both attacks have a cure to try: walk across plateaus, or ask around each point and average.
SimBA, in ``helpers.robustness.simba``, shares the two.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from helpers.errors import RobustnessError
from helpers.robustness._checks import (
    checked_pairs,
    require_known,
    require_not_negative,
    require_positive,
    require_whole,
)
from helpers.robustness.budget import Budget
from helpers.robustness.target import Outcome, Target, judge

# As in the code of Andriushchenko et al. 2020: after these shares of the run, the share of pixels
# in a square is halved.
HALVINGS = (0.001, 0.005, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8)


@dataclass(frozen=True)
class Dither:
    """Ask at several points around each one, and average: a step function becomes a slope.

    Attributes
    ----------
    copies
        Points asked instead of one; each costs a query.
    spread
        Standard deviation of the noise between them, in units of the input.

    Raises
    ------
    RobustnessError
        If ``copies`` is below 1 or ``spread`` below 0.
    """

    copies: int = 1
    spread: float = 0.0

    def __post_init__(self) -> None:
        require_whole("copies", self.copies, at_least=1)
        require_not_negative("spread", self.spread)


@dataclass
class Search:
    """The state that every query attack shares: what each input asked, and which still stand.

    Attributes
    ----------
    target
        Only its ``ask`` is used.
    truth
        int64 ``(n,)``: the true classes.
    dither
        How each point is asked about.
    limit
        Queries that an input may take.
    rng
        Of the dither.
    queries
        int64 ``(n,)``: queries taken so far.
    standing
        bool ``(n,)``: the inputs that have not fallen.
    """

    target: Target
    truth: NDArray[np.int64]
    dither: Dither
    limit: int
    rng: np.random.Generator
    queries: NDArray[np.int64] = field(init=False)
    standing: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.queries = np.zeros(len(self.truth), np.int64)
        self.standing = np.ones(len(self.truth), np.bool_)

    def open(self, cost: int = 1) -> NDArray[np.int64]:
        """Return which inputs ``(k,)`` still stand and can pay for ``cost`` more answers."""
        return np.flatnonzero(self.standing & (self.queries + cost <= self.limit))

    def margins(
        self, rows: NDArray[np.float32], which: NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Ask about a point for each of k inputs; return margins and who has fallen, both ``(k,)``.

        A margin is the right class's score less the best other one, averaged over the dither. An
        input has fallen only if the artefact errs at the point itself, which is the first asked.
        """
        low, high = self.target.bounds
        values, fallen = np.zeros(len(rows)), np.zeros(len(rows), np.bool_)
        for copy in range(self.dither.copies):
            noise = self.dither.spread * self.rng.normal(size=rows.shape) if copy else 0.0
            scores = self.target.scores(np.clip(rows + noise, low, high))
            found = score_margins(scores, self.truth[which])
            values += found / self.dither.copies
            if not copy:
                fallen = np.argmax(scores, axis=1) != self.truth[which]
        self.queries[which] += self.dither.copies
        self.standing[which[fallen]] = False
        return values, fallen


def score_margins(scores: ArrayLike, labels: ArrayLike) -> NDArray[np.float64]:
    """Return the right class's score less the best other one, ``(n,)``; at most 0 is an error.

    Parameters
    ----------
    scores
        ``(n, classes)``.
    labels
        True classes ``(n,)``.

    Returns
    -------
    numpy.ndarray
        float64 ``(n,)``.

    Raises
    ------
    RobustnessError
        If a label is none of the classes, or the shapes do not fit.
    """
    values, truth = np.array(scores, np.float64), np.asarray(labels)
    require_known(truth, values)
    rows = np.arange(len(values))
    right = values[rows, truth].copy()
    values[rows, truth] = -np.inf
    return right - values.max(axis=1)


def square(
    target: Target,
    inputs: ArrayLike,
    labels: ArrayLike,
    epsilon: float,
    *,
    queries: int = 1000,
    accept_ties: bool = True,
    dither: Dither | None = None,
    share: float = 0.8,
    seed: int = 0,
) -> Outcome:
    """Attack images by random squares at the edge of an L-infinity budget (Square Attack).

    Parameters
    ----------
    target
        Only its ``ask`` is used.
    inputs, labels
        Clean images ``(n, height, width, channels)`` and true classes ``(n,)``.
    epsilon
        L-infinity radius.
    queries
        Questions to the artefact for each image, at most.
    accept_ties
        Whether a square that leaves the margin as it was is kept. The paper keeps improvements
        only; on saturated scores, where nearly every proposal is a tie, that never moves.
    dither
        Asks around each point and averages; None asks once.
    share
        Share of the pixels in the first squares.
    seed
        Of the squares.

    Returns
    -------
    Outcome
        With the queries that each image took; one wrong from the start takes one.

    Raises
    ------
    RobustnessError
        If the inputs are not images or a setting is out of its range.

    References
    ----------
    Andriushchenko, Croce, Flammarion and Hein, *Square Attack: a query-efficient black-box
    adversarial attack via random search*, ECCV 2020.
    """
    clean, truth = checked_pairs(inputs, labels, target.bounds)
    if clean.ndim != 4:
        raise RobustnessError(
            f"inputs of shape {clean.shape} must be (n, height, width, channels)."
        )
    require_whole("queries", queries, at_least=1)
    if not 0 < share <= 1:
        raise RobustnessError(f"share={share!r} must be a share above 0 and at most 1.")
    budget, rng = Budget(epsilon), np.random.default_rng(seed)
    search = Search(target, truth, dither or Dither(), queries, rng)
    cost = search.dither.copies
    best, everyone = clean.copy(), np.arange(len(clean))
    margins = np.full(len(clean), np.inf)
    if cost <= queries:
        margins, _ = search.margins(clean, everyone)
    stripes = epsilon * rng.choice([-1.0, 1.0], (len(clean), 1, *clean.shape[2:]))
    proposal = budget.project(clean, clean + stripes, target.bounds)
    while len(which := search.open(cost)):
        found, fallen = search.margins(proposal[which], which)
        better = (found <= margins[which]) if accept_ties else (found < margins[which])
        kept = which[better | fallen]
        best[kept], margins[kept] = proposal[kept], found[better | fallen]
        progress = float(search.queries[which].max()) / queries
        side = _side(clean.shape, share, progress)
        moved = best + _squares(clean.shape, side, epsilon, rng)
        proposal = budget.project(clean, moved, target.bounds)
    return judge(target, clean, truth, best, attack="Square", budget=budget, queries=search.queries)


def _side(shape: tuple[int, ...], share: float, progress: float) -> int:
    halvings = sum(progress > at for at in HALVINGS)
    pixels = share / 2**halvings * shape[1] * shape[2]
    return int(np.clip(round(np.sqrt(pixels)), 1, min(shape[1:3])))


def _squares(
    shape: tuple[int, ...], side: int, epsilon: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """One square an image, at a place of its own, one sign a channel, twice the radius high."""
    count, height, width, channels = shape
    top = rng.integers(0, height - side + 1, count)[:, None]
    left = rng.integers(0, width - side + 1, count)[:, None]
    rows, columns = np.arange(height), np.arange(width)
    inside = ((rows >= top) & (rows < top + side))[:, :, None] & (
        (columns >= left) & (columns < left + side)
    )[:, None, :]
    signs = rng.choice([-1.0, 1.0], (count, 1, 1, channels))
    return 2 * epsilon * inside[..., None] * signs


def nes(
    target: Target,
    inputs: ArrayLike,
    labels: ArrayLike,
    budget: Budget,
    *,
    queries: int = 1000,
    pairs: int = 10,
    spread: float = 0.01,
    step_size: float | None = None,
    seed: int = 0,
) -> Outcome:
    """Attack by a gradient estimated from differences of scores (natural evolution strategies).

    Parameters
    ----------
    target
        Only its ``ask`` is used.
    inputs, labels, budget
        Clean inputs ``(n, ...)``, true classes ``(n,)``, what may change.
    queries
        Questions to the artefact for each input, at most.
    pairs
        Directions a step; each is asked forwards and backwards.
    spread
        How far away to ask, in units of the input. Too close, and an int8 file gives the same
        answer twice.
    step_size
        Length of a step; a fifth of the radius when left out.
    seed
        Of the directions.

    Returns
    -------
    Outcome
        With the queries that each input took.

    Raises
    ------
    RobustnessError
        If a setting is out of its range.

    References
    ----------
    Ilyas, Engstrom, Athalye and Lin, *Black-box adversarial attacks with limited queries and
    information*, ICML 2018.
    """
    clean, truth = checked_pairs(inputs, labels, target.bounds)
    require_whole("queries", queries, at_least=1)
    require_whole("pairs", pairs, at_least=1)
    require_positive("spread", spread)
    if step_size is not None:
        require_positive("step_size", step_size)
    step = budget.epsilon / 5 if step_size is None else step_size
    search = Search(target, truth, Dither(), queries, np.random.default_rng(seed))
    current = clean.copy()
    search.margins(current, np.arange(len(clean)))
    while len(which := search.open(2 * pairs + 1)):
        gradient = _estimate(search, current[which], which, pairs, spread)
        moved = current[which] - step * _direction(gradient, budget)
        current[which] = budget.project(clean[which], moved, target.bounds)
        search.margins(current[which], which)
    return judge(target, clean, truth, current, attack="NES", budget=budget, queries=search.queries)


def _estimate(
    search: Search,
    rows: NDArray[np.float32],
    which: NDArray[np.int64],
    pairs: int,
    spread: float,
) -> NDArray[np.float64]:
    """Estimate the gradient of the margin by antithetic differences."""
    low, high = search.target.bounds
    gradient = np.zeros(rows.shape)
    for _ in range(pairs):
        direction = search.rng.normal(size=rows.shape)
        sides = [
            score_margins(
                search.target.scores(np.clip(rows + side * spread * direction, low, high)),
                search.truth[which],
            )
            for side in (1, -1)
        ]
        weight = ((sides[0] - sides[1]) / (2 * spread * pairs)).reshape(-1, *[1] * (rows.ndim - 1))
        gradient += weight * direction
    search.queries[which] += 2 * pairs
    return gradient


def _direction(gradient: NDArray[np.float64], budget: Budget) -> NDArray[np.float64]:
    if budget.norm == "linf":
        return np.sign(gradient)
    length = np.linalg.norm(gradient.reshape(len(gradient), -1), axis=1)
    wide = np.maximum(length, 1e-12).reshape(-1, *[1] * (gradient.ndim - 1))
    return np.asarray(gradient / wide)


def flat_differences(
    target: Target,
    inputs: ArrayLike,
    labels: ArrayLike,
    *,
    spread: float = 1 / 255,
    directions: int = 5,
    seed: int = 0,
) -> float:
    """Return how often a small step changes the artefact's margin by exactly nothing.

    Parameters
    ----------
    target
        Only its ``ask`` is used.
    inputs, labels
        Clean inputs ``(n, ...)`` and true classes ``(n,)``.
    spread
        Length of the step in each number of the input, up or down.
    directions
        Steps tried for each input.
    seed
        Of the directions.

    Returns
    -------
    float
        Share of the steps; near 0 for scores in float32.

    Raises
    ------
    RobustnessError
        If the inputs or a setting will not do, or the artefact does not answer with scores.
    """
    clean, truth = checked_pairs(inputs, labels, target.bounds)
    require_positive("spread", spread)
    require_whole("directions", directions, at_least=1)
    rng = np.random.default_rng(seed)
    at_rest = score_margins(target.scores(clean), truth)
    flat = 0
    for _ in range(directions):
        moved = np.clip(clean + spread * rng.choice([-1.0, 1.0], clean.shape), *target.bounds)
        flat += int((score_margins(target.scores(moved), truth) == at_rest).sum())
    return flat / (directions * len(clean))
