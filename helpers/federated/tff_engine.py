"""The reference engine: ``tff.learning`` of TensorFlow Federated, fed with our very batches."""

from __future__ import annotations

import atexit
import functools
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from helpers.federated.model_check import build_model
from helpers.federated.private import private_update
from helpers.federated.sampling import epoch_orders

if TYPE_CHECKING:
    from helpers.federated.private import PrivateAggregator
    from helpers.federated.task import FederatedTask, ServerOptimizer


class ProximalSGD(tff.learning.optimizers.Optimizer):
    """SGD on the local objective of FedProx: loss + (mu / 2) * ||w - w_global||^2.

    ``tff.learning.algorithms.build_weighted_fed_prox`` of TFF 0.87 adds mu * (w_global - w) to the
    gradient, the opposite sign, and so pushes clients *away* from the global model (a test holds
    this against the closed form). The first step of a client starts at the global model, so the
    optimiser can remember it as the anchor and do it right.
    """

    def __init__(self, learning_rate: float, proximal_mu: float) -> None:
        self._rate, self._mu = learning_rate, proximal_mu

    def initialize(self, specs: Any) -> Any:
        """Start with no anchor."""
        zeros = tf.nest.map_structure(lambda s: tf.zeros(s.shape, s.dtype), specs)
        return {"started": tf.constant(False), "anchor": zeros}

    def next(self, state: Any, weights: Any, gradients: Any) -> tuple[Any, Any]:
        """Take one step; the first one also sets the anchor."""
        anchor = tf.nest.map_structure(
            lambda w, a: tf.where(state["started"], a, w), weights, state["anchor"]
        )
        moved = tf.nest.map_structure(
            lambda w, g, a: w - self._rate * (g + self._mu * (w - a)), weights, gradients, anchor
        )
        return {"started": tf.constant(True), "anchor": anchor}, moved


class TffEngine:
    """Runs rounds of a task with ``tff.learning.algorithms``."""

    def __init__(self, task: FederatedTask) -> None:
        stop_worker_at_exit()
        self._task = task
        self._process = _process(task)
        start = tff.learning.models.ModelWeights(list(task.initial_weights), [])
        self._state = self._process.set_model_weights(self._process.initialize(), start)

    @property
    def weights(self) -> list[np.ndarray]:
        """Global weights, float32."""
        return [np.asarray(w) for w in self._state.global_model_weights.trainable]

    def train(self, round_number: int, clients: np.ndarray) -> float:
        """Run one round and return the mean training loss."""
        data = [_dataset(self._task, round_number, int(client)) for client in clients]
        output = self._process.next(self._state, data)
        self._state = output.state
        return float(output.metrics["client_work"]["train"]["loss"])

    def state(self) -> list[np.ndarray]:
        """Return everything the next round depends on."""
        return [np.asarray(leaf) for leaf in tf.nest.flatten(self._state)]

    def restore(self, arrays: Sequence[np.ndarray]) -> None:
        """Continue from what :meth:`state` returned."""
        self._state = tf.nest.pack_sequence_as(self._state, list(arrays))


class PrivateTffEngine:
    """Runs rounds of a private task: TFF trains the clients and steps the server.

    ``tff.learning`` draws a private round's noise from generators of its own, whose state is no
    part of a checkpoint and which no other engine could repeat. So the clients' work is a TFF
    computation that leaves its results at the clients, the run's private aggregator makes one
    update of them, and a TFF finalizer applies it.

    Parameters
    ----------
    task
        A task with a private aggregator.
    private
        The run's own; its state is its owner's to save.
    """

    def __init__(self, task: FederatedTask, private: PrivateAggregator) -> None:
        stop_worker_at_exit()
        self._task, self._private = task, private
        self._clients_work, self._finalizer = _private_parts(task)
        self._server = self._finalizer.initialize()
        self._weights = list(task.initial_weights)

    @property
    def weights(self) -> list[np.ndarray]:
        """Global weights, float32."""
        return list(self._weights)

    def train(self, round_number: int, clients: np.ndarray) -> float:
        """Run one round and return the mean training loss; without clients it is 0."""
        rows, loss = np.zeros((0, sum(w.size for w in self._weights)), np.float32), 0.0
        model = tff.learning.models.ModelWeights(self._weights, [])
        if len(clients):
            data = [_dataset(self._task, round_number, int(client)) for client in clients]
            results, metrics = self._clients_work(model, data)
            # TFF's update is a gradient: old minus new.
            rows = -np.stack([np.concatenate([u.ravel() for u in r.update]) for r in results])
            loss = float(metrics["train"]["loss"])
        vector = private_update(self._private, rows)
        ends = np.cumsum([w.size for w in self._weights])[:-1]
        parts = zip(np.split(-vector, ends), self._weights, strict=True)
        gradient = [part.reshape(w.shape) for part, w in parts]
        output = self._finalizer.next(self._server, model, gradient)
        self._server = output.state
        self._weights = [np.asarray(w) for w in output.result.trainable]
        return loss

    def state(self) -> list[np.ndarray]:
        """Return everything the next round depends on."""
        leaves = [np.asarray(leaf) for leaf in tf.nest.flatten(self._server)]
        return [*self._weights, *leaves]

    def restore(self, arrays: Sequence[np.ndarray]) -> None:
        """Continue from what :meth:`state` returned."""
        count = len(self._weights)
        self._weights = list(arrays[:count])
        self._server = tf.nest.pack_sequence_as(self._server, list(arrays[count:]))


