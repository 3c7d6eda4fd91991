"""The strength of an attack, chosen against the very rule that the server applies.

An attack with a fixed factor measures how well a defence guesses that factor. Here the adversary
tries factors on the server's rule, which it knows, and sends the one that does most harm.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from helpers.errors import TaskError
from helpers.federated.byzantine.adversary import AttackView
from helpers.federated.validation import require_positive, require_whole

Objective = Literal["distance", "descent"]

_GOLDEN = (5**0.5 - 1) / 2


@dataclass(frozen=True)
class Optimised:
    """An attack whose factor is searched anew each round against the server's rule.

    The factor's damage has jumps (Krum picks another update) and is rarely unimodal, so two thirds
    of the tries are spread over the whole range on a logarithmic scale; the rest narrow down, by
    golden sections, between the neighbours of the best one. A factor that harms only in a narrow
    band between two tries is missed, but what is sent never does less harm than the attack as it
    is given.

    Attributes
    ----------
    attack
        One with a factor: :class:`SignFlip`, :class:`InnerProductManipulation`,
        :class:`ALittleIsEnough` or :class:`ModelReplacement`.
    objective
        ``"distance"`` drives the aggregate as far as possible from the honest mean (as ByzFL's
        and Allouah et al.'s optimised attacks do); ``"descent"`` makes it point as far as
        possible against the honest mean.
    evaluations
        Number of factors tried a round beside the attack's own, at least 6.
    low, high
        Range of the factor.

    Raises
    ------
    TaskError
        If the attack has no factor or a setting is out of range.
    """

    attack: Any
    objective: Objective = "distance"
    evaluations: int = 18
    low: float = 0.1
    high: float = 20.0

    def __post_init__(self) -> None:
        if not hasattr(self.attack, "strength"):
            raise TaskError(
                f"{self.attack!r} has no factor to optimise: use SignFlip, "
                "InnerProductManipulation, ALittleIsEnough or ModelReplacement."
            )
        if self.objective not in ("distance", "descent"):
            raise TaskError(f'objective={self.objective!r} must be "distance" or "descent".')
        require_whole("evaluations", self.evaluations, at_least=6)
        require_positive("low", self.low)
        require_positive("high", self.high)
        if self.low >= self.high:
            raise TaskError(f"low={self.low} must be below high={self.high}.")

    def __call__(self, view: AttackView) -> np.ndarray:
        """Return the updates sent, ``(b, d)``."""
        mean = view.honest.mean(axis=0, dtype=np.float64)

        def damage(sent: np.ndarray) -> float:
            aggregate = view.response(sent)
            if self.objective == "descent":
                return -float(aggregate @ mean)
            return float(np.linalg.norm(aggregate - mean))

        def scaled(logarithm: float) -> np.ndarray:
            strength = {self.attack.strength: float(np.exp(logarithm))}
            return np.asarray(dataclasses.replace(self.attack, **strength)(view))

        low, high = float(np.log(self.low)), float(np.log(self.high))
        best = line_search(lambda x: damage(scaled(x)), low, high, self.evaluations)
        return max(scaled(best), np.asarray(self.attack(view)), key=damage)


def line_search(
    function: Callable[[float], float], low: float, high: float, evaluations: int
) -> float:
    """Look for the largest value of a function of one number, which may have jumps.

    Parameters
    ----------
    function
        What to maximise.
    low, high
        Range of its argument.
    evaluations
        Number of calls, at least 6: two thirds of them evenly spaced, the others by golden
        sections between the neighbours of the best.

    Returns
    -------
    float
        The best argument that was tried.

    Raises
    ------
    TaskError
        If the range is none, or there are fewer calls than six.
    """
    require_whole("evaluations", evaluations, at_least=6)
    if not -math.inf < low < high < math.inf:
        raise TaskError(f"low={low} and high={high} must be finite and rise.")
    grid = np.linspace(low, high, evaluations - evaluations // 3)
    tried = {float(point): function(float(point)) for point in grid}
    best = max(range(len(grid)), key=lambda index: tried[float(grid[index])])
    left, right = float(grid[max(best - 1, 0)]), float(grid[min(best + 1, len(grid) - 1)])
    inner = [right - _GOLDEN * (right - left), left + _GOLDEN * (right - left)]
    for _ in range(evaluations // 3):
        point = next((p for p in inner if p not in tried), inner[0])
        tried[point] = function(point)
        if not all(p in tried for p in inner):
            continue
        if tried[inner[0]] >= tried[inner[1]]:
            right = inner[1]
            inner = [right - _GOLDEN * (right - left), inner[0]]
        else:
            left = inner[0]
            inner = [inner[1], left + _GOLDEN * (right - left)]
    return max(tried, key=lambda point: tried[point])
