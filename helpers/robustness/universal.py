"""One change for all inputs: computed once, added to everything the device sees."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike, NDArray

from helpers.robustness._checks import checked_pairs, require_positive, require_whole
from helpers.robustness.budget import Budget
from helpers.robustness.losses import margin, require_logits


def universal_perturbation(
    model: Callable[[Any], Any],
    inputs: ArrayLike,
    labels: ArrayLike,
    budget: Budget,
    *,
    epochs: int = 10,
    batch_size: int = 64,
    step_size: float | None = None,
    ceiling: float = 1.0,
    bounds: tuple[float, float] = (0.0, 1.0),
    seed: int = 0,
) -> NDArray[np.float32]:
    """Find one perturbation that fools a model on as many inputs as it can.

    Mini-batch ascent on the margin, cut off at ``ceiling`` so that inputs already fooled do not
    draw all the effort (Shafahi, Najibi, Xu, Dickerson, Davis and Goldstein, *Universal adversarial
    training*, AAAI 2020). The first to find that such perturbations exist were
    Moosavi-Dezfooli, Fawzi, Fawzi and Frossard, *Universal adversarial perturbations*, CVPR 2017.

    Parameters
    ----------
    model
        Keras model or differentiable function, inputs ``(n, ...)`` to logits.
    inputs, labels
        What the attacker has to learn from: ``(n, ...)``, classes ``(n,)``. Judge it on others.
    budget
        Of the perturbation.
    epochs
        Passes over the inputs.
    batch_size
        Inputs a step.
    step_size
        Length of a step; a tenth of the radius when left out.
    ceiling
        Margin from which on an input counts as fooled for good.
    bounds
        Smallest and largest number that an input may hold.
    seed
        Of the order of the inputs.

    Returns
    -------
    numpy.ndarray
        float32, the shape of one input. Add it with :func:`apply_perturbation`.

    Raises
    ------
    RobustnessError
        If a setting is out of its range or the model gives probabilities.
    """
    clean, truth = checked_pairs(inputs, labels, bounds)
    require_whole("epochs", epochs, at_least=1)
    require_whole("batch_size", batch_size, at_least=1)
    step = budget.epsilon / 10 if step_size is None else step_size
    if budget.epsilon > 0:
        require_positive("step_size", step)
    require_logits(model(tf.constant(clean[:8])))
    rng = np.random.default_rng(seed)
    change = np.zeros(clean.shape[1:], np.float32)
    gradient_of = _compiled(model, bounds, ceiling)
    origin = np.zeros((1, *change.shape), np.float32)
    for _ in range(epochs):
        order = rng.permutation(len(clean))
        for i in range(0, len(clean), batch_size):
            rows = order[i : i + batch_size]
            gradient = gradient_of(clean[rows], truth[rows], change).numpy()
            moved = change + step * _direction(gradient, budget)
            # Only the length is held here; the bounds of inputs are held where it is added.
            change = budget.project(origin, moved[None], (-np.inf, np.inf))[0]
    return change


def apply_perturbation(
    inputs: ArrayLike, change: ArrayLike, bounds: tuple[float, float] = (0.0, 1.0)
) -> NDArray[np.float32]:
    """Add one perturbation to every input and clip to the bounds.

    Parameters
    ----------
    inputs
        ``(n, ...)``.
    change
        The shape of one input.
    bounds
        Smallest and largest number that an input may hold.

    Returns
    -------
    numpy.ndarray
        float32 ``(n, ...)``.
    """
    moved = np.asarray(inputs, np.float32) + np.asarray(change, np.float32)[None]
    return np.clip(moved, *bounds).astype(np.float32)


def _compiled(
    model: Callable[[Any], Any], bounds: tuple[float, float], ceiling: float
) -> Callable[..., Any]:
    @tf.function(reduce_retracing=True)
    def gradient_of(rows: Any, classes: Any, change: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(change)
            logits = model(tf.clip_by_value(rows + change[None], *bounds))
            total = tf.reduce_sum(tf.minimum(margin(logits, classes), ceiling))
        return tape.gradient(total, change)

    return lambda *arrays: gradient_of(*(tf.constant(array) for array in arrays))


def _direction(gradient: NDArray[np.float32], budget: Budget) -> NDArray[np.float32]:
    if budget.norm == "linf":
        return np.sign(gradient)
    return np.asarray(gradient / max(float(np.linalg.norm(gradient)), 1e-12))
