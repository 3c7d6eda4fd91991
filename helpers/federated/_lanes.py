"""The training of the clients of one call, in lanes, compiled.

Compiling takes as long as many rounds. Networks of plain dense layers are made here anew from
their sizes and activations, and one compiled training then serves all tasks that differ in nothing
else than data of the same shape, weights, seeds and what the server does.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from helpers._dense import Layers, plain_layers, stand_in
from helpers.federated.model_check import build_model

if TYPE_CHECKING:
    from helpers.federated.task import FederatedTask
    from helpers.federated.vectorised import RoundPlan

# Plans, weights, and the stacked examples and labels, to updates and summed loss.
Train = Callable[
    [list["RoundPlan"], list[tf.Tensor], tf.Tensor, tf.Tensor], tuple[list[tf.Tensor], tf.Tensor]
]

_Lane = Callable[
    ["RoundPlan", list[tf.Tensor], tf.Tensor, tf.Tensor], tuple[list[tf.Tensor], tf.Tensor]
]

# Layers that XLA compiles to faster code than TensorFlow's kernels on a CPU, and that treat each
# example by itself, so that padding a batch cannot change the result.
_XLA_LAYERS = (
    tf.keras.layers.InputLayer,
    tf.keras.layers.Dense,
    tf.keras.layers.Flatten,
    tf.keras.layers.Reshape,
    tf.keras.layers.Rescaling,
    tf.keras.layers.Activation,
    tf.keras.layers.ReLU,
    tf.keras.layers.LeakyReLU,
)


@dataclass(frozen=True)
class _Recipe:
    """What a compiled training depends on, beside its networks."""

    lanes: int
    loss: str
    learning_rate: float
    proximal_mu: float
    xla: bool
    separate: bool


def compiled_training(
    task: FederatedTask, lanes: int, laid_out: Sequence[int], xla: bool | None, separate: bool
) -> Train:
    """Return the training of a task's clients as one compiled call.

    Parameters
    ----------
    task
        The task.
    lanes
        Number of groups of clients that train at the same time.
    laid_out
        Shape of a plan's batches.
    xla
        Whether to compile with XLA; None decides by the layers.
    separate
        Whether to keep the updates apart instead of averaging them.
    """
    network = build_model(task)
    use_xla = _suits_xla(network) if xla is None else xla
    local = task.local
    recipe = _Recipe(lanes, task.loss, local.learning_rate, local.proximal_mu, use_xla, separate)
    dense = plain_layers(network)
    if dense is None:
        return _train([network, *(build_model(task) for _ in range(lanes - 1))], recipe)
    x, y = task.stacked.x, task.stacked.y
    return _shared(recipe, dense, (*laid_out, *x.shape), (x.dtype.name, y.dtype.name))


@lru_cache(maxsize=16)
def _shared(
    recipe: _Recipe, dense: Layers, shapes: tuple[int, ...], dtypes: tuple[str, str]
) -> Train:
    """Compile a training once for all tasks with these layers, and data and plans so shaped."""
    shape = shapes[4:]  # after those of the batches and the number of examples
    train = _train([stand_in(shape, dense) for _ in range(recipe.lanes)], recipe)
    lock = threading.Lock()

    def alone(*arguments: Any) -> tuple[list[tf.Tensor], tf.Tensor]:
        with lock:  # the networks' variables are those of one call at a time
            return train(*arguments)

    return alone


def _train(networks: Sequence[tf.keras.Model], recipe: _Recipe) -> Train:
    """Compile the training of all lanes."""
    lanes = [_lane(network, recipe) for network in networks]

    @tf.function
    def train(
        plans: list[RoundPlan], weights: list[tf.Tensor], x: tf.Tensor, y: tf.Tensor
    ) -> tuple[list[tf.Tensor], tf.Tensor]:
        results = [lane(plan, weights, x, y) for lane, plan in zip(lanes, plans, strict=True)]
        updates, losses = zip(*results, strict=True)
        joined = [
            tf.concat(parts, axis=0) if recipe.separate else tf.add_n(parts)
            for parts in zip(*updates, strict=True)
        ]
        return joined, tf.add_n(losses)

    compiled: Train = train
    return compiled


def _suits_xla(model: tf.keras.Model) -> bool:
    return all(
        type(layer) in _XLA_LAYERS and getattr(layer, "activity_regularizer", None) is None
        for layer in model.layers
    )


def _lane(model: tf.keras.Model, recipe: _Recipe) -> _Lane:
    """Compile the training of one lane's clients, one after another."""
    variables = model.trainable_variables
    losses = _loss_function(recipe.loss)
    rate, proximal_mu = recipe.learning_rate, recipe.proximal_mu
    xla, separate = recipe.xla, recipe.separate

    def step(
        batch: tf.Tensor, size: tf.Tensor, start: list[tf.Tensor], x: tf.Tensor, y: tf.Tensor
    ) -> tf.Tensor:
        # XLA needs constant shapes: there a short batch is masked, elsewhere it is cut.
        positions = batch if xla else batch[:size]
        counts = tf.cast(tf.range(len(batch)) < size, tf.float32) if xla else 1.0
        with tf.GradientTape() as tape:
            logits = model(tf.gather(x, positions), training=True)
            total = tf.reduce_sum(counts * losses(tf.gather(y, positions), logits))
            objective = tf.add_n([total / tf.cast(size, tf.float32), *model.losses])
        for variable, gradient, origin in zip(
            variables, tape.gradient(objective, variables), start, strict=True
        ):
            if proximal_mu > 0:
                gradient += proximal_mu * (variable - origin)
            variable.assign_sub(rate * gradient)
        return total

    def keep(kept: tf.Tensor, plan: RoundPlan, row: tf.Tensor, difference: tf.Tensor) -> tf.Tensor:
        if separate:
            return tf.tensor_scatter_nd_update(kept, [[row]], difference[None])
        return kept + plan.shares[row] * difference

    @tf.function(jit_compile=xla)
    def lane(
        plan: RoundPlan, weights: list[tf.Tensor], x: tf.Tensor, y: tf.Tensor
    ) -> tuple[list[tf.Tensor], tf.Tensor]:
        rows = [plan.steps.shape[0]] if separate else []
        update = [tf.zeros([*rows, *weight.shape]) for weight in weights]
        loss = tf.constant(0.0)
        row = tf.constant(0)
        # Clients fill the rows from the first; those left over cost nothing.
        used = tf.math.count_nonzero(plan.steps, dtype=tf.int32)
        while row < used:
            for variable, weight in zip(variables, weights, strict=True):
                variable.assign(weight)
            turn = tf.constant(0)
            while turn < plan.steps[row]:
                batch, size = plan.batches[row, turn], plan.batch_sizes[row, turn]
                loss += step(batch, size, weights, x, y)
                turn += 1
            update = [
                keep(kept, plan, row, variable - weight)
                for kept, variable, weight in zip(update, variables, weights, strict=True)
            ]
            row += 1
        return update, loss

    compiled: _Lane = lane
    return compiled


def _loss_function(name: str) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    if name == "binary_crossentropy":
        return lambda labels, logits: tf.nn.sigmoid_cross_entropy_with_logits(
            tf.cast(labels, tf.float32), logits[:, 0]
        )
    return tf.nn.sparse_softmax_cross_entropy_with_logits
