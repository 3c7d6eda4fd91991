r"""Reconstruct a batch by searching for inputs whose gradient matches the one observed.

The attacker knows the model, its weights and the client's gradient :math:`g`, and minimises

.. math:: D\bigl(\nabla_\theta \ell(x', y),\; g\bigr) + \lambda\,\mathrm{TV}(x'),
          \qquad 0 \le x' \le 1,

over candidate inputs :math:`x'`. Two well-known attacks are settings of this one search:

* DLG (Zhu et al. 2019, "Deep Leakage from Gradients"): ``distance="l2"``,
  ``optimiser="lbfgs"``, ``total_variation=0``. Made for smooth activations such as the sigmoid.
* Inverting gradients (Geiping et al. 2020): ``distance="cosine"``, ``optimiser="adam"`` with
  the sign of the gradient, and a total-variation prior.

Two departures from the papers: labels are inferred first and then held fixed (Zhao et al. 2020)
where DLG optimises them along, and both searches keep pixels in [0, 1], as Geiping et al. do.

Where it breaks: an example that the model already classifies with certainty sends a gradient so
small that float32 rounding hides it; ReLU networks and larger batches come back less sharp and
take more steps; after more than one local step the L2 distance fails where the cosine distance
often still works.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize
from tqdm import tqdm

from helpers.errors import PrivacyError
from helpers.privacy.reconstruction.closed_form import estimate_label_counts, infer_label

Distance = Literal["cosine", "l2"]
Optimiser = Literal["adam", "lbfgs"]
# Candidate inputs -> (distance, gradient of the objective), both tensors.
Objective = Callable[[Any], tuple[Any, Any, Any]]


@dataclass(frozen=True)
class Reconstruction:
    """What an attack recovered from one gradient.

    Attributes
    ----------
    images
        float32, shape ``(batch_size, *input_shape)``, values in [0, 1], in no particular order;
        see :func:`helpers.privacy.reconstruction.match`.
    labels
        int32, shape ``(batch_size,)``: given or inferred, ascending when inferred.
    losses
        float64, shape ``(steps done,)``: distance to the observed gradient after each step,
        without the prior. Cosine distance lies in [0, 2]; the squared L2 distance is relative to
        the squared norm of the observed gradient.
    """

    images: NDArray[np.float32]
    labels: NDArray[np.int32]
    losses: NDArray[np.float64]


def loss_gradients(model: tf.keras.Model, x: ArrayLike, y: ArrayLike) -> list[NDArray[np.float32]]:
    """Return the gradient that a client holding ``(x, y)`` would send.

    Parameters
    ----------
    model
        Keras classifier that returns logits. Called in inference mode, so dropout and batch
        statistics play no part.
    x
        Inputs, shape ``(n, *input_shape)``.
    y
        Integer labels, shape ``(n,)``.

    Returns
    -------
    list of float32 arrays
        Gradient of the mean softmax cross-entropy for each trainable variable.

    Raises
    ------
    PrivacyError
        When the inputs or labels do not fit the model.
    """
    inputs = np.asarray(x, np.float32)
    labels = _checked_labels(y, _num_classes(model))
    expected = (len(labels), *_input_shape(model))
    if inputs.shape != expected:
        raise PrivacyError(f"x must have shape {expected} for this model; got {inputs.shape}.")
    gradients = _model_gradients(model, tf.constant(inputs), tf.constant(labels))
    return [gradient.numpy() for gradient in gradients]


def invert_gradients(
    model: tf.keras.Model,
    gradients: Sequence[ArrayLike],
    labels: ArrayLike | None = None,
    *,
    batch_size: int | None = None,
    steps: int = 600,
    learning_rate: float = 0.1,
    total_variation: float = 1e-3,
    distance: Distance = "cosine",
    optimiser: Optimiser = "adam",
    seed: int = 0,
    progress: bool = True,
) -> Reconstruction:
    """Search for the inputs behind a client's gradient.

    Parameters
    ----------
    model
        Keras classifier with the weights at which the gradient was taken; returns logits. Its
        weights are left as they are.
    gradients
        Gradient of the mean softmax cross-entropy for each trainable variable, in the order and
        shapes of ``model.trainable_variables``. For an update of several local steps, pass the
        result of ``update_to_gradient``: the search then matches the mean direction of the
        client's steps. Use the cosine distance there; the length of a mean of gradients tells
        nothing about any single one.
    labels
        Integer labels of the batch, shape ``(batch_size,)``. When left out they are inferred
        from the last bias: exactly for one example, by estimate for several.
    batch_size
        Examples behind the gradient. When left out: as many as ``labels``, or 1.
    steps
        Adam steps, or the most L-BFGS iterations; L-BFGS stops earlier where it converges.
    learning_rate
        Adam's learning rate in pixel values a step, divided by 10 after 3/8, 5/8 and 7/8 of the
        steps (Geiping et al.). L-BFGS has none.
    total_variation
        Weight of the prior: mean absolute difference of neighbouring pixels. Needs inputs of
        shape ``(h, w, c)``; pass 0 for others.
    distance
        ``"cosine"`` compares directions, ``"l2"`` directions and lengths.
    optimiser
        ``"adam"`` on the sign of the gradient, or ``"lbfgs"`` (SciPy's L-BFGS-B).
    seed
        Seed of the uniform noise the search starts from.
    progress
        Show a progress bar.

    Returns
    -------
    Reconstruction
        Images, labels and the distance after each step.

    Raises
    ------
    PrivacyError
        When gradients, labels or settings do not fit the model, before any search; or when the
        distance stops being finite.
    """
    _check_settings(steps, learning_rate, total_variation, distance, optimiser)
    shape = _input_shape(model)
    if total_variation > 0 and len(shape) != 3:
        raise PrivacyError(
            f"The model's input shape is {shape}, not (h, w, c): pass total_variation=0."
        )
    observed = _checked_gradients(model, gradients)
    size = _resolve_batch_size(labels, batch_size)
    start = np.random.default_rng(seed).uniform(size=(size, *shape)).astype(np.float32)
    if labels is None:
        known = _infer_labels(model, observed, start)
    else:
        known = _checked_labels(labels, _num_classes(model))
    objective = _objective(model, observed, known, distance, total_variation)
    with tqdm(total=steps, desc="inverting", unit="step", disable=not progress) as bar:
        if optimiser == "adam":
            images, losses = _signed_adam(objective, start, steps, learning_rate, bar)
        else:
            images, losses = _lbfgs(objective, start, steps, bar)
    return Reconstruction(images, known, np.asarray(losses, np.float64))


def _model_gradients(model: tf.keras.Model, x: Any, y: Any) -> list[Any]:
    with tf.GradientTape() as tape:
        logits = model(x, training=False)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=y, logits=logits)
        loss = tf.reduce_mean(losses)
    gradients: list[Any] = tape.gradient(loss, model.trainable_variables)
    return gradients


def _objective(
    model: tf.keras.Model,
    observed: list[NDArray[np.float32]],
    labels: NDArray[np.int32],
    distance: Distance,
    total_variation: float,
) -> Objective:
    """Compile candidate inputs -> (distance, objective, gradient of the objective)."""
    targets = [tf.constant(gradient) for gradient in observed]
    measure = _cosine_distance if distance == "cosine" else _relative_squared_distance
    known = tf.constant(labels)

    @tf.function
    def objective(candidates: Any) -> tuple[Any, Any, Any]:
        with tf.GradientTape() as tape:
            tape.watch(candidates)
            gap = measure(_model_gradients(model, candidates, known), targets)
            value = gap
            if total_variation > 0:
                value += total_variation * _total_variation(candidates)
        return gap, value, tape.gradient(value, candidates)

    return objective


def _dot(a: list[Any], b: list[Any]) -> Any:
    return tf.add_n([tf.reduce_sum(x * y) for x, y in zip(a, b, strict=True)])


def _cosine_distance(gradients: list[Any], targets: list[Any]) -> Any:
    norms = tf.sqrt(_dot(gradients, gradients) * _dot(targets, targets))
    return 1.0 - _dot(gradients, targets) / norms


def _relative_squared_distance(gradients: list[Any], targets: list[Any]) -> Any:
    gaps = [a - b for a, b in zip(gradients, targets, strict=True)]
    return _dot(gaps, gaps) / _dot(targets, targets)


def _total_variation(images: Any) -> Any:
    down = tf.abs(images[:, 1:, :, :] - images[:, :-1, :, :])
    right = tf.abs(images[:, :, 1:, :] - images[:, :, :-1, :])
    return tf.reduce_mean(down) + tf.reduce_mean(right)


def _signed_adam(
    objective: Objective,
    start: NDArray[np.float32],
    steps: int,
    learning_rate: float,
    bar: Any,
) -> tuple[NDArray[np.float32], list[float]]:
    images = tf.Variable(start)
    boundaries = [steps * eighths // 8 for eighths in (3, 5, 7)]
    rates = [learning_rate * 0.1**power for power in range(4)]
    schedule = tf.keras.optimizers.schedules.PiecewiseConstantDecay(boundaries, rates)
    adam = tf.keras.optimizers.Adam(schedule)
    adam.build([images])

    @tf.function
    def step() -> Any:
        gap, _, slope = objective(images.value())
        adam.apply_gradients([(tf.sign(slope), images)])
        images.assign(tf.clip_by_value(images, 0.0, 1.0))
        return gap

    losses: list[float] = []
    for _ in range(steps):
        losses.append(_finite_loss(step(), len(losses)))
        bar.update()
    return images.numpy(), losses


def _lbfgs(
    objective: Objective, start: NDArray[np.float32], steps: int, bar: Any
) -> tuple[NDArray[np.float32], list[float]]:
    losses: list[float] = []
    latest = float("nan")

    def value_and_slope(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        nonlocal latest
        gap, value, slope = objective(tf.constant(flat.reshape(start.shape), tf.float32))
        latest = _finite_loss(gap, len(losses))
        return float(value), slope.numpy().astype(np.float64).ravel()

    def record(_: NDArray[np.float64]) -> None:
        losses.append(latest)
        bar.update()

    # Tolerances of zero: the distance falls over ten orders of magnitude, and the search is to
    # go on for as long as float32 can tell two candidates apart.
    result = minimize(
        value_and_slope,
        start.ravel().astype(np.float64),
        jac=True,
        method="L-BFGS-B",
        bounds=[(0.0, 1.0)] * start.size,
        callback=record,
        options={"maxiter": steps, "maxfun": 20 * steps, "ftol": 0.0, "gtol": 0.0, "maxcor": 50},
    )
    return result.x.reshape(start.shape).astype(np.float32), losses


def _finite_loss(gap: Any, step: int) -> float:
    loss = float(gap)
    if not np.isfinite(loss):
        raise PrivacyError(
            f"The distance to the observed gradient became {loss} at step {step}. Try another "
            "seed or a lower learning_rate."
        )
    return loss


def _infer_labels(
    model: tf.keras.Model, observed: list[NDArray[np.float32]], start: NDArray[np.float32]
) -> NDArray[np.int32]:
    """Infer a batch's labels; the model's answer to noise stands in for its mean prediction."""
    num_classes = _num_classes(model)
    if observed[-1].shape != (num_classes,):
        raise PrivacyError(
            f"The last trainable variable has shape {observed[-1].shape}, not ({num_classes},): "
            "labels can only be inferred from the bias of the logits. Pass labels."
        )
    if len(start) == 1:
        return np.array([infer_label(observed[-1])], np.int32)
    probabilities = tf.nn.softmax(model(start, training=False)).numpy().mean(axis=0)
    counts = estimate_label_counts(observed[-1], len(start), probabilities)
    return np.repeat(np.arange(num_classes, dtype=np.int32), counts)


def _input_shape(model: tf.keras.Model) -> tuple[int, ...]:
    shape = tuple(model.input_shape[1:])
    if not shape or None in shape:
        raise PrivacyError(f"The model's input shape {model.input_shape} must be fixed.")
    return shape


def _num_classes(model: tf.keras.Model) -> int:
    if len(model.output_shape) != 2:
        raise PrivacyError(
            f"The model must return logits of shape (batch, classes); got {model.output_shape}."
        )
    return int(model.output_shape[1])


def _resolve_batch_size(labels: ArrayLike | None, batch_size: int | None) -> int:
    given = None if labels is None else np.size(labels)
    size = batch_size if batch_size is not None else (1 if given is None else given)
    if size < 1:
        raise PrivacyError(f"batch_size must be at least 1; got {size}.")
    if given is not None and given != size:
        raise PrivacyError(f"{given} labels were given for a batch_size of {size}.")
    return int(size)


def _checked_labels(labels: ArrayLike, num_classes: int) -> NDArray[np.int32]:
    values = np.asarray(labels)
    if values.ndim != 1 or values.size == 0 or not np.issubdtype(values.dtype, np.integer):
        raise PrivacyError(
            "Labels must be integers of shape (batch_size,); got "
            f"{values.dtype} of shape {values.shape}."
        )
    if values.min() < 0 or values.max() >= num_classes:
        raise PrivacyError(
            f"Labels must lie in 0..{num_classes - 1}; got {values.min()} to {values.max()}."
        )
    return values.astype(np.int32)


def _checked_gradients(
    model: tf.keras.Model, gradients: Sequence[ArrayLike]
) -> list[NDArray[np.float32]]:
    variables = model.trainable_variables
    if len(gradients) != len(variables):
        raise PrivacyError(
            f"The model has {len(variables)} trainable variables; got {len(gradients)} gradients."
        )
    checked = []
    for index, (gradient, variable) in enumerate(zip(gradients, variables, strict=True)):
        array, expected = np.asarray(gradient, np.float32), tuple(variable.shape)
        if array.shape != expected:
            raise PrivacyError(
                f"Gradient {index} has shape {array.shape}; {variable.name} has {expected}."
            )
        if not np.isfinite(array).all():
            raise PrivacyError(f"Gradient {index} ({variable.name}) has NaN or infinite values.")
        checked.append(array)
    if not any(array.any() for array in checked):
        raise PrivacyError("Every gradient is zero: there is nothing to match.")
    return checked


def _check_settings(
    steps: int, learning_rate: float, total_variation: float, distance: str, optimiser: str
) -> None:
    if steps < 1:
        raise PrivacyError(f"steps must be at least 1; got {steps}.")
    if not (np.isfinite(learning_rate) and learning_rate > 0):
        raise PrivacyError(f"learning_rate must be a positive number; got {learning_rate}.")
    if not (np.isfinite(total_variation) and total_variation >= 0):
        raise PrivacyError(f"total_variation must not be negative; got {total_variation}.")
    if distance not in ("cosine", "l2"):
        raise PrivacyError(f"distance must be 'cosine' or 'l2'; got {distance!r}.")
    if optimiser not in ("adam", "lbfgs"):
        raise PrivacyError(f"optimiser must be 'adam' or 'lbfgs'; got {optimiser!r}.")
