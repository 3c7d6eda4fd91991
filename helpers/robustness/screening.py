"""Detectors of adversarial inputs, their ROC curve, and the attacker who knows the detector.

A detector gives every input a number, its suspicion, from what the artefact answers. A threshold
set on clean inputs turns it into an alarm. The attacker has won with a wrong answer *and* no alarm.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from helpers.errors import RobustnessError
from helpers.robustness._checks import checked_pairs, require_whole
from helpers.robustness.budget import Budget
from helpers.robustness.gradients import Pgd, straight_through
from helpers.robustness.losses import margin
from helpers.robustness.target import Outcome, Target, judge, proportion_interval
from helpers.robustness.transformations import Transformation, fewer_levels, median

SLACK = 0.8  # share of the threshold that an adaptive attacker aims below
FIRST = 1e3  # far above any margin: an error counts for more than any calm


class Detector(Protocol):
    """What gives an input a suspicion from a model's answers, more the more suspicious."""

    @property
    def name(self) -> str:
        """For reports."""

    def suspicion(self, probabilities: Callable[[Any], Any], inputs: Any) -> Any:
        """Return the suspicion of each input, a tensor ``(n,)``.

        Parameters
        ----------
        probabilities
            Tensor of inputs to tensor of class probabilities ``(n, classes)``.
        inputs
            Tensor ``(n, ...)``.
        """


@dataclass(frozen=True)
class Unsure:
    """One less the highest probability: a model is often less sure of what was made to fool it.

    Hendrycks and Gimpel, *A baseline for detecting misclassified and out-of-distribution examples
    in neural networks*, ICLR 2017.
    """

    name: str = "low confidence"

    def suspicion(self, probabilities: Callable[[Any], Any], inputs: Any) -> Any:
        """Return one less the highest probability, a tensor ``(n,)``."""
        return 1 - tf.reduce_max(probabilities(inputs), axis=1)


@dataclass(frozen=True)
class FeatureSqueezing:
    """How far the answer moves when the input is squeezed: the largest L1 distance of any squeezer.

    Xu, Evans and Qi, *Feature squeezing: detecting adversarial examples in deep neural networks*,
    NDSS 2018, section V. Each squeezer costs the device one more inference an input.

    Attributes
    ----------
    squeezers
        One or more, not random; the paper takes one bit and a 2 x 2 median for MNIST.
    name
        For reports.

    Raises
    ------
    RobustnessError
        If there is no squeezer, or one of them is random.
    """

    squeezers: Sequence[Transformation] = field(
        default_factory=lambda: (fewer_levels(1), median(2))
    )
    name: str = "feature squeezing"

    def __post_init__(self) -> None:
        if not self.squeezers or any(squeezer.random for squeezer in self.squeezers):
            raise RobustnessError("Feature squeezing needs squeezers, none of them random.")

    def suspicion(self, probabilities: Callable[[Any], Any], inputs: Any) -> Any:
        """Return the largest L1 distance of the answers, a tensor ``(n,)``."""
        given, moved = probabilities(inputs), []
        for squeezer in self.squeezers:
            squeezed = _squeeze_with(squeezer)(inputs)
            moved.append(tf.reduce_sum(tf.abs(given - probabilities(squeezed)), axis=1))
        return tf.reduce_max(tf.stack(moved), axis=0)


@dataclass(frozen=True, eq=False)
class Guard:
    """An artefact with a detector beside it. Made by :func:`calibrate`.

    Attributes
    ----------
    target
        The artefact.
    detector
        Gives the suspicion.
    threshold
        An input more suspicious than this raises the alarm.
    """

    target: Target
    detector: Detector
    threshold: float

    def suspicion(self, inputs: ArrayLike) -> NDArray[np.float64]:
        """Return the suspicion of each input from the artefact's answers, float64 ``(n,)``."""
        return suspicion(self.target, self.detector, inputs)

    def alarms(self, inputs: ArrayLike) -> NDArray[np.bool_]:
        """Return which inputs raise the alarm, bool ``(n,)``."""
        return self.suspicion(inputs) > self.threshold

    @cached_property
    def _outputs(self) -> Callable[[Any], Any]:
        return _with_detector(self)  # the same function each time, so that PGD compiles it once


