"""What the attacker has in hand: a deployed model that answers, and one with gradients for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from helpers.errors import RobustnessError
from helpers.robustness._checks import checked_pairs, require_known, require_whole
from helpers.robustness.budget import Budget, Norm, distances

if TYPE_CHECKING:
    import tensorflow as tf

Ask = Callable[[NDArray[np.float32]], NDArray[np.floating]]


class Meter:
    """A model that counts what it is asked: one input is one query.

    Attributes
    ----------
    count
        Queries so far.
    """

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self.count = 0

    def __call__(self, inputs: NDArray[np.float32]) -> NDArray[np.floating]:
        """Answer, and count."""
        self.count += len(inputs)
        return self._ask(inputs)


@dataclass(frozen=True, eq=False)
class Target:
    """A model under attack.

    The room knows no file format. ``open_model(path).predict`` of ``helpers.edge`` is an ``ask``;
    ``build_replica(path, logits=True)`` or the model that the file was made from is a ``model``.

    Attributes
    ----------
    ask
        The artefact that ships, and the only judge of success: inputs ``(n, ...)`` float32 to
        scores ``(n, classes)``; logits or probabilities.
    model
        A Keras model, inputs to logits, whose gradients an attacker can have; None if there is
        nothing but queries.
    bounds
        Smallest and largest number that an input may hold.
    name
        For reports.
    """

    ask: Ask
    model: tf.keras.Model | None = None
    bounds: tuple[float, float] = (0.0, 1.0)
    name: str = "target"

    def scores(self, inputs: ArrayLike) -> NDArray[np.float64]:
        """Return the scores that the artefact gives.

        Parameters
        ----------
        inputs
            float32 ``(n, ...)``.

        Returns
        -------
        numpy.ndarray
            float64 ``(n, classes)``.

        Raises
        ------
        RobustnessError
            If the scores do not have one row an input, or hold NaN.
        """
        batch = np.ascontiguousarray(inputs, np.float32)
        scores = np.asarray(self.ask(batch), np.float64)
        if scores.ndim != 2 or len(scores) != len(batch) or np.isnan(scores).any():
            raise RobustnessError(
                f"{self.name!r} answered {len(batch)} inputs with scores of shape {scores.shape}: "
                "expected one row of numbers for each, without NaN."
            )
        return scores

    def labels(self, inputs: ArrayLike) -> NDArray[np.int64]:
        """Return the label that the artefact gives each input, int64 ``(n,)``.

        Raises
        ------
        RobustnessError
            As for :meth:`scores`.
        """
        return np.argmax(self.scores(inputs), axis=1).astype(np.int64)

    def differentiable(self) -> tf.keras.Model:
        """Return the model with gradients.

        Raises
        ------
        RobustnessError
            If there is none.
        """
        if self.model is None:
            raise RobustnessError(
                f"{self.name!r} has no model with gradients: give Target(model=...) the model that "
                "the file was made from or a replica read from it, or attack it with queries."
            )
        return self.model

    def metered(self) -> tuple[Target, Meter]:
        """Return the same target with every question to the artefact counted, and the counter."""
        meter = Meter(self.ask)
        return replace(self, ask=meter), meter


@dataclass(frozen=True, eq=False)
class Outcome:
    """What an attack did, as the deployed artefact sees it. Made by :func:`judge`.

    Attributes
    ----------
    attack
        Name of the attack.
    adversarial
        float32 ``(n, ...)``.
    correct
        bool ``(n,)``: the artefact is right on the clean input.
    fooled
        bool ``(n,)``: the artefact is wrong on the changed input.
    distances
        float64 ``(n,)``: how far each input was moved, in the norm below.
    norm
        ``"linf"`` or ``"l2"``.
    queries
        int64 ``(n,)``: inputs shown to the artefact before the attack had its answer; None for an
        attack that needs no queries.
    """

    attack: str
    adversarial: NDArray[np.float32]
    correct: np.ndarray
    fooled: np.ndarray
    distances: NDArray[np.float64]
    norm: Norm
    queries: NDArray[np.int64] | None = None

    @property
    def robust(self) -> NDArray[np.bool_]:
        """Which inputs are right before and after, ``(n,)``. A clean error needs no attack."""
        return self.correct & ~self.fooled

    @property
    def robust_accuracy(self) -> float:
        """Share of all inputs that are right before and after."""
        return float(self.robust.mean())

    @property
    def success_rate(self) -> float:
        """Share of the inputs once right that are wrong after; NaN if none was right."""
        return float(self.fooled[self.correct].mean()) if self.correct.any() else float("nan")

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Return the exact interval of the robust accuracy (Clopper and Pearson 1934).

        Raises
        ------
        RobustnessError
            If there are no inputs, or the confidence is not between 0 and 1.
        """
        return proportion_interval(int(self.robust.sum()), len(self.robust), confidence)


def judge(
    target: Target,
    inputs: ArrayLike,
    labels: ArrayLike,
    adversarial: ArrayLike,
    *,
    attack: str,
    budget: Budget | None = None,
    norm: Norm = "linf",
    queries: NDArray[np.int64] | None = None,
) -> Outcome:
    """Show the changed inputs to the deployed artefact and check that they kept to the rules.

    Parameters
    ----------
    target
        Whose ``ask`` decides.
    inputs, labels
        Clean inputs ``(n, ...)`` and their true classes ``(n,)``.
    adversarial
        What the attack made of them.
    attack
        Its name.
    budget
        What it had to keep to; None for an attack that looks for the smallest change.
    norm
        In which to measure the change, if there is no budget.
    queries
        Questions that each input took.

    Returns
    -------
    Outcome
        Success and distance of each input.

    Raises
    ------
    RobustnessError
        If a label is none of the artefact's classes, or an input left the bounds or the budget:
        such an attack proves nothing.
    """
    clean, truth = checked_pairs(inputs, labels, target.bounds)
    changed, _ = checked_pairs(adversarial, truth, target.bounds)
    if budget is not None:
        budget.require(clean, changed)
    scores = target.scores(clean)
    require_known(truth, scores)
    measure = norm if budget is None else budget.norm
    return Outcome(
        attack,
        changed,
        np.argmax(scores, axis=1) == truth,
        target.labels(changed) != truth,
        distances(clean, changed, measure),
        measure,
        queries,
    )


def proportion_interval(
    successes: int, trials: int, confidence: float = 0.95
) -> tuple[float, float]:
    """Return the exact two-sided interval of a proportion (Clopper and Pearson 1934).

    Raises
    ------
    RobustnessError
        If a count or the confidence is out of its range.
    """
    for name, count in (("successes", successes), ("trials", trials)):
        require_whole(name, count, at_least=0)
    if not 0 <= successes <= trials or trials < 1 or not 0 < confidence < 1:
        raise RobustnessError(
            f"successes={successes}, trials={trials}, confidence={confidence}: expected "
            "0 <= successes <= trials, at least one trial, and a confidence between 0 and 1."
        )
    found = stats.binomtest(successes, trials).proportion_ci(confidence, method="exact")
    return float(found.low), float(found.high)
