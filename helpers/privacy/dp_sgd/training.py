"""Train a Keras model with DP-SGD on Poisson-sampled batches."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike, NDArray
from tqdm import tqdm

from helpers.errors import PrivacyError
from helpers.privacy import accounting
from helpers.privacy._checks import (
    require_not_negative,
    require_positive,
    require_rate,
    require_whole,
)
from helpers.privacy.dp_sgd._compiled import compiled_step
from helpers.privacy.dp_sgd.checkpoint import PrivateRun, open_folder, start_or_resume
from helpers.privacy.dp_sgd.clipping import (
    ClippedSum,
    Method,
    clipped_sum,
    plan,
)
from helpers.privacy.dp_sgd.sampling import poisson_batches
from helpers.privacy.dp_sgd.validation import (
    LossFunction,
    LossName,
    check_method,
    check_model,
    checked_data,
    loss_function,
    losses_of,
)
from helpers.privacy.ledger import Charge, PrivacyLedger

# Examples on which the one-pass rules are compared with one example at a time, before training.
_PROBE = 3


@dataclass(frozen=True)
class StepRecord:
    """Measurements of one step, for the trainer's eyes.

    They are computed from the data without noise: epsilon does not cover publishing them.

    Attributes
    ----------
    step
        Number of the step, from 1.
    batch_size
        Examples drawn; 0 for a step that is noise alone.
    loss
        Mean loss over the batch before the step; NaN for an empty batch.
    clipped_share
        Share of the batch whose gradient was longer than the clip norm; NaN for an empty batch.
    seconds
        Wall time of the step.
    """

    step: int
    batch_size: int
    loss: float
    clipped_share: float
    seconds: float


@dataclass(frozen=True, eq=False)
class DPHistory:
    """What a private training run leaves behind.

    Attributes
    ----------
    records
        One a step, in order.
    noise_multiplier, l2_norm_clip, sample_rate
        The mechanism that ran.
    """

    records: list[StepRecord]
    noise_multiplier: float
    l2_norm_clip: float
    sample_rate: float

    def epsilon(self, delta: float, method: accounting.Method = "pld") -> float:
        """Bound the epsilon of the steps that were taken, if no data decided on their number.

        Parameters
        ----------
        delta
            Probability of failure that the bound may have.
        method
            Accountant.

        Returns
        -------
        float
            Epsilon for adding or removing one example.
        """
        steps = len(self.records)
        return accounting.epsilon(self.noise_multiplier, self.sample_rate, steps, delta, method)


Callback = Callable[[StepRecord, tf.keras.Model], Any]


@dataclass(frozen=True)
class _Settings:
    noise_multiplier: float
    l2_norm_clip: float
    sample_rate: float
    steps: int
    learning_rate: float
    momentum: float
    max_batch: int

    def __post_init__(self) -> None:
        require_not_negative("noise_multiplier", self.noise_multiplier)
        require_positive("l2_norm_clip", self.l2_norm_clip)
        require_rate("sample_rate", self.sample_rate)
        require_whole("steps", self.steps, at_least=1)
        require_positive("learning_rate", self.learning_rate)
        require_not_negative("momentum", self.momentum)
        require_whole("max_batch", self.max_batch, at_least=1)


def fit_dp(
    model: tf.keras.Model,
    x: ArrayLike,
    y: ArrayLike,
    *,
    noise_multiplier: float,
    l2_norm_clip: float,
    sample_rate: float,
    steps: int,
    learning_rate: float,
    seed: int | None,
    momentum: float = 0.0,
    loss: LossName | LossFunction = "sparse_categorical_crossentropy",
    method: Method = "ghost",
    ledger: PrivacyLedger | None = None,
    callbacks: Sequence[Callback] = (),
    max_batch: int = 1024,
    checkpoint_dir: str | os.PathLike[str] | None = None,
    checkpoint_every: int = 50,
    progress: bool = True,
) -> DPHistory:
    r"""Train a model in place with DP-SGD.

    Each step draws a batch :math:`S` by Poisson sampling and moves along

    .. math:: \frac{1}{qN} \Bigl(\sum_{i \in S} g_i \min(1, C / \|g_i\|)
              + \mathcal{N}(0, z^2 C^2 I) \Bigr).

    Dividing by the *expected* batch size :math:`qN` keeps the drawn size, which depends on who is
    in the data, out of the noise's scale (:math:`N` itself counts as public). An empty batch still
    takes its step, on noise alone. (Abadi et al. 2016, Algorithm 1.) Noise is float32 from
    TensorFlow's counter-based generator: sound against an analyst of the model, not against the
    floating-point attack of Mironov 2012.

    Parameters
    ----------
    model
        A built Keras model with one input and one output, without batch normalisation.
    x
        Inputs, ``(n, *input_shape)``, finite.
    y
        Labels, ``(n,)`` for the named losses.
    noise_multiplier
        :math:`z`; 0 adds no noise and gives no privacy.
    l2_norm_clip
        :math:`C`.
    sample_rate
        :math:`q`, probability with which each example joins each batch.
    steps
        Number of steps in total; steps found in ``checkpoint_dir`` count.
    learning_rate
        Of SGD.
    seed
        Seed of batches and noise. Who knows it can subtract the noise: for a model that leaves
        the house pass None, which takes both from the operating system.
    momentum
        Of SGD.
    loss
        Name, or function of ``(labels, outputs)`` that returns one value an example.
    method
        As for :func:`~helpers.privacy.dp_sgd.clipping.clipped_gradient_sum`.
    ledger
        Charged for all the steps before the first one; once, also if the run is resumed.
    callbacks
        Each is called after a step as ``callback(record, model)``; one that returns True ends
        the run after that step. A stop that depends on ``record`` reads the data without noise,
        and epsilon does not cover it.
    max_batch
        Most examples in memory at once; a larger batch is added up in parts.
    checkpoint_dir
        Folder in which the run is saved. A later call with the same arguments and folder resumes
        there, also after a kill, and ends with the same weights as an uninterrupted run (layers
        that draw random numbers of their own, such as dropout, draw others). It holds the seed of
        the noise: keep it as secret as the data.
    checkpoint_every
        Save each so many steps; the last step always is. The steps in between are taken again.
    progress
        Show a progress bar.

    Returns
    -------
    DPHistory
        Measurements of each step.

    Raises
    ------
    PrivacyError
        Before any work: if a setting, the model or the data cannot be used, or the ledger's
        budget is too small, or the checkpoints belong to another run. During it: if weights stop
        being finite.
    """
    settings = _Settings(
        noise_multiplier, l2_norm_clip, sample_rate, steps, learning_rate, momentum, max_batch
    )
    check_method(method)
    check_model(model)
    inputs, labels = checked_data(model, x, y)
    _check_ledger(ledger, noise_multiplier)
    check_rules(model, inputs[:_PROBE], labels[:_PROBE], loss, method)
    require_whole("checkpoint_every", checkpoint_every, at_least=1)
    stepper = _Stepper(model, settings, inputs, labels, loss, method)
    described = _described(settings, loss, method, seed)
    folder = open_folder(checkpoint_dir, StepRecord, model, [inputs, labels], described)
    run = start_or_resume(folder, stepper.variables, seed, steps)
    if ledger is not None:
        ledger.charge(Charge(noise_multiplier, sample_rate, steps, label="fit_dp", run=run.name))
    if not run.records:
        run.save()
    with tqdm(
        total=steps, initial=len(run.records), desc="DP-SGD", unit="step", disable=not progress
    ) as bar:
        for record in _remaining_steps(run, stepper, settings, inputs, labels):
            run.records.append(record)
            if record.step % checkpoint_every == 0 or record.step == steps:
                run.save()
            bar.update()
            answers = [callback(record, model) for callback in callbacks]
            if any(answer is True for answer in answers):
                run.save()
                break
    return DPHistory(run.records, noise_multiplier, l2_norm_clip, sample_rate)


def _remaining_steps(
    run: PrivateRun[StepRecord],
    stepper: _Stepper,
    settings: _Settings,
    inputs: np.ndarray,
    labels: np.ndarray,
) -> Iterator[StepRecord]:
    """Take the steps that a run has not taken yet, one at a time."""
    sampling_seed, noise_seed = run.root.spawn(2)
    done, steps = len(run.records), settings.steps
    batches = poisson_batches(len(inputs), settings.sample_rate, steps, sampling_seed, skip=done)
    streams = noise_seed.spawn(steps)[done:]
    for step, (batch, stream) in enumerate(zip(batches, streams, strict=True), start=done + 1):
        yield stepper.step(step, inputs[batch], labels[batch], stream)


def _described(
    settings: _Settings, loss: LossName | LossFunction, method: Method, seed: int | None
) -> dict[str, Any]:
    """Return what decides a run's outcome, besides model and data, as plain JSON values."""
    values = {name: np.asarray(value).item() for name, value in asdict(settings).items()}
    del values["steps"]  # so that a run can be prolonged
    named = f"{loss.__module__}.{loss.__qualname__}" if callable(loss) else loss
    return {**values, "loss": named, "method": method, "seed": None if seed is None else int(seed)}


