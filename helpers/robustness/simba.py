"""SimBA: a black-box attack that tries one direction of an orthonormal basis after another."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import fft

from helpers.errors import RobustnessError
from helpers.robustness._checks import (
    checked_pairs,
    require_choice,
    require_positive,
    require_whole,
)
from helpers.robustness.budget import Budget
from helpers.robustness.queries import Dither, Search
from helpers.robustness.target import Outcome, Target, judge

Basis = Literal["pixel", "dct"]


def simba(
    target: Target,
    inputs: ArrayLike,
    labels: ArrayLike,
    budget: Budget,
    *,
    basis: Basis = "pixel",
    queries: int = 1000,
    step_size: float | None = None,
    lowest: float = 0.25,
    accept_ties: bool = True,
    dither: Dither | None = None,
    seed: int = 0,
) -> Outcome:
    """Attack images by a step forwards, or else backwards, along one basis vector at a time.

    Parameters
    ----------
    target
        Only its ``ask`` is used.
    inputs, labels, budget
        Clean images ``(n, height, width, channels)``, true classes ``(n,)``, what may change.
    basis
        ``"pixel"``: one number of the image. ``"dct"``: one wave of the discrete cosine transform
        over one channel, among the lowest frequencies.
    queries
        Questions to the artefact for each image, at most; a direction takes one or two.
    step_size
        Length of a step in the budget's norm. When left out, the whole radius in L-infinity and a
        fifth of it in L2.
    lowest
        Share of the frequencies along each side that ``"dct"`` draws from.
    accept_ties
        Whether a step that leaves the margin as it was is kept, as in
        :func:`helpers.robustness.queries.square`. The paper keeps improvements only.
    dither
        Asks around each point and averages; None asks once.
    seed
        Of the order of the directions.

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
    Guo, Gardner, You, Wilson and Weinberger, *Simple black-box adversarial attacks*, ICML 2019,
    algorithm 1. The paper lets the change grow with the queries; here it is held in the budget.
    """
    clean, truth = checked_pairs(inputs, labels, target.bounds)
    require_whole("queries", queries, at_least=1)
    if step_size is not None:
        require_positive("step_size", step_size)
    step = budget.epsilon * (1.0 if budget.norm == "linf" else 0.2)
    step = step if step_size is None else step_size
    rng = np.random.default_rng(seed)
    directions = _Directions(clean.shape, basis, lowest, rng)
    search = Search(target, truth, dither or Dither(), queries, rng)
    cost = search.dither.copies
    best, margins = clean.copy(), np.full(len(clean), np.inf)
    if cost <= queries:
        margins, _ = search.margins(clean, np.arange(len(clean)))
    while len(search.open(cost)):
        moves, undecided = step * directions.following(budget), np.ones(len(clean), np.bool_)
        for side in (1.0, -1.0):
            which = search.open(cost)
            which = which[undecided[which]]
            if not len(which):
                break
            wanted = best[which] + side * moves[which]
            proposal = budget.project(clean[which], wanted, target.bounds)
            found, fallen = search.margins(proposal, which)
            better = (found <= margins[which]) if accept_ties else (found < margins[which])
            taken = better | fallen
            kept = which[taken]
            best[kept], margins[kept] = proposal[taken], found[taken]
            undecided[kept] = False
    name = f"SimBA ({basis})"
    return judge(target, clean, truth, best, attack=name, budget=budget, queries=search.queries)


class _Directions:
    """Basis vectors in an order of its own for each image, none twice until all have been tried."""

    def __init__(
        self, shape: tuple[int, ...], basis: Basis, lowest: float, rng: np.random.Generator
    ) -> None:
        require_choice("basis", basis, get_args(Basis))
        if len(shape) != 4:
            raise RobustnessError(f"inputs of shape {shape} must be (n, height, width, channels).")
        if not 0 < lowest <= 1:
            raise RobustnessError(f"lowest={lowest!r} must be a share above 0 and at most 1.")
        _, height, width, channels = shape
        self._shape, self._basis, self._rng, self._turn = shape, basis, rng, 0
        self._grid = (height, width, channels)
        if basis == "dct":
            sides = [max(1, round(lowest * side)) for side in (height, width)]
            self._grid = (sides[0], sides[1], channels)
        self._order = np.tile(np.arange(np.prod(self._grid)), (shape[0], 1))

    def following(self, budget: Budget) -> NDArray[np.float64]:
        """Return the next direction of each image, of length 1 in the budget's norm."""
        turn = self._turn % self._order.shape[1]
        if turn == 0:
            self._order = self._rng.permuted(self._order, axis=1)
        self._turn += 1
        vectors = np.zeros(self._shape)
        places = np.unravel_index(self._order[:, turn], self._grid)
        vectors[(np.arange(len(vectors)), *places)] = 1.0
        if self._basis == "dct":
            vectors = fft.idctn(vectors, axes=(1, 2), norm="ortho")
        if budget.norm == "linf":
            vectors /= np.abs(vectors).max(axis=(1, 2, 3), keepdims=True)
        return vectors
