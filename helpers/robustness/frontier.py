"""The frontier: which designs are worth having, within what a device can carry.

A design is a model as it would ship: a width, a number format, a way of training. It is *dominated*
if another is at least as good in all that counts and better in something. Those that are not
dominated are the Pareto front; to choose among them is a decision and no calculation.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from helpers.errors import RobustnessError
from helpers.robustness._checks import require_whole


@dataclass(frozen=True)
class Measure:
    """One thing that counts.

    Attributes
    ----------
    key
        Name in :attr:`Design.values`.
    title
        For axes and tables, with its unit, such as ``"latency (ms)"``.
    higher_is_better
        True for accuracies, False for costs.
    """

    key: str
    title: str
    higher_is_better: bool


@dataclass(frozen=True)
class Design:
    """A model as it would ship, and what was measured of it.

    Attributes
    ----------
    name
        Unique among the designs that are compared.
    traits
        How it was made, such as ``{"width": "16", "training": "free"}``.
    values
        Measured numbers by the key of their :class:`Measure`.
    """

    name: str
    traits: Mapping[str, str]
    values: Mapping[str, float]


def value_table(designs: Sequence[Design], measures: Sequence[Measure]) -> NDArray[np.float64]:
    """Return the measured numbers, float64 ``(designs, measures)``.

    Raises
    ------
    RobustnessError
        If there is no design or measure, two designs share a name, or a number is missing or not
        finite.
    """
    if not designs or not measures:
        raise RobustnessError(
            f"{len(designs)} designs and {len(measures)} measures: at least one of each is needed."
        )
    names = [design.name for design in designs]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise RobustnessError(f"Two designs are called {twice!r}: give each a name of its own.")
    table = np.empty((len(designs), len(measures)))
    for i, design in enumerate(designs):
        for j, measure in enumerate(measures):
            value = design.values.get(measure.key, math.nan)
            if not math.isfinite(value):
                raise RobustnessError(
                    f"{design.name!r} has {value} for {measure.key!r}: every design needs a finite "
                    "number for every measure."
                )
            table[i, j] = value
    return table


def pareto_front(values: ArrayLike, higher_is_better: Sequence[bool]) -> NDArray[np.bool_]:
    """Return which rows no other row dominates.

    Parameters
    ----------
    values
        ``(designs, measures)``, finite.
    higher_is_better
        One a measure.

    Returns
    -------
    numpy.ndarray
        bool ``(designs,)``. Rows that are equal in everything stay or go together.

    Raises
    ------
    RobustnessError
        If shapes do not fit or a number is not finite.
    """
    table = np.asarray(values, np.float64)
    if table.ndim != 2 or table.shape[1] != len(higher_is_better) or not np.isfinite(table).all():
        raise RobustnessError(
            f"values of shape {table.shape} with {len(higher_is_better)} directions: expected "
            "finite numbers (designs, measures) and one direction a measure."
        )
    table = np.where(higher_is_better, table, -table)
    at_least = (table[:, None, :] >= table[None, :, :]).all(axis=2)
    better = (table[:, None, :] > table[None, :, :]).any(axis=2)
    front: NDArray[np.bool_] = ~(at_least & better).any(axis=0)
    return front


def within_budget(
    designs: Sequence[Design], measures: Sequence[Measure], limits: Mapping[str, float]
) -> list[Design]:
    """Return the designs that keep to every limit, in their order.

    Parameters
    ----------
    designs, measures
        What is compared, and by what.
    limits
        By the key of a measure: the least that is wanted where higher is better, else the most that
        the device can carry. The limit itself is allowed.

    Raises
    ------
    RobustnessError
        If a limit is of no measure or not a number.
    """
    table, keys = value_table(designs, measures), [measure.key for measure in measures]
    kept = np.ones(len(designs), bool)
    for key, limit in limits.items():
        if key not in keys:
            raise RobustnessError(f"There is no measure {key!r}: choose from {', '.join(keys)}.")
        if math.isnan(limit):
            raise RobustnessError(f"The limit of {key!r} is not a number.")
        column = table[:, keys.index(key)]
        higher = measures[keys.index(key)].higher_is_better
        kept &= (column >= limit) if higher else (column <= limit)
    return [design for design, keep in zip(designs, kept, strict=True) if keep]


def front_membership(
    correct: Mapping[str, ArrayLike],
    costs: ArrayLike,
    draws: int = 1000,
    seed: int = 0,
) -> NDArray[np.float64]:
    """Return how often each design is on the front when the test images are drawn again.

    A front of measured accuracies is itself an estimate: with 200 images, many a design is on it by
    luck. All accuracies of one draw use the same images, since the designs were tested on the same
    ones; what is hard for one is often hard for all.

    Parameters
    ----------
    correct
        By accuracy, such as ``"clean"`` and ``"robust"``: bool ``(designs, images)``, whether each
        design is right. The images are the same in all.
    costs
        ``(designs, costs)``: what is known without sampling, such as bytes; lower is better.
    draws
        Bootstrap samples.
    seed
        Of the samples.

    Returns
    -------
    numpy.ndarray
        float64 ``(designs,)``: share of the samples. It is no probability that a design is truly on
        the front: a copy of another that is better by a hair has about one half.

    Raises
    ------
    RobustnessError
        If the shapes do not fit.

    References
    ----------
    Efron and Tibshirani, *An introduction to the bootstrap*, 1993, chapter 6.
    """
    require_whole("draws", draws, at_least=1)
    known = np.asarray(costs, np.float64)
    tables = [np.asarray(table, bool).astype(np.float64) for table in correct.values()]
    shapes = {table.shape for table in tables}
    if known.ndim != 2 or len(shapes) != 1 or next(iter(shapes))[:-1] != known.shape[:1]:
        raise RobustnessError(
            f"correct of shapes {sorted(shapes)} and costs of shape {known.shape}: expected "
            "(designs, images) for each accuracy, and (designs, costs)."
        )
    num_images = tables[0].shape[1]
    higher = [True] * len(tables) + [False] * known.shape[1]
    rng, hits = np.random.default_rng(seed), np.zeros(len(known))
    for _ in range(draws):
        weights = np.bincount(rng.integers(0, num_images, num_images), minlength=num_images)
        accuracies = [table @ weights / num_images for table in tables]
        hits += pareto_front(np.column_stack([*accuracies, known]), higher)
    return hits / draws