def check_rules(
    model: tf.keras.Model,
    x: NDArray[Any],
    y: NDArray[Any],
    loss: LossName | LossFunction,
    method: Method,
) -> None:
    """Compare a few examples' gradient norms with those of each example run alone.

    This finds what no list of layer types can: a model that lets the examples of a batch see each
    other, or that uses a layer's variables outside the layer.

    Parameters
    ----------
    model
        A checked model; run in inference mode, so that dropout draws nothing.
    x, y
        A few checked examples.
    loss, method
        As for :func:`fit_dp`.

    Raises
    ------
    PrivacyError
        If the norms differ.
    """
    function = loss_function(loss)
    inputs, labels = tf.constant(x), tf.constant(y)
    found = clipped_sum(model, plan(model, method), inputs, labels, 1.0, function, False)
    norms = found.norms.numpy()
    for index in range(len(x)):
        row = slice(index, index + 1)
        alone = _norm_alone(model, inputs[row], labels[row], function)
        if not np.isclose(norms[index], alone, rtol=1e-2, atol=1e-5):
            raise PrivacyError(
                f"An example's gradient has norm {norms[index]:.6g} inside a batch and "
                f"{alone:.6g} alone. The model lets examples of a batch influence each other, or "
                "uses a layer's variables outside that layer. Remove that, or try "
                'method="per_example".'
            )


