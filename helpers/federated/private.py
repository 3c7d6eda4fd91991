"""What a task asks of the object that makes its rounds private, and what would break its promise.

The mechanism itself lives elsewhere (:class:`helpers.privacy.dp_fedavg.DPFedAvg` is one): it takes
one flat update a client and returns one flat update that may be published. This module holds what
the engines need of it, and refuses tasks in which the noise would not hide a client.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from helpers.errors import TaskError

if TYPE_CHECKING:
    from helpers.federated.task import FederatedTask


@runtime_checkable
class PrivateAggregator(Protocol):
    """Clips each client's update, adds noise to the sum, divides by the expected clients.

    Attributes
    ----------
    noise_multiplier
        Standard deviation of a round's noise over the clip norm, all releases of the round
        together; 0 is no privacy.
    expected_clients
        Number that the noisy sum is divided by: probability of joining times number of clients.
    """

    noise_multiplier: float
    expected_clients: float

    @property
    def l2_norm_clip(self) -> float:
        """Clip norm of the next round."""
        ...

    def __call__(self, updates: np.ndarray) -> np.ndarray:
        """Turn float ``(n, d)``, one row a client and perhaps none, into one update ``(d,)``."""
        ...

    def fresh(self) -> PrivateAggregator:
        """Return one with the same settings that has not aggregated anything."""
        ...

    def state(self) -> list[np.ndarray]:
        """Return everything the next round depends on: clip norm, position of the generator."""
        ...

    def restore(self, arrays: Sequence[np.ndarray]) -> None:
        """Continue from what :meth:`state` returned."""
        ...


def check_private_settings(task: FederatedTask) -> None:
    """Refuse a task whose rounds could depend on one client by more than the noise hides.

    Parameters
    ----------
    task
        A task with a private aggregator, whose other settings are already checked.

    Raises
    ------
    TaskError
        With the reason, and the setting to use instead.
    """
    private: Any = task.private_aggregator
    if not isinstance(private, PrivateAggregator):
        raise TaskError(
            f"private_aggregator={private!r} cannot make a round private: give an object such as "
            "helpers.privacy.dp_fedavg.DPFedAvg(noise_multiplier, expected_clients)."
        )
    if task.aggregator is not None:
        raise TaskError(
            f"aggregator={task.aggregator!r} would choose among the updates before the noise: one "
            "client can then decide which others count, and noise of the size of one clipped "
            "update no longer hides it. Remove it. What comes after the noise is safe: any server "
            "optimiser, or any aggregator where each client adds noise of its own before sending."
        )
    if task.weighting != "uniform":
        raise TaskError(
            f"weighting={task.weighting!r} makes a client's weight, and the sum that divides it, "
            'depend on its data, which the noise does not cover: use weighting="uniform".'
        )
    if task.sample_rate is None and task.num_sampled < len(task.clients):
        raise TaskError(
            f"clients_per_round={task.clients_per_round} draws a fixed number of clients. One "
            "client more then pushes another one out, and no amplification is accounted for. Use "
            f"sample_rate={task.num_sampled / len(task.clients):.4g}, by which each client joins "
            "independently, or clients_per_round=None for all of them."
        )
    expected = task.participation_rate * len(task.clients)
    if not np.isclose(private.expected_clients, expected, rtol=1e-6):
        raise TaskError(
            f"private_aggregator divides by expected_clients={private.expected_clients:g}, but "
            f"{expected:g} clients are expected (rate {task.participation_rate:g} of "
            f"{len(task.clients)}): set expected_clients={expected:g}."
        )


def private_update(private: PrivateAggregator, updates: np.ndarray) -> np.ndarray:
    """Aggregate a round, with a client that sent NaN or infinity counted as absent.

    That is decided row by row, so that still no client changes more than its own row.

    Parameters
    ----------
    private
        Aggregator of the run.
    updates
        One flattened update a row, float32 ``(n, d)``; n may be 0.

    Returns
    -------
    np.ndarray
        float32 ``(d,)``.

    Raises
    ------
    TaskError
        If the aggregator returns another shape.
    """
    usable = updates[np.isfinite(updates).all(axis=1)]
    vector = np.asarray(private(usable), dtype=np.float32)
    if vector.shape != updates.shape[1:]:
        raise TaskError(
            f"{private!r} returned shape {vector.shape}; one update of shape {updates.shape[1:]} "
            "is needed."
        )
    return vector


def expected_update(private: PrivateAggregator, updates: np.ndarray) -> np.ndarray:
    """Return what :func:`private_update` gives on average over its noise, float32 ``(d,)``.

    An adversary who knows the rule but not the noise can compute no more than this.
    """
    rows = updates[np.isfinite(updates).all(axis=1)].astype(np.float64)
    norms = np.linalg.norm(rows, axis=1)
    clip = private.l2_norm_clip
    shares = clip / np.maximum(norms, clip) / private.expected_clients
    return (shares @ rows).astype(np.float32)
