"""From the model with gradients to the file that ships: transfer, worst case, overshoot."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from helpers.robustness._checks import checked_pairs, require_positive, require_whole
from helpers.robustness.budget import Budget, Norm
from helpers.robustness.gradients import Pgd
from helpers.robustness.losses import LossName
from helpers.robustness.queries import square
from helpers.robustness.target import Outcome, Target, judge

LOSSES_IN_TURN: tuple[LossName, ...] = ("cross_entropy", "margin", "dlr")


def transfer(
    target: Target,
    inputs: ArrayLike,
    labels: ArrayLike,
    budget: Budget,
    *,
    loss: LossName = "cross_entropy",
    steps: int = 20,
    restarts: int = 1,
    seed: int = 0,
) -> Outcome:
    """Make adversarial inputs on the model with gradients and show them to the deployed artefact.

    Each restart attacks what still stands in the *artefact*, not in the model.

    Parameters
    ----------
    target
        With a model.
    inputs, labels
        Clean inputs ``(n, ...)`` and true classes ``(n,)``.
    budget
        What may change.
    loss, steps, restarts, seed
        As for :class:`helpers.robustness.gradients.Pgd`.

    Returns
    -------
    Outcome
        Of the artefact.

    Raises
    ------
    RobustnessError
        If the target has no model with gradients, or a setting is out of its range.
    """
    attack = Pgd(target.differentiable(), budget.norm, loss, target.bounds)
    found = attack(
        inputs,
        labels,
        budget.epsilon,
        steps=steps,
        restarts=restarts,
        judge=target.labels,
        seed=seed,
    )
    return judge(target, inputs, labels, found, attack=f"PGD ({loss})", budget=budget)


def worst_case(
    target: Target,
    inputs: ArrayLike,
    labels: ArrayLike,
    budget: Budget,
    *,
    steps: int = 40,
    restarts: int = 2,
    queries: int = 500,
    seed: int = 0,
) -> Outcome:
    """Attack in several ways in turn, each on what the ones before it left standing.

    PGD on the model with gradients climbs the cross-entropy, the margin and the ratio of logits;
    then Square asks the artefact itself, if the budget is an L-infinity one. The idea is
    AutoAttack's (Croce and Hein, ICML 2020): a defence that blinds one of them seldom blinds all.

    Parameters
    ----------
    target
        With a model.
    inputs, labels, budget, steps, restarts, seed
        As for :func:`transfer`.
    queries
        Questions to the artefact for each input that still stands; 0 leaves them out.

    Returns
    -------
    Outcome
        Of the artefact; an upper bound of its robust accuracy, as any attack gives.

    Raises
    ------
    RobustnessError
        If the target has no model with gradients, or a setting is out of its range.
    """
    require_whole("queries", queries, at_least=0)
    clean, truth = checked_pairs(inputs, labels, target.bounds)
    found, model = clean.copy(), target.differentiable()
    standing = np.flatnonzero(target.labels(clean) == truth)
    few_classes = np.asarray(model(clean[:1])).shape[1] < 3  # a ratio of logits needs three
    for loss in LOSSES_IN_TURN[: 2 if few_classes else 3]:
        if not len(standing):
            break
        attack = Pgd(model, budget.norm, loss, target.bounds)
        rows = attack(
            clean[standing],
            truth[standing],
            budget.epsilon,
            steps=steps,
            restarts=restarts,
            judge=target.labels,
            seed=seed,
        )
        standing = _settle(target, found, truth, standing, rows)
    if queries and budget.norm == "linf" and len(standing):
        outcome = square(
            target, clean[standing], truth[standing], budget.epsilon, queries=queries, seed=seed
        )
        _settle(target, found, truth, standing, outcome.adversarial)
    return judge(target, clean, truth, found, attack="worst of several", budget=budget)


def _settle(
    target: Target,
    found: NDArray[np.float32],
    truth: NDArray[np.int64],
    standing: NDArray[np.int64],
    rows: NDArray[np.float32],
) -> NDArray[np.int64]:
    """Write down what an attack made of the standing inputs, and return which still stand."""
    found[standing] = rows
    return standing[target.labels(rows) == truth[standing]]


def overshoot(
    target: Target,
    inputs: ArrayLike,
    labels: ArrayLike,
    adversarial: ArrayLike,
    *,
    attack: str = "overshoot",
    norm: Norm = "l2",
    furthest: float = 4.0,
    points: int = 25,
    refinements: int = 6,
) -> Outcome:
    """Carry minimum-norm attacks on until the deployed artefact changes its mind.

    DeepFool and Carlini-Wagner stop at the boundary of the model that they differentiate. The
    integer file has its boundary a little elsewhere, so they look weak there. Here each one goes on
    along its own line, and the shortest change that fools the artefact is kept.

    Parameters
    ----------
    target
        Only its ``ask`` is used.
    inputs, labels
        Clean inputs ``(n, ...)`` and true classes ``(n,)``.
    adversarial
        Where the attack stopped.
    attack
        Its name.
    norm
        In which the change is reported.
    furthest
        Length to go to, as a multiple of where the attack stopped.
    points
        Places tried on the line from there to ``furthest``, evenly in ratio.
    refinements
        Halvings of the step in which the artefact changed its mind.

    Returns
    -------
    Outcome
        With the queries each input took. An input that never falls stays as the attack left it.

    Raises
    ------
    RobustnessError
        If a setting is out of its range or the shapes differ.
    """
    clean, truth = checked_pairs(inputs, labels, target.bounds)
    stop, _ = checked_pairs(adversarial, truth, target.bounds)
    require_positive("furthest", furthest - 1)
    require_whole("points", points, at_least=1)
    require_whole("refinements", refinements, at_least=0)
    line = _Line(target, clean, stop, truth)
    lengths = np.geomspace(1.0, furthest, points)
    low, high = line.first_fall(lengths)
    for _ in range(refinements):
        middle = (low + high) / 2
        fell = line.falls(middle, np.isfinite(high))
        low, high = np.where(fell, low, middle), np.where(fell, middle, high)
    found = np.where(_wide(np.isfinite(high), clean), line.at(high), stop)
    return judge(target, clean, truth, found, attack=attack, norm=norm, queries=line.queries)


class _Line:
    """Lines from clean inputs through what an attack made of them, and what a target says there."""

    def __init__(
        self,
        target: Target,
        clean: NDArray[np.float32],
        stop: NDArray[np.float32],
        truth: NDArray[np.int64],
    ) -> None:
        self._target, self._clean, self._stop, self._truth = target, clean, stop, truth
        self.queries = np.zeros(len(clean), np.int64)

    def at(self, lengths: NDArray[np.float64]) -> NDArray[np.float32]:
        """Return the points at some multiples of the attacks' own length, within the bounds."""
        finite = _wide(np.where(np.isfinite(lengths), lengths, 1.0), self._clean)
        points = self._clean + finite.astype(np.float32) * (self._stop - self._clean)
        return np.clip(points, *self._target.bounds)

    def falls(self, lengths: NDArray[np.float64], asked: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Ask the target there, for some of the inputs."""
        fell = np.zeros(len(lengths), np.bool_)
        if asked.any():
            fell[asked] = self._target.labels(self.at(lengths)[asked]) != self._truth[asked]
            self.queries += asked
        return fell

    def first_fall(
        self, lengths: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the last length that held and the first that fell; infinity if none did."""
        low = np.zeros(len(self._clean))
        high = np.full(len(self._clean), np.inf)
        for length in lengths:
            open_ = np.isinf(high)
            everywhere = np.full(len(high), length)
            fell = self.falls(everywhere, open_)
            high[fell] = length
            low[open_ & ~fell] = length
        return low, high


def _wide(values: NDArray, inputs: NDArray) -> NDArray:
    return values.reshape(-1, *[1] * (inputs.ndim - 1))


def surrogates(
    target: Target,
    models: Sequence[Callable[..., object]],
    inputs: ArrayLike,
    labels: ArrayLike,
    budget: Budget,
    *,
    steps: int = 20,
    seed: int = 0,
) -> list[Outcome]:
    """Attack the artefact with inputs made on models that only resemble it.

    Parameters
    ----------
    target
        Only its ``ask`` is used.
    models
        Keras models of the same task, inputs to logits.
    inputs, labels, budget, steps, seed
        As for :func:`transfer`.

    Returns
    -------
    list of Outcome
        One a model, of the artefact.
    """
    outcomes = []
    for number, model in enumerate(models):
        found = Pgd(model, budget.norm, bounds=target.bounds)(
            inputs, labels, budget.epsilon, steps=steps, judge=target.labels, seed=seed
        )
        name = f"transfer from {getattr(model, 'name', number)}"
        outcomes.append(judge(target, inputs, labels, found, attack=name, budget=budget))
    return outcomes
