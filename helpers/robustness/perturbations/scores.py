"""One number for many perturbations: the mean performance under corruption, and its share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from helpers.errors import RobustnessError


@dataclass(frozen=True)
class Robustness:
    """How performance holds under perturbations.

    Attributes
    ----------
    clean
        Performance on clean data, such as mAP.
    by_perturbation
        Mean over the severities, for each perturbation.
    mpc
        Mean performance under corruption: the mean of those means.
    relative
        ``mpc / clean``: the share of clean performance that is left.
    """

    clean: float
    by_perturbation: dict[str, float]
    mpc: float
    relative: float

    @property
    def worst(self) -> str:
        """The perturbation that hurts most."""
        return min(self.by_perturbation, key=self.by_perturbation.__getitem__)


def robustness(clean: float, scores: Mapping[str, Sequence[float]]) -> Robustness:
    """Sum up scores under perturbations.

    Parameters
    ----------
    clean
        Score on clean data, above 0; higher is better.
    scores
        For each perturbation, the score at each severity. All the same number.

    Returns
    -------
    Robustness
        mPC and relative mPC.

    Raises
    ------
    RobustnessError
        If there are no scores, their numbers differ, one is negative or not finite or the clean one
        not positive.

    References
    ----------
    Michaelis et al., *Benchmarking robustness in object detection: autonomous driving when winter
    is coming*, 2019, arXiv:1907.07484, equations 1 and 2.
    """
    lengths = {len(values) for values in scores.values()}
    if len(lengths) != 1 or 0 in lengths:
        raise RobustnessError(
            f"Perturbations have {sorted(lengths)} severities; all need the same number, above 0."
        )
    table = np.array(list(scores.values()), np.float64)
    if not (np.isfinite(table).all() and np.isfinite(clean) and clean > 0):
        raise RobustnessError(f"Scores must be finite and the clean one above 0; it is {clean!r}.")
    if table.min() < 0:
        raise RobustnessError(f"Scores must be at least 0; one is {table.min():g}.")
    means = {name: float(np.mean(values)) for name, values in scores.items()}
    mpc = float(table.mean())
    return Robustness(float(clean), means, mpc, mpc / float(clean))
