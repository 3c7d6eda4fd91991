"""White-box attacks: FGSM and projected gradient descent, compiled into one graph."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, get_args

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike, NDArray

from helpers.errors import RobustnessError
from helpers.robustness._checks import (
    checked_pairs,
    require_choice,
    require_not_negative,
    require_whole,
)
from helpers.robustness._traced import answer, traced
from helpers.robustness.budget import Budget, Norm
from helpers.robustness.losses import Loss, LossName, find_loss, require_logits

BATCH = 256
# Inputs -> labels.
Judge = Callable[[NDArray[np.float32]], NDArray[np.int64]]


class Pgd:
    """Projected gradient descent on the inputs of one model.

    The whole loop is one compiled graph, traced at the first call and used for every radius, number
    of steps and batch size after it. Of all iterates it keeps the one that fools the model by most.

    Parameters
    ----------
    model
        Keras model, or any differentiable function: inputs ``(n, ...)`` float32 to logits.
    norm
        ``"linf"`` (steps by the sign of the gradient) or ``"l2"`` (by its direction).
    loss
        ``"cross_entropy"``, ``"margin"``, ``"dlr"`` or a function of outputs and labels that gives
        one number an input, more the more wrong.
    bounds
        Smallest and largest number that an input may hold.
    targeted
        Whether labels are what the attacker wants, instead of what is true.
    samples
        Draws over which the gradient is averaged, for a model that answers at random (expectation
        over transformation; Athalye, Engstrom, Ilyas and Kwok, *Synthesizing robust adversarial
        examples*, ICML 2018).

    Raises
    ------
    RobustnessError
        If a setting is unknown or out of its range.

    References
    ----------
    Madry, Makelov, Schmidt, Tsipras and Vladu, *Towards deep learning models resistant to
    adversarial attacks*, ICLR 2018, section 2.1.
    """

    def __init__(
        self,
        model: Callable[[Any], Any],
        norm: Norm = "linf",
        loss: LossName | Loss = "cross_entropy",
        bounds: tuple[float, float] = (0.0, 1.0),
        *,
        targeted: bool = False,
        samples: int = 1,
    ) -> None:
        require_choice("norm", norm, get_args(Norm))
        require_whole("samples", samples, at_least=1)
        self.norm, self.bounds, self.targeted = norm, bounds, targeted
        self._needs_logits = not callable(loss)
        self._classes: int | None = None
        self._climb = _Climb(model, norm, find_loss(loss), bounds, targeted, samples)
        self._loops: dict[tuple[int, ...], Callable[..., Any]] = {}

    def __call__(
        self,
        inputs: ArrayLike,
        labels: ArrayLike,
        epsilon: float,
        *,
        steps: int = 20,
        step_size: float | None = None,
        restarts: int = 1,
        random_start: bool = True,
        judge: Judge | None = None,
        seed: int = 0,
    ) -> NDArray[np.float32]:
        """Attack a set of inputs.

        Parameters
        ----------
        inputs, labels
            ``(n, ...)`` within the bounds, and class indices ``(n,)``.
        epsilon
            Radius of the budget.
        steps
            Gradient steps a restart.
        step_size
            Length of a step; 2.5 ``epsilon / steps`` when left out.
        restarts
            Attempts, each from a start of its own. An input that is fooled is left alone in the
            next, so a further restart never undoes a success.
        random_start
            Whether to start anywhere in the budget instead of at the clean input.
        judge
            Says the label of changed inputs, such as ``target.labels`` of the deployed file; the
            model itself when left out. It decides which inputs another restart attacks.
        seed
            Of the random starts; an input's starts do not depend on which others are attacked.

        Returns
        -------
        numpy.ndarray
            float32 ``(n, ...)`` within the budget and the bounds.

        Raises
        ------
        RobustnessError
            If a setting is out of its range, or the model gives probabilities to a loss that is
            made for logits.
        """
        clean, wanted = checked_pairs(inputs, labels, self.bounds)
        budget = Budget(epsilon, self.norm)
        require_whole("steps", steps, at_least=1)
        require_whole("restarts", restarts, at_least=1)
        step = 2.5 * epsilon / steps if step_size is None else step_size
        require_not_negative("step_size", step)
        if restarts > 1 and not random_start:
            raise RobustnessError(f"restarts={restarts} from one and the same start: nothing new.")
        self._check_outputs(clean, wanted)
        found, open_ = clean.copy(), np.arange(len(clean))
        for restart in range(restarts):
            start = clean
            if random_start:
                start = _random_start(clean, budget, self.bounds, (seed, restart))
            rows = self._attempt(clean[open_], wanted[open_], start[open_], epsilon, step, steps)
            found[open_] = rows
            if restart + 1 < restarts:
                open_ = open_[~self._has_won(rows, wanted[open_], judge)]
                if not len(open_):
                    break
        budget.require(clean, found)
        return found

    def _attempt(
        self,
        clean: NDArray[np.float32],
        labels: NDArray[np.int64],
        start: NDArray[np.float32],
        epsilon: float,
        step: float,
        steps: int,
    ) -> NDArray[np.float32]:
        climb = self._compiled(clean.shape[1:])
        settings = (np.float32(epsilon), np.float32(step), np.int32(steps))
        parts = [
            climb(*(tf.constant(a[i : i + BATCH]) for a in (clean, labels, start)), *settings)
            for i in range(0, len(clean), BATCH)
        ]
        return np.concatenate([part.numpy() for part in parts])

    def _compiled(self, shape: tuple[int, ...]) -> Callable[..., Any]:
        """Trace the loop once for inputs of one shape, whatever the radius, steps and batch."""
        climb = self._climb
        kept = traced(
            (climb.model, climb.loss),
            (climb.norm, climb.bounds, climb.targeted, climb.samples, shape),
            lambda model, loss: _loop(replace(climb, model=model, loss=loss), shape),
        )
        if kept is not None:
            return kept
        if shape not in self._loops:
            self._loops[shape] = _loop(climb, shape)
        return self._loops[shape]

    def _has_won(
        self, rows: NDArray[np.float32], labels: NDArray[np.int64], judge: Judge | None
    ) -> NDArray[np.bool_]:
        given = self._labels(rows) if judge is None else np.asarray(judge(rows))
        won: NDArray[np.bool_] = (given == labels) if self.targeted else (given != labels)
        return won

    def _labels(self, rows: NDArray[np.float32]) -> NDArray[np.int64]:
        parts = [rows[i : i + BATCH] for i in range(0, len(rows), BATCH)]
        outputs = [self._climb.outputs(tf.constant(part)) for part in parts]
        return np.concatenate([np.argmax(part, axis=1) for part in outputs])

    def _check_outputs(self, rows: NDArray[np.float32], labels: NDArray[np.int64]) -> None:
        if self._classes is None:  # once: a model called outside a graph is slow
            outputs = np.asarray(self._climb.outputs(tf.constant(rows[:8])))
            if self._needs_logits:
                require_logits(outputs)
            self._classes = int(outputs.shape[-1])
        if labels.max() >= self._classes:
            raise RobustnessError(f"label {labels.max()}, but {self._classes} classes.")


def fgsm(
    model: Callable[[Any], Any],
    inputs: ArrayLike,
    labels: ArrayLike,
    epsilon: float,
    norm: Norm = "linf",
    loss: LossName | Loss = "cross_entropy",
    bounds: tuple[float, float] = (0.0, 1.0),
) -> NDArray[np.float32]:
    """Attack with one step as long as the budget: the best there is against a linear model.

    Parameters
    ----------
    model, norm, loss, bounds
        As for :class:`Pgd`.
    inputs, labels, epsilon
        As for a call of it.

    Returns
    -------
    numpy.ndarray
        float32 ``(n, ...)`` within the budget and the bounds.

    References
    ----------
    Goodfellow, Shlens and Szegedy, *Explaining and harnessing adversarial examples*, ICLR 2015,
    section 4.
    """
    attack = Pgd(model, norm, loss, bounds)
    return attack(inputs, labels, epsilon, steps=1, step_size=epsilon, random_start=False)


def straight_through(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Give a function without a useful gradient that of the identity.

    Rounding has a gradient of zero, so a model behind it looks robust to whoever differentiates. An
    attacker puts the real function into the forward pass and the identity into the backward one:
    the straight-through estimator (Bengio, Léonard and Courville, arXiv:1308.3432), which as an
    attack is BPDA (Athalye, Carlini and Wagner, *Obfuscated gradients give a false sense of
    security*, ICML 2018, section 4.1).

    Parameters
    ----------
    function
        Of a tensor, giving one of the same shape, close to what it was given.

    Returns
    -------
    callable
        The same function, with gradients that pass unchanged.
    """

    def passed(inputs: Any) -> Any:
        return inputs + tf.stop_gradient(function(inputs) - inputs)

    return passed


