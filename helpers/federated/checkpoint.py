"""What a checkpoint of a federated run holds, and what decides whether it may be resumed."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from helpers._files import Saved, SavedRun, hashes, write_atomically
from helpers.errors import TaskError
from helpers.federated.history import RoundRecord

if TYPE_CHECKING:
    from helpers.federated.task import FederatedTask

__all__ = [
    "Checkpoint",
    "CheckpointFolder",
    "described",
    "fingerprint",
    "hashes",
    "write_atomically",
]

Checkpoint = Saved[RoundRecord]


class CheckpointFolder(SavedRun[RoundRecord]):
    """Checkpoints of one task in one folder, one a round.

    Parameters
    ----------
    path
        Folder; made if missing.
    task_fingerprint
        What :func:`fingerprint` returned.

    Raises
    ------
    TaskError
        If the folder cannot be written to.
    """

    def __init__(self, path: str | os.PathLike[str], task_fingerprint: dict[str, Any]) -> None:
        super().__init__(
            path,
            task_fingerprint,
            unit="round",
            encode=RoundRecord.to_json,
            decode=RoundRecord.from_json,
            error=TaskError,
        )


def fingerprint(task: FederatedTask, engine: str) -> dict[str, Any]:
    """Describe everything that decides the outcome of a task, as plain JSON values.

    Two runs with the same fingerprint give the same weights; the number of rounds is no part of
    it, so that a run can be prolonged.
    """
    from helpers.federated.model_check import describe_layers

    return {
        "engine": engine,
        "layers": describe_layers(task),
        "initial weights": hashes(task.initial_weights),
        "clients": hashes([a for client in task.clients for a in (client.x, client.y)]),
        "test": hashes([task.test.x, task.test.y]),
        "epochs": task.local.epochs,
        "batch_size": task.local.batch_size,
        "learning_rate": task.local.learning_rate,
        "proximal_mu": task.local.proximal_mu,
        "server": repr(task.server),
        "clients_per_round": task.num_sampled if task.sample_rate is None else None,
        "sample_rate": task.sample_rate,
        "weighting": task.weighting,
        "seed": int(task.seed),
        "loss": task.loss,
        "aggregator": described(task.aggregator),
        "adversary": described(task.adversary),
        "worker_momentum": task.worker_momentum,
        "server_data": hashes([task.server_task.stacked.x, task.server_task.stacked.y])
        if task.server_task is not None
        else None,
        "private_aggregator": None
        if task.private_aggregator is None
        else described(task.private_aggregator),
    }


def described(part: Any) -> str:
    """Return an aggregator or adversary as text that is the same in every process."""

    def plain(value: Any) -> Any:
        if is_dataclass(value) and not isinstance(value, type):
            named = {f.name: getattr(value, f.name) for f in fields(value)}
            return {"type": type(value).__name__, **named}
        if isinstance(value, Mapping):
            return dict(value)
        if isinstance(value, np.ndarray | np.generic):
            return value.tolist()
        # An object's own repr may hold its address; its code's name is the best there is.
        named_code = value if hasattr(value, "__qualname__") else type(value)
        return f"{named_code.__module__}.{named_code.__qualname__}"

    return json.dumps(part, default=plain, sort_keys=True)
