"""Adversarial training: FGSM, fast, free, PGD and TRADES, and a watch for catastrophic overfitting.

A network trained on one-step examples can, from one epoch to the next, learn to fool that one step:
it withstands FGSM as well as ever and PGD not at all. So after each epoch both attack held-out
inputs; where they part, training stops. The weights of the best epoch come back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike, NDArray
from tqdm import tqdm

from helpers.robustness._checks import (
    checked_pairs,
    require_choice,
    require_not_negative,
    require_positive,
    require_whole,
)
from helpers.robustness._training import batches, copy_to_train, finite
from helpers.robustness.gradients import Pgd
from helpers.robustness.losses import cross_entropy

Method = Literal["plain", "fgsm", "fast", "free", "pgd", "trades"]
FROM_CLEAN = ("plain", "fgsm")  # methods that perturb the clean input, not a random start
WATCH_STEPS = 10


@dataclass(frozen=True)
class Settings:
    """How to train.

    Attributes
    ----------
    method
        ``"plain"``: on clean inputs. ``"fgsm"``: one step from the clean input (Goodfellow, Shlens
        and Szegedy, ICLR 2015), prone to catastrophic overfitting. ``"fast"``: one step from a
        random start (Wong, Rice and Kolter, *Fast is better than free*, ICLR 2020). ``"free"``:
        each batch several times, one gradient for weights and perturbation both (Shafahi et al.,
        *Adversarial training for free!*, NeurIPS 2019). ``"pgd"``: several steps (Madry et al.,
        ICLR 2018). ``"trades"``: clean loss, and ``beta`` times how far an attack moves the answer
        (Zhang et al., *Theoretically principled trade-off between robustness and accuracy*, ICML
        2019).
    epochs
        Passes over the inputs; ``"free"`` takes fewer, for the same number of updates.
    batch_size, learning_rate
        Of Adam.
    steps
        Of the attack in ``"pgd"`` and ``"trades"``.
    step_size
        As a multiple of the radius. When left out, 1 for ``"fgsm"`` and ``"free"``, 1.25 for
        ``"fast"`` and 2.5 ``/ steps`` for several steps.
    replays
        Times that ``"free"`` shows a batch.
    beta
        Weight of the second term of ``"trades"``.

    Raises
    ------
    RobustnessError
        If a setting is out of its range.
    """

    method: Method = "free"
    epochs: int = 8
    batch_size: int = 64
    learning_rate: float = 1e-3
    steps: int = 3
    step_size: float | None = None
    replays: int = 4
    beta: float = 6.0

    def __post_init__(self) -> None:
        require_choice("method", self.method, get_args(Method))
        for name in ("epochs", "batch_size", "steps", "replays"):
            require_whole(name, getattr(self, name), at_least=1)
        require_positive("learning_rate", self.learning_rate)
        require_not_negative("beta", self.beta)
        if self.step_size is not None:
            require_positive("step_size", self.step_size)


@dataclass(frozen=True)
class Epoch:
    """Accuracy on held-out inputs after one pass.

    Attributes
    ----------
    clean, one_step, many_steps
        As they are, under FGSM, and under PGD of ten steps.
    """

    clean: float
    one_step: float
    many_steps: float


@dataclass(frozen=True, eq=False)
class Training:
    """A model that was trained, and how it came about.

    Attributes
    ----------
    model
        With the weights of the epoch that withstood PGD best; of ``"plain"``, that was right most
        often.
    history
        One entry an epoch.
    collapsed
        Index of the epoch in which one-step robustness stayed and PGD's went; None if none did.
    """

    model: tf.keras.Model
    history: tuple[Epoch, ...]
    collapsed: int | None


def collapse(history: Sequence[Epoch], gap: float = 0.2) -> int | None:
    """Return the first epoch of catastrophic overfitting, or None.

    Parameters
    ----------
    history
        Epochs in their order.
    gap
        By how much accuracy under one step must stand above that under many.

    Returns
    -------
    int or None
        Index of the first epoch whose gap is that wide and whose accuracy under many steps has
        fallen below half of the best before. An attack of many steps is always a little stronger;
        only a gap that opens by a fall is the sign.
    """
    best = 0.0
    for number, epoch in enumerate(history):
        if epoch.one_step - epoch.many_steps > gap and epoch.many_steps < best / 2:
            return number
        best = max(best, epoch.many_steps)
    return None


def fit_robust(
    model: tf.keras.Model,
    inputs: ArrayLike,
    labels: ArrayLike,
    epsilon: float,
    held_out: tuple[ArrayLike, ArrayLike],
    settings: Settings | None = None,
    *,
    stop_on_collapse: bool = True,
    seed: int = 0,
    progress: bool = False,
) -> Training:
    """Train a classifier to withstand L-infinity attacks.

    Parameters
    ----------
    model
        Built Keras model, inputs in [0, 1] to logits; it is not changed.
    inputs, labels
        ``(n, ...)`` and classes ``(n,)``.
    epsilon
        Radius.
    held_out
        Inputs and labels to watch the training by.
    settings
        How to train.
    stop_on_collapse
        Whether to end at catastrophic overfitting. False goes on, to see it happen.
    seed
        Of order and random starts.
    progress
        Whether to show a progress bar.

    Returns
    -------
    Training
        A new model with the best epoch's weights, and the history.

    Raises
    ------
    RobustnessError
        If a setting is out of its range, or the model gives probabilities.
    """
    clean, truth = checked_pairs(inputs, labels)
    watch = checked_pairs(*held_out)
    require_not_negative("epsilon", epsilon)
    how = settings or Settings()
    trained = copy_to_train(model, clean)
    update = _updater(trained, epsilon, how)
    rng, attack = np.random.default_rng(seed), Pgd(trained)
    history: list[Epoch] = []
    best, weights = -1.0, trained.get_weights()
    passes = -(-how.epochs // how.replays) if how.method == "free" else how.epochs
    for _ in tqdm(range(passes), desc=f"{how.method} training", unit="epoch", disable=not progress):
        _one_pass(update, clean, truth, epsilon, how, rng)
        history.append(_watched(trained, attack, *watch, epsilon))
        # Plain training withstands most before it has learnt much: it is judged by what it is for.
        score = history[-1].clean if how.method == "plain" else history[-1].many_steps
        if score > best:
            best, weights = score, trained.get_weights()
        if stop_on_collapse and collapse(history) is not None:
            break
    trained.set_weights(weights)
    return Training(trained, tuple(history), collapse(history))


def _one_pass(
    update: Callable[..., Any],
    clean: NDArray[np.float32],
    truth: NDArray[np.int64],
    epsilon: float,
    how: Settings,
    rng: np.random.Generator,
) -> None:
    size = min(how.batch_size, len(clean))
    change = tf.zeros((size, *clean.shape[1:]))  # of "free", which carries it from batch to batch
    for rows, goal in batches(clean, truth, size, rng):
        if how.method == "free":
            for _ in range(how.replays):
                loss, change = update(rows, goal, change)
        else:
            change = tf.constant(rng.uniform(-epsilon, epsilon, rows.shape), tf.float32)
            loss, _ = update(rows, goal, change)
        finite(loss)


def _updater(model: tf.keras.Model, epsilon: float, how: Settings) -> Callable[..., Any]:
    """Compile one update: rows, labels and a first perturbation to a loss and the next one."""
    optimizer = tf.keras.optimizers.Adam(how.learning_rate)
    optimizer.build(model.trainable_variables)
    steps = {"plain": 0, "free": 0, "fgsm": 1, "fast": 1}.get(how.method, how.steps)
    default = {"fast": 1.25, "fgsm": 1.0, "free": 1.0}.get(how.method, 2.5 / how.steps)
    step = epsilon * (default if how.step_size is None else how.step_size)

    def moved(rows: Any, change: Any, gradient: Any) -> Any:
        change = tf.clip_by_value(change + step * tf.sign(gradient), -epsilon, epsilon)
        return tf.clip_by_value(rows + change, 0.0, 1.0) - rows

    @tf.function
    def update(rows: Any, labels: Any, change: Any) -> tuple[Any, Any]:
        if how.method in FROM_CLEAN:
            change = tf.zeros_like(rows)
        change = tf.clip_by_value(rows + change, 0.0, 1.0) - rows
        calm = tf.stop_gradient(tf.nn.softmax(model(rows, training=False)))
        for _ in range(steps):
            with tf.GradientTape() as tape:
                tape.watch(change)
                logits = model(rows + change, training=False)
                climb = (
                    _divergence(calm, logits)
                    if how.method == "trades"
                    else (cross_entropy(logits, labels))
                )
            change = moved(rows, change, tape.gradient(climb, change))
        variables = model.trainable_variables
        with tf.GradientTape() as tape:
            tape.watch(change)
            logits = model(rows + change, training=True)
            loss = tf.reduce_mean(cross_entropy(logits, labels))
            if how.method == "trades":
                quiet = model(rows, training=True)
                loss = tf.reduce_mean(cross_entropy(quiet, labels))
                loss += how.beta * tf.reduce_mean(_divergence(tf.nn.softmax(quiet), logits))
        *gradients, at_input = tape.gradient(loss, [*variables, change])
        optimizer.apply_gradients(zip(gradients, variables, strict=True))
        return loss, moved(rows, change, at_input) if how.method == "free" else change

    return update


def _divergence(calm: Any, logits: Any) -> Any:
    """Kullback-Leibler divergence of an attacked answer from the clean one, ``(n,)``."""
    entropy = tf.reduce_sum(calm * tf.math.log(calm + 1e-12), axis=1)
    return tf.nn.softmax_cross_entropy_with_logits(calm, logits) + entropy


def _watched(
    model: tf.keras.Model,
    attack: Pgd,
    inputs: NDArray[np.float32],
    labels: NDArray[np.int64],
    epsilon: float,
) -> Epoch:
    one = attack(inputs, labels, epsilon, steps=1, step_size=epsilon, random_start=False)
    many = attack(inputs, labels, epsilon, steps=WATCH_STEPS)
    clean, one_step, many_steps = (
        float(np.mean(np.argmax(model(rows, training=False), axis=1) == labels))
        for rows in (inputs, one, many)
    )
    return Epoch(clean, one_step, many_steps)