def vanishing_gradients(
    model: Callable[[Any], Any],
    inputs: ArrayLike,
    labels: ArrayLike,
    loss: LossName | Loss = "cross_entropy",
) -> float:
    """Return the share of inputs whose gradient is exactly zero, or not a number.

    Parameters
    ----------
    model, loss
        As for :class:`Pgd`.
    inputs, labels
        ``(n, ...)`` and class indices ``(n,)``.

    Returns
    -------
    float
        0 for a model that can be attacked; near 1 where the gradient is masked.
    """
    rows, classes = checked_pairs(inputs, labels, (-np.inf, np.inf))
    climb, dead = find_loss(loss), 0
    for i in range(0, len(rows), BATCH):
        batch = tf.constant(rows[i : i + BATCH])
        with tf.GradientTape() as tape:
            tape.watch(batch)
            losses = climb(model(batch), tf.constant(classes[i : i + BATCH]))
        longest = (
            np.abs(np.asarray(_gradient(tape, losses, batch))).reshape(len(batch), -1).max(axis=1)
        )
        dead += int((~(longest > 0)).sum())
    return dead / len(rows)


@dataclass(frozen=True, eq=False)
class _Climb:
    """The loop of an attack, as operations to be traced."""

    model: Callable[[Any], Any]
    norm: Norm
    loss: Loss
    bounds: tuple[float, float]
    targeted: bool
    samples: int

    def run(self, clean: Any, labels: Any, start: Any, epsilon: Any, step: Any, steps: Any) -> Any:
        """Take the steps, and return the best iterate of each input."""
        low, high = self.bounds
        corners = tf.maximum(clean - epsilon, low), tf.minimum(clean + epsilon, high)
        current = best = start
        most = tf.fill(tf.shape(labels), np.float32(-np.inf))
        won = tf.zeros_like(labels, tf.bool)
        for _ in tf.range(steps):
            with tf.GradientTape() as tape:
                tape.watch(current)
                losses, hits = self.judge(current, labels)
            gradient = _gradient(tape, losses, current)
            best, most, won = _keep(current, losses, hits, best, most, won)
            moved = current + step * _direction(gradient, self.norm)
            current = tf.ensure_shape(self.project(clean, moved, epsilon, corners), start.shape)
        losses, hits = self.judge(current, labels)
        return _keep(current, losses, hits, best, most, won)[0]

    def judge(self, inputs: Any, labels: Any) -> tuple[Any, Any]:
        """How good each input is for the attacker, ``(n,)``, and whether it has won, ``(n,)``."""
        outputs = [self.outputs(inputs) for _ in range(self.samples)]
        losses = tf.add_n([self.loss(each, labels) for each in outputs]) / self.samples
        given = tf.argmax(tf.add_n(outputs), axis=1, output_type=labels.dtype)
        if self.targeted:
            return -losses, tf.equal(given, labels)
        return losses, tf.not_equal(given, labels)

    def outputs(self, inputs: Any) -> Any:
        """What the model says, in inference mode."""
        return answer(self.model, inputs)

    def project(self, clean: Any, moved: Any, epsilon: Any, corners: tuple[Any, Any]) -> Any:
        """Move inputs back into the budget and the bounds; the corners are those of an L∞ box."""
        if self.norm == "linf":
            return tf.minimum(tf.maximum(moved, corners[0]), corners[1])
        change = moved - clean
        change *= tf.minimum(1.0, epsilon / tf.maximum(_length(change), 1e-12))
        return tf.clip_by_value(clean + change, *self.bounds)


