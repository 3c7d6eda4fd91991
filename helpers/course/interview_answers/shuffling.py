"""What a mixer between the devices and the server is worth."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from helpers.course.interview_answers.registry import answer
from helpers.errors import InterviewError


def shuffled_epsilon(local: float, reports: int, delta: float) -> float:
    """Epsilon of shuffled reports, each local-epsilon DP (Feldman et al. 2021, Theorem III.1).

    Raises
    ------
    InterviewError
        If the local epsilon is not positive, or larger than the theorem covers.
    """
    most = _largest_covered(reports, delta)
    if not 0 < local <= most:
        raise InterviewError(f"local is {local}: from above 0 to {most:.3g} for {reports} reports.")
    odds = math.exp(local)
    crowd = 8 * math.sqrt(odds * math.log(4 / delta) / reports) + 8 * odds / reports
    return math.log1p((odds - 1) / (odds + 1) * crowd)


@answer
def largest_local_epsilon(epsilon: float, reports: int, delta: float) -> float:
    """Largest epsilon of a single report with which shuffling is proved to reach an epsilon."""
    from scipy.optimize import brentq

    most = _largest_covered(reports, delta)
    if shuffled_epsilon(most, reports, delta) <= epsilon:
        return most
    return float(brentq(lambda e: shuffled_epsilon(e, reports, delta) - epsilon, 1e-9, most))


@answer
def local_epsilon_by_small_rule(epsilon: float, reports: int, delta: float) -> float:
    """The same by the rule for small local epsilons, wherever it is used: a slip."""
    return epsilon * math.sqrt(reports / math.log(4 / delta)) / 4


@answer
def root_of_crowd(epsilon: float, reports: int) -> float:
    """An epsilon times the square root of the crowd: a slip."""
    return epsilon * math.sqrt(reports)


@answer
def lying_share(local: float) -> float:
    """Share of the answers of randomised response that are not meant."""
    return 1 / (1 + math.exp(local))


@answer
def shuffled_coin_epsilon(local: float, reports: int, delta: float) -> float:
    """Epsilon of the number of yeses of randomised responses, when all the others mean no."""
    from scipy.optimize import brentq

    no, yes = (_yeses(local, reports, meant) for meant in (False, True))

    def excess(epsilon: float) -> float:
        factor = math.exp(epsilon)
        sides = (np.maximum(one - factor * other, 0).sum() for one, other in ((no, yes), (yes, no)))
        return float(max(sides)) - delta

    return float(brentq(excess, 0.0, local)) if excess(0.0) > 0 else 0.0


def _largest_covered(reports: int, delta: float) -> float:
    return math.log(reports / (16 * math.log(2 / delta)))


def _yeses(local: float, reports: int, meant: bool) -> NDArray[np.float64]:
    """Law of the number of yeses, of which one report is meant so or not; the rest mean no."""
    from scipy.stats import binom

    lie = lying_share(local)
    others = binom.pmf(np.arange(reports), reports - 1, lie)
    says_yes = 1 - lie if meant else lie
    return np.append(others * (1 - says_yes), 0.0) + np.insert(others * says_yes, 0, 0.0)