# TFF's computations keep no state, and tracing them takes seconds: a run of the task that the run
# before it had takes what that one traced.
@functools.lru_cache(maxsize=1)
def _process(task: FederatedTask) -> Any:
    build = (
        tff.learning.algorithms.build_weighted_fed_avg
        if task.weighting == "examples"
        else tff.learning.algorithms.build_unweighted_fed_avg
    )
    return build(
        lambda: _tff_model(task),
        client_optimizer_fn=_client_optimizer(task),
        server_optimizer_fn=_server_optimizer(task.server),
    )


@functools.lru_cache(maxsize=1)
def _private_parts(task: FederatedTask) -> tuple[Any, Any]:
    """Return what the clients and what the server of a private run compute."""
    work = tff.learning.templates.build_model_delta_client_work(
        lambda: _tff_model(task),
        _client_optimizer(task),
        tff.learning.ClientWeighting.UNIFORM,
    )
    weights_type = work.next.type_signature.parameter[1].member
    finalizer = tff.learning.templates.build_apply_optimizer_finalizer(
        _server_optimizer(task.server), weights_type
    )
    return _clients_work(work, weights_type), finalizer


def _clients_work(work: Any, weights_type: Any) -> Any:
    """Return the computation that trains all clients and keeps each one's result apart."""

    @tff.federated_computation(
        tff.FederatedType(weights_type, tff.SERVER), work.next.type_signature.parameter[2]
    )
    def train(weights: Any, data: Any) -> Any:
        output = work.next(work.initialize(), tff.federated_broadcast(weights), data)
        return output.result, output.measurements

    return train


def _tff_model(task: FederatedTask) -> tff.learning.models.VariableModel:
    shape = task.clients[0].x.shape[1:]
    binary = task.loss == "binary_crossentropy"
    return tff.learning.models.from_keras_model(
        build_model(task),
        loss=tf.keras.losses.BinaryCrossentropy(from_logits=True)
        if binary
        else tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        input_spec=(
            tf.TensorSpec((None, *shape), tf.float32),
            # Keras broadcasts (n,) against (n, 1) to (n, n): binary labels need the column.
            tf.TensorSpec((None, 1) if binary else (None,), tf.int32),
        ),
    )


def _client_optimizer(task: FederatedTask) -> tff.learning.optimizers.Optimizer:
    if task.local.proximal_mu > 0:
        return ProximalSGD(task.local.learning_rate, task.local.proximal_mu)
    return tff.learning.optimizers.build_sgdm(task.local.learning_rate)


def _server_optimizer(server: ServerOptimizer) -> tff.learning.optimizers.Optimizer:
    if server.name == "fedadam":
        return tff.learning.optimizers.build_adam(
            server.learning_rate, server.beta_1, server.beta_2, server.epsilon
        )
    return tff.learning.optimizers.build_sgdm(server.learning_rate, server.momentum or None)


def _dataset(task: FederatedTask, round_number: int, client: int) -> tf.data.Dataset:
    """Return a client's batches of one round, the same as every other engine's."""
    data = task.clients[client]
    labels = data.y[:, None] if task.loss == "binary_crossentropy" else data.y
    orders = epoch_orders(task.seed, round_number, client, len(data), task.local.epochs)
    epochs = [
        tf.data.Dataset.from_tensor_slices((data.x[order], labels[order])).batch(
            task.local.batch_size
        )
        for order in orders
    ]
    joined = epochs[0]
    for epoch in epochs[1:]:
        joined = joined.concatenate(epoch)
    return joined


@functools.cache
def stop_worker_at_exit() -> None:
    """Arrange, once a process, that TFF's worker process ends with it.

    TFF stops it in ``__del__``, which at interpreter exit runs too late and fails; the orphan then
    keeps standard output open, and a pipe that reads it never ends.
    """
    atexit.register(_stop_workers, os.getpid())


def _stop_workers(owner: int) -> None:
    if os.getpid() != owner:  # a forked child must not stop its parent's worker
        return
    for child in _worker_children(owner):
        os.kill(child, signal.SIGKILL)


def _worker_children(parent: int) -> list[int]:
    """Return the ids of this process's own children named ``worker_binary``."""
    ids = []
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            fields = dict(line.split(":\t", 1) for line in status.read_text().splitlines())
        except (OSError, ValueError):
            continue  # the process ended while we looked
        if fields["Name"] == "worker_binary" and int(fields["PPid"]) == parent:
            ids.append(int(status.parent.name))
    return ids