def _loop(climb: _Climb, shape: tuple[int, ...]) -> Callable[..., Any]:
    inputs, labels = tf.TensorSpec((None, *shape), tf.float32), tf.TensorSpec((None,), tf.int64)
    number, count = tf.TensorSpec((), tf.float32), tf.TensorSpec((), tf.int32)
    signature = (inputs, labels, inputs, number, number, count)
    compiled: Callable[..., Any] = tf.function(climb.run, input_signature=signature)
    return compiled


def _gradient(tape: tf.GradientTape, losses: Any, inputs: Any) -> Any:
    # Rounding cuts the graph: to whoever differentiates, nothing depends on the input any more.
    return tape.gradient(losses, inputs, unconnected_gradients=tf.UnconnectedGradients.ZERO)


def _keep(
    current: Any, losses: Any, hits: Any, best: Any, most: Any, won: Any
) -> tuple[Any, Any, Any]:
    """Keep the better of two iterates, input by input: one that wins, then the larger loss."""
    better = (hits & ~won) | (tf.equal(hits, won) & (losses > most))
    shaped = tf.reshape(better, [-1, *[1] * (len(current.shape) - 1)])
    return (
        tf.where(shaped, current, best),
        tf.where(better, losses, most),
        tf.where(better, hits, won),
    )


def _direction(gradient: Any, norm: Norm) -> Any:
    return tf.sign(gradient) if norm == "linf" else gradient / tf.maximum(_length(gradient), 1e-12)


def _length(values: Any) -> Any:
    axes = list(range(1, len(values.shape)))
    return tf.sqrt(tf.reduce_sum(tf.square(values), axis=axes, keepdims=True))


def _random_start(
    clean: NDArray[np.float32], budget: Budget, bounds: tuple[float, float], seed: tuple[int, int]
) -> NDArray[np.float32]:
    """Points drawn evenly from the budget around each input, then clipped to the bounds."""
    rng = np.random.default_rng(seed)
    if budget.norm == "linf":
        change = rng.uniform(-budget.epsilon, budget.epsilon, clean.shape)
    else:
        change = rng.normal(size=clean.shape)
        rows = change.reshape(len(clean), -1)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        rows *= budget.epsilon * rng.random((len(clean), 1)) ** (1 / rows.shape[1])
    return budget.project(clean, clean + change, bounds)