def _norm_alone(model: tf.keras.Model, x: tf.Tensor, y: tf.Tensor, loss: LossFunction) -> float:
    with tf.GradientTape() as tape:
        value = tf.reduce_sum(losses_of(loss, y, model(x, training=False), 1))
    found = [g for g in tape.gradient(value, model.trainable_variables) if g is not None]
    return float(tf.linalg.global_norm(found))


def _check_ledger(ledger: PrivacyLedger | None, noise_multiplier: float) -> None:
    if ledger is not None and noise_multiplier == 0:
        raise PrivacyError("noise_multiplier=0 spends an infinite epsilon: no ledger can pay it.")


class _Stepper:
    """The steps of one run."""

    def __init__(
        self,
        model: tf.keras.Model,
        settings: _Settings,
        x: NDArray[Any],
        y: NDArray[Any],
        loss: LossName | LossFunction,
        method: Method,
    ) -> None:
        self._settings = settings
        variables = model.trainable_variables
        optimizer = tf.keras.optimizers.SGD(settings.learning_rate, settings.momentum)
        optimizer.build(variables)
        self.variables = [*variables, *optimizer.variables]
        clip = settings.l2_norm_clip
        self._compiled = compiled_step(model, optimizer, x, y, clip, loss, method)
        deviation = settings.noise_multiplier * clip
        expected = settings.sample_rate * len(x)
        self._noise = tf.constant(deviation, tf.float32), tf.constant(expected, tf.float32)
        self._zeros = [tf.zeros(v.shape) for v in variables]

    def step(
        self, number: int, x: NDArray[Any], y: NDArray[Any], stream: np.random.SeedSequence
    ) -> StepRecord:
        """Take one step on a batch that may be empty."""
        start, size = time.perf_counter(), self._settings.max_batch
        parts = [self._part(x[i : i + size], y[i : i + size]) for i in range(0, len(x), size)]
        total = self._zeros
        if parts:
            total = [tf.add_n(values) for values in zip(*(p.gradients for p in parts), strict=True)]
        losses = _concatenated([part.losses for part in parts])
        norms = _concatenated([part.norms for part in parts])
        if not np.isfinite(norms).all():
            raise PrivacyError(
                f"Gradients stopped being finite at step {number}; the weights of the step "
                "before are kept. Lower learning_rate or look for extreme inputs."
            )
        words = stream.generate_state(2 * len(total), np.uint32).view(np.int32)
        self._compiled.release(total, tf.constant(words.reshape(-1, 2)), *self._noise)
        return StepRecord(
            step=number,
            batch_size=len(x),
            loss=float(losses.mean()) if len(x) else float("nan"),
            clipped_share=(
                float((norms > self._settings.l2_norm_clip).mean()) if len(x) else float("nan")
            ),
            seconds=time.perf_counter() - start,
        )

    def _part(self, x: NDArray[Any], y: NDArray[Any]) -> ClippedSum:
        return self._compiled.clipped(tf.constant(x), tf.constant(y))


def _concatenated(parts: list[tf.Tensor]) -> NDArray[np.float32]:
    return np.concatenate([np.zeros(0, np.float32), *(part.numpy() for part in parts)])
