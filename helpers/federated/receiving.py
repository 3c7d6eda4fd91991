"""How the server turns the updates of a round into one, when it must see each by itself.

Worker momentum first (the clients send it), then the adversary replaces what its clients send,
then the aggregator decides, or the private aggregator clips, adds up and adds noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from helpers.errors import TaskError
from helpers.federated.averaging import normalised_shares
from helpers.federated.byzantine.adversary import AttackView
from helpers.federated.private import PrivateAggregator, expected_update, private_update
from helpers.federated.robust.aggregator import Aggregator, ReceivedRound
from helpers.federated.robust.preaggregation import worker_momentum
from helpers.federated.sampling import round_generator

if TYPE_CHECKING:
    from helpers.federated.task import FederatedTask


def average(received: ReceivedRound) -> np.ndarray:
    """Average by the weights that clients claim, ``(d,)``: what a task does without aggregator."""
    shares = normalised_shares(received.num_examples)
    return (shares @ received.updates).astype(received.updates.dtype)


class Receiver:
    """Aggregates a task's rounds and keeps what the next round needs.

    Parameters
    ----------
    task
        The task.
    private
        The run's private aggregator, needed if the task has one.

    Raises
    ------
    TaskError
        If the task is private and ``private`` is missing.
    """

    def __init__(self, task: FederatedTask, private: PrivateAggregator | None = None) -> None:
        if task.private_aggregator is not None and private is None:
            raise TaskError(
                "The task is private, but its engine was made without the run's private "
                "aggregator: pass private=task.private_aggregator.fresh()."
            )
        self._task, self._private = task, private
        size = sum(w.size for w in task.initial_weights)
        self._previous = np.zeros(size, np.float32)
        remembering = len(task.clients) if task.worker_momentum else 0
        self._momenta = np.zeros((remembering, size), np.float32)
        self._started = np.zeros(remembering, bool)

    def __call__(
        self,
        round_number: int,
        clients: np.ndarray,
        updates: np.ndarray,
        server_update: np.ndarray | None,
    ) -> np.ndarray:
        """Aggregate one round.

        Parameters
        ----------
        round_number
            Number of the round, from 1.
        clients
            Positions of its clients, int64 ``(n,)``.
        updates
            What they learned, float32 ``(n, d)``.
        server_update
            What the server learned from its own data, float32 ``(d,)``, or None.

        Returns
        -------
        np.ndarray
            float32 ``(d,)``.

        Raises
        ------
        TaskError
            If an attack or the aggregator returns something of another shape, or the aggregator
            cannot work with these updates.
        """
        task = self._task
        if task.worker_momentum:
            updates = self._with_momentum(clients, updates)
        weights = task.sizes[clients] if task.weighting == "examples" else np.ones(len(clients))
        received = ReceivedRound(
            updates=updates,
            num_examples=np.asarray(weights, np.float64),
            clients=clients,
            round_number=round_number,
            previous=self._previous,
            server_update=server_update,
            rng=lambda: round_generator(task.seed, "aggregation", round_number),
        )
        if task.adversary is not None:
            received = _attacked(task, self._foreseen(), received)
        if self._private is not None:
            self._previous = private_update(self._private, received.updates)
        else:
            aggregate = task.aggregator or average
            self._previous = _checked(aggregate(received), updates.shape[1])
        return self._previous

    def _foreseen(self) -> Aggregator:
        """Return the server's rule as an adversary knows it: without the privacy noise."""
        private = self._private
        if private is None:
            return self._task.aggregator or average
        return lambda received: expected_update(private, received.updates)

    def _with_momentum(self, clients: np.ndarray, updates: np.ndarray) -> np.ndarray:
        sent = worker_momentum(
            updates, self._momenta[clients], self._started[clients], self._task.worker_momentum
        )
        self._momenta[clients], self._started[clients] = sent, True
        return sent

    def state(self) -> list[np.ndarray]:
        """Return everything the next round depends on."""
        return [self._previous, self._momenta.copy(), self._started.copy()]

    def restore(self, arrays: Sequence[np.ndarray]) -> None:
        """Continue from what :meth:`state` returned."""
        self._previous, self._momenta, self._started = (array.copy() for array in arrays)


def _attacked(task: FederatedTask, aggregate: Aggregator, received: ReceivedRound) -> ReceivedRound:
    """Replace the updates of the Byzantine clients in a round by what they send instead."""
    assert task.adversary is not None
    byzantine = np.isin(received.clients, task.adversary.clients)
    if not byzantine.any():
        return received
    number = received.round_number

    def with_updates(sent: np.ndarray) -> ReceivedRound:
        updates = received.updates.copy()
        updates[byzantine] = sent
        return replace(received, updates=updates)

    def response(sent: np.ndarray) -> np.ndarray:
        # The adversary knows the rule, not the server's coins: it draws some of its own.
        guess = replace(with_updates(sent), rng=lambda: round_generator(task.seed, "guess", number))
        return np.asarray(aggregate(guess))

    seen = ~byzantine if not byzantine.all() else byzantine
    view = AttackView(
        honest=received.updates[seen],
        honest_clients=received.clients[seen],
        own=received.updates[byzantine],
        previous=received.previous,
        round_number=number,
        response=response,
        rng=round_generator(task.seed, "attack", number),
    )
    sent = np.asarray(task.adversary.attack(view))
    if sent.shape != view.own.shape:
        raise TaskError(
            f"{task.adversary.attack!r} returned shape {sent.shape}; {view.own.shape} is needed, "
            "one update for each Byzantine client of the round."
        )
    with np.errstate(over="ignore"):
        return with_updates(sent)


def _checked(aggregate: np.ndarray, size: int) -> np.ndarray:
    vector = np.asarray(aggregate, dtype=np.float32)
    if vector.shape != (size,):
        raise TaskError(
            f"The aggregator returned shape {vector.shape}; one update of shape ({size},) is "
            "needed."
        )
    return vector