@dataclass(frozen=True, eq=False)
class Screened:
    """What an attack did to a guarded artefact.

    Attributes
    ----------
    outcome
        Of the artefact alone.
    alarmed
        bool ``(n,)``: the changed input raises the alarm.
    """

    outcome: Outcome
    alarmed: np.ndarray

    @property
    def evading(self) -> NDArray[np.bool_]:
        """Inputs once right that are now wrong without an alarm, ``(n,)``."""
        return self.outcome.correct & self.outcome.fooled & ~self.alarmed

    @property
    def evasion_rate(self) -> float:
        """Share of the inputs once right that are now wrong without an alarm."""
        return float(self.evading.sum() / max(1, self.outcome.correct.sum()))

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Return the exact interval of the evasion rate."""
        trials = int(self.outcome.correct.sum())
        return proportion_interval(int(self.evading.sum()), trials, confidence)


@dataclass(frozen=True, eq=False)
class Roc:
    """How a detector trades false alarms for detections.

    Attributes
    ----------
    false_alarms, detected
        float64 ``(k,)``, rising from 0 to 1: shares of clean and of adversarial inputs above one
        threshold after another.
    area
        Chance that an adversarial input is more suspicious than a clean one; ties count half.
    deviation
        Standard error of the area (DeLong, DeLong and Clarke-Pearson, *Biometrics* 1988).
    """

    false_alarms: NDArray[np.float64]
    detected: NDArray[np.float64]
    area: float
    deviation: float

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Return the interval of the area by the normal law, within [0, 1]."""
        reach = float(stats.norm.isf((1 - confidence) / 2)) * self.deviation
        return max(0.0, self.area - reach), min(1.0, self.area + reach)


def suspicion(target: Target, detector: Detector, inputs: ArrayLike) -> NDArray[np.float64]:
    """Return the suspicion of inputs from what an artefact answers.

    Parameters
    ----------
    target
        Only its ``ask`` is used; logits and probabilities both do.
    detector
        What looks at the answers.
    inputs
        ``(n, ...)``.

    Returns
    -------
    numpy.ndarray
        float64 ``(n,)``.
    """

    def probabilities(rows: Any) -> Any:
        scores = target.scores(np.asarray(rows))
        if (scores < 0).any() or np.abs(scores.sum(axis=1) - 1).max() > 0.05:  # logits
            scores = np.asarray(tf.nn.softmax(scores))
        return tf.constant(scores)

    return np.asarray(
        detector.suspicion(probabilities, tf.constant(inputs, tf.float32)), np.float64
    )


def calibrate(
    target: Target, detector: Detector, inputs: ArrayLike, false_alarms: float = 0.05
) -> Guard:
    """Set a detector's threshold so that few clean inputs raise the alarm.

    Parameters
    ----------
    target, detector
        What is guarded, and by what.
    inputs
        Clean inputs ``(n, ...)`` that nothing else is measured on.
    false_alarms
        Largest share of them that may raise it, between 0 and 1.

    Returns
    -------
    Guard
        With the lowest threshold that does.

    Raises
    ------
    RobustnessError
        If the share is out of its range, or below what so few inputs can show.
    """
    values = np.sort(suspicion(target, detector, inputs))
    if not 1 / len(values) <= false_alarms < 1:
        raise RobustnessError(
            f"false_alarms={false_alarms!r} must lie between 1/{len(values)}, one of the inputs, "
            "and 1."
        )
    return Guard(target, detector, float(values[len(values) - 1 - int(false_alarms * len(values))]))


