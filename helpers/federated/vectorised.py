"""Our engine: the local training of all sampled clients in one compiled call a round.

The loop over clients runs *inside* one ``tf.function``, where a step costs its arithmetic and not
a return to Python. Two measures make it faster still (the part ``design`` of
``benchmarks/federated_engines.py`` measures each):

* the clients are split over two lanes, each with its own copy of the variables, that run at the
  same time. The number is fixed, so that the order of every sum, and with it every bit of the
  result, does not depend on the machine's number of cores;
* networks of dense layers are compiled with XLA. Convolutions are not: XLA's convolution gradients
  on a CPU are slower than TensorFlow's own kernels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import tensorflow as tf

from helpers.federated._lanes import compiled_training
from helpers.federated.averaging import (
    initial_server_state,
    normalised_shares,
    server_step,
    weighted_average,
)
from helpers.federated.receiving import Receiver
from helpers.federated.sampling import epoch_orders

if TYPE_CHECKING:
    from helpers.federated.private import PrivateAggregator
    from helpers.federated.task import FederatedTask

LANES = 2


class RoundPlan(NamedTuple):
    """The batches of one round, padded to shapes that never change, so nothing is compiled twice.

    Attributes
    ----------
    batches
        Positions in the task's stacked data, int32 ``(clients, steps, batch_size)``.
    batch_sizes
        Number of those that count, int32 ``(clients, steps)``.
    steps
        Number of steps that count, int32 ``(clients,)``.
    shares
        Weight of each client's update, float32 ``(clients,)``.
    """

    batches: np.ndarray
    batch_sizes: np.ndarray
    steps: np.ndarray
    shares: np.ndarray


def plan_round(
    task: FederatedTask, round_number: int, clients: Sequence[int] | np.ndarray, rows: int
) -> RoundPlan:
    """Lay out the batches of some clients in ``rows`` rows; unused rows train on nothing.

    Parameters
    ----------
    task
        The task.
    round_number
        Number of the round, from 1.
    clients
        Positions of at most ``rows`` clients.
    rows
        Number of rows to lay out.

    Returns
    -------
    RoundPlan
        Shares hold the weight before normalisation: number of examples, or 1.
    """
    size, epochs = task.local.batch_size, task.local.epochs
    # To a power of two, so that tasks whose largest clients differ a little share what is compiled.
    width = 1 << (-(-int(task.sizes.max()) // size) - 1).bit_length()
    batches = np.zeros((rows, epochs * width, size), np.int32)
    batch_sizes = np.zeros((rows, epochs * width), np.int32)
    steps, shares = np.zeros(rows, np.int32), np.zeros(rows, np.float32)
    for row, client in enumerate(clients):
        count = int(task.sizes[client])
        per_epoch = -(-count // size)
        padded = np.zeros((epochs, per_epoch * size), np.int32)
        orders = epoch_orders(task.seed, round_number, int(client), count, epochs)
        padded[:, :count] = orders + task.starts[client]
        steps[row] = epochs * per_epoch
        batches[row, : steps[row]] = padded.reshape(-1, size)
        batch_sizes[row, : steps[row]] = size
        batch_sizes[row, per_epoch - 1 : steps[row] : per_epoch] = count - (per_epoch - 1) * size
        shares[row] = count if task.weighting == "examples" else 1
    return RoundPlan(batches, batch_sizes, steps, shares)


class LocalTrainer:
    """Trains clients on their own data, up to a fixed number of them in one compiled call.

    Parameters
    ----------
    task
        The task.
    num_clients
        Most clients a compiled call trains; more are trained in several, one after another.
    lanes
        Number of groups of clients that train at the same time.
    xla
        Whether to compile with XLA; None decides by the layers.
    separate
        Whether to keep the updates apart instead of averaging them.
    """

    def __init__(
        self,
        task: FederatedTask,
        num_clients: int,
        lanes: int = LANES,
        xla: bool | None = None,
        separate: bool = False,
    ) -> None:
        self._task = task
        self._separate = separate
        self._most = num_clients
        self._lanes = min(lanes, num_clients)
        self._rows = -(-num_clients // self._lanes)
        self._data = tf.constant(task.stacked.x), tf.constant(task.stacked.y)
        shape = plan_round(task, 1, [], self._rows).batches.shape
        self._train = compiled_training(task, self._lanes, shape, xla, separate)
        # Training nobody compiles the call, so that no round pays for it.
        self(task.initial_weights, 1, [])

    def __call__(
        self,
        weights: Sequence[np.ndarray],
        round_number: int,
        clients: Sequence[int] | np.ndarray,
    ) -> tuple[list[np.ndarray], float]:
        """Train the clients from ``weights`` and average their updates, or keep them apart.

        Parameters
        ----------
        weights
            Global weights, float32.
        round_number
            Number of the round, from 1; it decides the batches.
        clients
            Positions of the clients.

        Returns
        -------
        update, train_loss
            Weighted mean of (new minus old) weights, and mean loss over all batches. With
            ``separate`` each array has a first axis with one entry a client, in their order.
        """
        ids = np.asarray(clients, dtype=np.int64)
        starts = range(0, max(len(ids), 1), self._most)
        groups = [ids[start : start + self._most] for start in starts]
        parts = [self._train_group(weights, round_number, group) for group in groups]
        updates, losses, seen = zip(*parts, strict=True)
        return self._joined(groups, updates), sum(losses) / max(sum(seen), 1)

    def _train_group(
        self, weights: Sequence[np.ndarray], round_number: int, ids: np.ndarray
    ) -> tuple[list[np.ndarray], float, int]:
        """Make one compiled call; returns updates, summed loss and examples trained on."""
        plans = self._balanced_plans(round_number, ids)
        tensors = [RoundPlan(*(tf.constant(array) for array in plan)) for plan in plans]
        update, loss = self._train(tensors, [tf.constant(w) for w in weights], *self._data)
        seen = sum(int(plan.batch_sizes.sum()) for plan in plans)
        arrays = [u.numpy() for u in update]
        if self._separate:
            rows = self._rows_of(ids)
            arrays = [array[rows] for array in arrays]
        return arrays, float(loss), seen

    def _joined(
        self, groups: Sequence[np.ndarray], updates: Sequence[list[np.ndarray]]
    ) -> list[np.ndarray]:
        """Join what the calls returned: rows one after another, averages by their weights."""
        if len(groups) == 1:
            return updates[0]
        if self._separate:
            return [np.concatenate(arrays) for arrays in zip(*updates, strict=True)]
        sizes = self._task.sizes
        by_examples = self._task.weighting == "examples"
        return weighted_average(
            updates, [sizes[g].sum() if by_examples else len(g) for g in groups]
        )

    def _balanced_plans(self, round_number: int, ids: np.ndarray) -> list[RoundPlan]:
        """Deal the clients out to the lanes, largest first, so that the lanes end together."""
        dealt = ids[self._largest_first(ids)]
        plans = [
            plan_round(self._task, round_number, dealt[lane :: self._lanes], self._rows)
            for lane in range(self._lanes)
        ]
        if not len(ids):
            return plans
        shares = normalised_shares(np.concatenate([plan.shares for plan in plans]))
        return [
            plan._replace(shares=part.astype(np.float32))
            for plan, part in zip(plans, np.split(shares, self._lanes), strict=True)
        ]

    def _largest_first(self, ids: np.ndarray) -> np.ndarray:
        return np.argsort(-self._task.sizes[ids], kind="stable")

    def _rows_of(self, ids: np.ndarray) -> np.ndarray:
        """Return where each client's update lies when the lanes' rows follow one another."""
        order = self._largest_first(ids)
        turns = np.arange(len(order))
        rows = np.empty(len(order), np.int64)
        rows[order] = turns % self._lanes * self._rows + turns // self._lanes
        return rows


def _usual_number(task: FederatedTask) -> int:
    """Return a number of clients that few rounds exceed, for which to lay out memory."""
    if task.sample_rate is None:
        return task.num_sampled
    total = len(task.clients)
    mean = task.sample_rate * total
    # Three standard deviations of the binomial count.
    return min(total, math.ceil(mean + 3 * math.sqrt(mean * (1 - task.sample_rate))))


class VectorisedEngine:
    """Runs rounds of a task with :class:`LocalTrainer` and a server optimiser in NumPy.

    Parameters
    ----------
    task
        The task.
    trainer
        A trainer of a task that differs only in aggregator, adversary and worker momentum, to
        save compiling another; it must keep updates apart if this task needs them.
    private
        The run's private aggregator, where the task is private; its state is its owner's to save.
    """

    def __init__(
        self,
        task: FederatedTask,
        trainer: LocalTrainer | None = None,
        private: PrivateAggregator | None = None,
    ) -> None:
        self._task = task
        self._weights = list(task.initial_weights)
        self._server = initial_server_state(task.server, self._weights)
        self._receiver = Receiver(task, private) if task.needs_each_update else None
        self._trainer = trainer or LocalTrainer(
            task, _usual_number(task), separate=task.needs_each_update
        )
        own = task.server_task
        self._server_trainer = None if own is None else LocalTrainer(own, num_clients=1)

    @property
    def weights(self) -> list[np.ndarray]:
        """Global weights, float32."""
        return list(self._weights)

    def train(self, round_number: int, clients: np.ndarray) -> float:
        """Run one round and return the mean training loss."""
        update, loss = self._trainer(self._weights, round_number, clients)
        if self._receiver is not None:
            update = self._received(self._receiver, round_number, clients, update)
        self._server, self._weights = server_step(
            self._task.server, self._server, self._weights, update
        )
        return loss

    def _received(
        self, receiver: Receiver, round_number: int, clients: np.ndarray, updates: list[np.ndarray]
    ) -> list[np.ndarray]:
        """Aggregate the clients' updates, each array with one entry a client."""
        own = None
        if self._server_trainer is not None:
            arrays, _ = self._server_trainer(self._weights, round_number, [0])
            own = np.concatenate([array.ravel() for array in arrays])
        rows = [
            u.reshape(len(clients), w.size) for u, w in zip(updates, self._weights, strict=True)
        ]
        matrix = np.concatenate(rows, axis=1)
        vector = receiver(round_number, np.asarray(clients), matrix, own)
        ends = np.cumsum([w.size for w in self._weights])[:-1]
        parts = np.split(vector, ends)
        return [part.reshape(w.shape) for part, w in zip(parts, self._weights, strict=True)]

    def state(self) -> list[np.ndarray]:
        """Return everything the next round depends on."""
        received = [] if self._receiver is None else self._receiver.state()
        return [*received, *self._weights, *self._server]

    def restore(self, arrays: Sequence[np.ndarray]) -> None:
        """Continue from what :meth:`state` returned."""
        arrays = list(arrays)
        if self._receiver is not None:
            held = len(self._receiver.state())
            self._receiver.restore(arrays[:held])
            arrays = arrays[held:]
        count = len(self._weights)
        self._weights, self._server = arrays[:count], arrays[count:]
