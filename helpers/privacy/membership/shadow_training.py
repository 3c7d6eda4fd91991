"""Many small models trained at once: each in one compiled call, several calls side by side.

A Keras ``fit`` spends most of its time on a small model between the steps. Here all steps of one
model run inside one TensorFlow function, and a thread a lane keeps the cores busy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from helpers.errors import PrivacyError
from helpers.privacy._checks import require_not_negative, require_positive, require_whole

ModelMaker = Callable[[int], tf.keras.Model]

# Layers that XLA compiles on a CPU to faster code than TensorFlow's own kernels.
_XLA_LAYERS = (
    tf.keras.layers.InputLayer,
    tf.keras.layers.Dense,
    tf.keras.layers.Flatten,
    tf.keras.layers.Reshape,
    tf.keras.layers.Rescaling,
    tf.keras.layers.Activation,
    tf.keras.layers.ReLU,
)


@dataclass(frozen=True)
class ShadowTraining:
    """How a shadow model is trained: SGD on cross-entropy of logits, as the target should be.

    Attributes
    ----------
    epochs
        Passes over a model's own examples, each in a new order.
    batch_size
        Examples a step; the last ones of an epoch that fill no batch are left out of it.
    learning_rate, momentum
        Of SGD.

    Raises
    ------
    PrivacyError
        If a setting is out of its range.
    """

    epochs: int = 30
    batch_size: int = 32
    learning_rate: float = 0.1
    momentum: float = 0.9

    def __post_init__(self) -> None:
        require_whole("epochs", self.epochs, at_least=1)
        require_whole("batch_size", self.batch_size, at_least=1)
        require_positive("learning_rate", self.learning_rate)
        require_not_negative("momentum", self.momentum)
        if self.momentum >= 1:
            raise PrivacyError(f"momentum={self.momentum!r} must be below 1.")


def seeds_of(seed: int, index: int) -> tuple[int, int]:
    """Return the seeds of one shadow model: of its initial weights, and of its training."""
    first, second = np.random.SeedSequence([seed, index]).generate_state(2)
    return int(first), int(second)


def epoch_batches(own: NDArray[np.int64], training: ShadowTraining, seed: int) -> NDArray[np.int32]:
    """Return the examples of every step, int32 ``(steps, batch_size)``.

    Parameters
    ----------
    own
        Positions of the model's examples.
    training
        Epochs and batch size.
    seed
        Of the orders.

    Raises
    ------
    PrivacyError
        If the examples fill no batch.
    """
    steps = len(own) // training.batch_size
    if steps == 0:
        raise PrivacyError(
            f"batch_size={training.batch_size} is more than the {len(own)} examples of a shadow."
        )
    rng = np.random.default_rng(seed)
    used = steps * training.batch_size
    orders = [rng.permutation(own)[:used] for _ in range(training.epochs)]
    return np.concatenate(orders).reshape(-1, training.batch_size).astype(np.int32)


def train_side_by_side(
    model_fn: ModelMaker,
    x: NDArray[np.float32],
    y: NDArray[np.int32],
    members: NDArray[np.bool_],
    training: ShadowTraining,
    missing: list[int],
    seed: int,
    lanes: int,
) -> Iterator[tuple[int, list[NDArray[Any]]]]:
    """Train some shadow models and hand each over as soon as it is done.

    Parameters
    ----------
    model_fn, x, y, members, training
        As for :func:`~helpers.privacy.membership.shadows.train_shadows`.
    missing
        Rows of ``members`` to train.
    seed
        Of all of them; a model does not depend on which others are trained.
    lanes
        Models that train at the same time.

    Yields
    ------
    index, weights
        Row, and what ``get_weights()`` gives.

    Raises
    ------
    PrivacyError
        If a batch is larger than a shadow's own examples.
    """
    free: SimpleQueue[_Lane] = SimpleQueue()
    lanes = min(lanes, len(missing))
    first = model_fn(0)
    for number in range(lanes):
        free.put(_Lane(first if number == 0 else model_fn(0), x, y, training))

    def work(index: int, start: list[NDArray[Any]]) -> tuple[int, list[NDArray[Any]]]:
        lane = free.get()
        try:
            own = np.flatnonzero(members[index])
            return index, lane(start, epoch_batches(own, training, seeds_of(seed, index)[1]))
        finally:
            free.put(lane)

    with ThreadPoolExecutor(lanes) as pool:
        waiting, running = iter(missing), set()
        for _ in range(lanes):
            running |= _submit(pool, work, waiting, model_fn, seed)
        while running:
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                running |= _submit(pool, work, waiting, model_fn, seed)
                yield future.result()


def _submit(
    pool: ThreadPoolExecutor,
    work: Callable[[int, list[NDArray[Any]]], Any],
    waiting: Iterator[int],
    model_fn: ModelMaker,
    seed: int,
) -> set[Any]:
    """Start the next model, if any; Keras builds it here, as it is not made for threads."""
    index = next(waiting, None)
    if index is None:
        return set()
    return {pool.submit(work, index, model_fn(seeds_of(seed, index)[0]).get_weights())}


class _Lane:
    """A compiled training of one model after another."""

    def __init__(
        self,
        model: tf.keras.Model,
        x: NDArray[np.float32],
        y: NDArray[np.int32],
        training: ShadowTraining,
    ) -> None:
        self._model = model
        variables = model.trainable_variables
        inputs, labels = tf.constant(x), tf.constant(y)
        rate, momentum = training.learning_rate, training.momentum
        xla = all(type(layer) in _XLA_LAYERS for layer in model.layers)

        @tf.function(jit_compile=xla)
        def train(batches: tf.Tensor) -> None:
            velocities = [tf.zeros_like(variable) for variable in variables]
            for step in tf.range(tf.shape(batches)[0]):
                rows = batches[step]
                with tf.GradientTape() as tape:
                    logits = model(tf.gather(inputs, rows), training=True)
                    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
                        tf.gather(labels, rows), logits
                    )
                    objective = tf.add_n([tf.reduce_mean(losses), *model.losses])
                gradients = tape.gradient(objective, variables)
                velocities = [momentum * v + g for v, g in zip(velocities, gradients, strict=True)]
                for variable, velocity in zip(variables, velocities, strict=True):
                    variable.assign_sub(rate * velocity)

        self._train = train

    def __call__(self, start: list[NDArray[Any]], batches: NDArray[np.int32]) -> list[NDArray[Any]]:
        self._model.set_weights(start)
        # The shapes of all shadows are the same, so this compiles once a lane. Called through its
        # concrete form, since TensorFlow would warn that every lane compiles anew.
        rows = tf.constant(batches)
        self._train.get_concrete_function(rows)(rows)
        weights = [np.array(weight) for weight in self._model.get_weights()]
        if not all(np.isfinite(weight).all() for weight in weights):
            raise PrivacyError(
                "A shadow model has diverged to NaN or infinity: use a smaller learning_rate."
            )
        return weights