def roc(clean: ArrayLike, adversarial: ArrayLike) -> Roc:
    """Return the ROC curve of suspicions.

    Parameters
    ----------
    clean, adversarial
        Suspicions ``(n,)`` and ``(m,)``, at least two of each.

    Returns
    -------
    Roc
        Curve, and area with its standard error.

    Raises
    ------
    RobustnessError
        If there are too few, or one is NaN.
    """
    from sklearn.metrics import roc_curve

    negative, positive = (np.asarray(values, np.float64).ravel() for values in (clean, adversarial))
    if min(len(negative), len(positive)) < 2:
        raise RobustnessError("A ROC curve with an interval needs two clean and two adversarial.")
    if np.isnan(negative).any() or np.isnan(positive).any():
        raise RobustnessError("NaN among the suspicions: they cannot be put in order.")
    truth = np.repeat([0, 1], [len(negative), len(positive)])
    false, true, _ = roc_curve(truth, np.concatenate([negative, positive]))
    wins = (positive[:, None] > negative) + 0.5 * (positive[:, None] == negative)
    variance = wins.mean(axis=1).var(ddof=1) / len(positive)
    variance += wins.mean(axis=0).var(ddof=1) / len(negative)
    return Roc(false, true, float(wins.mean()), float(np.sqrt(variance)))


def screen(guard: Guard, outcome: Outcome) -> Screened:
    """Show the inputs of an attack to the detector; the attack may know nothing of it."""
    return Screened(outcome, guard.alarms(outcome.adversarial))


def evade(
    guard: Guard,
    inputs: ArrayLike,
    labels: ArrayLike,
    budget: Budget,
    *,
    steps: int = 60,
    restarts: int = 2,
    seed: int = 0,
) -> Screened:
    """Attack a guarded artefact knowing the detector: be wrong, and raise no alarm.

    PGD climbs one thing after the other: the margin until the model errs, and from there how far
    the suspicion lies below the threshold. Climbing both at once would stop at the boundary, where
    the suspicion of many a detector is highest.

    Parameters
    ----------
    guard
        Its target needs a model with gradients.
    inputs, labels, budget
        Clean inputs ``(n, ...)``, true classes ``(n,)``, what may change.
    steps, restarts, seed
        Of PGD; each restart attacks what has not won on the artefact.

    Returns
    -------
    Screened
        Of the artefact and its detector.

    Raises
    ------
    RobustnessError
        If there is no model, or a setting is out of its range.

    References
    ----------
    Carlini and Wagner, *Adversarial examples are not easily detected: bypassing ten detection
    methods*, AISec 2017, where the detector becomes one more class.
    """
    clean, truth = checked_pairs(inputs, labels, guard.target.bounds)
    require_whole("restarts", restarts, at_least=1)
    attack = Pgd(guard._outputs, budget.norm, _in_turn, guard.target.bounds)
    found, standing = clean.copy(), np.arange(len(clean))
    for restart in range(restarts):
        if not len(standing):
            break
        rows, goal = clean[standing], truth[standing]
        found[standing] = attack(rows, goal, budget.epsilon, steps=steps, seed=seed + restart)
        wrong = guard.target.labels(found[standing]) != goal
        standing = standing[~wrong | guard.alarms(found[standing])]
    name = f"PGD around {guard.detector.name}"
    return screen(guard, judge(guard.target, clean, truth, found, attack=name, budget=budget))


def _with_detector(guard: Guard) -> Callable[[Any], Any]:
    """Logits, and in one more column how far below the threshold the suspicion lies."""
    model = guard.target.differentiable()
    aim = SLACK * guard.threshold

    def outputs(inputs: Any) -> Any:
        logits = model(inputs)

        def probabilities(rows: Any) -> Any:
            return tf.nn.softmax(logits if rows is inputs else model(rows))

        calm = (aim - guard.detector.suspicion(probabilities, inputs)) / max(aim, 1e-6)
        return tf.concat([logits, calm[:, None]], axis=1)

    return outputs


def _in_turn(outputs: Any, labels: Any) -> Any:
    error = margin(outputs[:, :-1], labels)
    return tf.where(error > 0, outputs[:, -1], error - FIRST)


def _squeeze_with(squeezer: Transformation) -> Callable[[Any], Any]:
    def forward(inputs: Any) -> Any:
        return squeezer.operation(inputs, None)  # it draws nothing

    return forward if squeezer.differentiable else straight_through(forward)
