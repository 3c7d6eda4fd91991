"""A federated task that a node can train without TensorFlow: dense layers, in NumPy.

The same numbers as :class:`~helpers.federated.FederatedTask` gives: same clients in a round, same
batches, same initial weights, same server step. Importing TensorFlow takes 600 MB and ten seconds
in each process, and is code that a hospital would have to keep patched.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from helpers.errors import TaskError
from helpers.federated.checkpoint import described, hashes
from helpers.federated.robust.aggregator import RobustAggregator
from helpers.federated.task import (
    ClientData,
    FederatedTask,
    LocalTraining,
    ServerOptimizer,
    Weighting,
)
from helpers.federated.validation import require_whole

if TYPE_CHECKING:
    import tensorflow as tf

_INITIAL_WEIGHTS = 64  # stream of the seed, beside those in helpers.federated.sampling


@dataclass(frozen=True, eq=False)
class DenseTask:
    """What a consortium trains, without anybody's data.

    Attributes
    ----------
    layer_sizes
        Number of features, widths of hidden ReLU layers if any, number of classes. ``(30, 2)`` is
        softmax regression.
    num_examples
        Examples of each client, as it declared them when it joined: the weight of its update. A
        client that could claim a weight with each update could outvote the others.
    local, server, clients_per_round, weighting, seed
        As in :class:`~helpers.federated.FederatedTask`.
    aggregator
        A robust rule, or None for the weighted average.
    initial_weights
        float32 kernels and biases in turn; None draws Glorot-uniform kernels and zero biases
        from ``seed``.

    Raises
    ------
    TaskError
        If something does not fit together.
    """

    layer_sizes: tuple[int, ...]
    num_examples: tuple[int, ...]
    local: LocalTraining = field(default_factory=LocalTraining)
    server: ServerOptimizer = field(default_factory=ServerOptimizer.fedavg)
    clients_per_round: int | None = None
    weighting: Weighting = "examples"
    seed: int = 0
    aggregator: RobustAggregator | None = None
    initial_weights: tuple[np.ndarray, ...] = ()

    def __post_init__(self) -> None:
        sizes = tuple(int(size) for size in self.layer_sizes)
        object.__setattr__(self, "layer_sizes", sizes)
        object.__setattr__(self, "num_examples", tuple(int(n) for n in self.num_examples))
        require_whole("seed", self.seed, at_least=0)
        if len(sizes) < 2 or min(sizes) < 1 or sizes[-1] < 2:
            raise TaskError(
                f"layer_sizes={sizes} must be the number of features, hidden widths if any, and "
                "at least two classes."
            )
        if not self.num_examples or min(self.num_examples) < 1:
            raise TaskError(f"num_examples={self.num_examples}: each client needs at least one.")
        if self.weighting not in ("examples", "uniform"):
            raise TaskError(f'weighting={self.weighting!r} must be "examples" or "uniform".')
        if self.clients_per_round is not None:
            require_whole("clients_per_round", self.clients_per_round, at_least=1)
            if self.clients_per_round > len(self.num_examples):
                raise TaskError(
                    f"clients_per_round={self.clients_per_round} is more than the "
                    f"{len(self.num_examples)} clients."
                )
        if self.aggregator is not None and not isinstance(self.aggregator, RobustAggregator):
            raise TaskError(f"aggregator={self.aggregator!r} must be a RobustAggregator or None.")
        if getattr(self.aggregator, "needs_server_update", False):
            raise TaskError("fltrust needs data at the server, which a deployment does not have.")
        weights = self.initial_weights or _glorot(sizes, self.seed)
        arrays = tuple(np.array(weight, np.float32) for weight in weights)
        if [a.shape for a in arrays] != self.shapes:
            raise TaskError(
                f"initial_weights have shapes {[a.shape for a in arrays]}, not {self.shapes}."
            )
        object.__setattr__(self, "initial_weights", arrays)

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """Shape of each weight array: kernel, bias, kernel, bias and so on."""
        return [
            shape
            for rows, columns in pairwise(self.layer_sizes)
            for shape in ((rows, columns), (columns,))
        ]

    @cached_property
    def sizes(self) -> np.ndarray:
        """Examples of each client, int64 ``(num_clients,)``."""
        return np.array(self.num_examples, np.int64)

    @property
    def clients(self) -> range:
        """Positions of the clients."""
        return range(len(self.num_examples))

    @property
    def num_sampled(self) -> int:
        """Number of clients that take part in each round."""
        return len(self.clients) if self.clients_per_round is None else self.clients_per_round

    @cached_property
    def fingerprint(self) -> dict[str, Any]:
        """Everything that decides the outcome, as plain JSON values (see checkpoints)."""
        return {
            "engine": "deployment",
            "layers": list(self.layer_sizes),
            "initial weights": hashes(self.initial_weights),
            "num_examples": list(self.num_examples),
            "local": asdict(self.local),
            "server": repr(self.server),
            "clients_per_round": self.num_sampled,
            "weighting": self.weighting,
            "seed": int(self.seed),
            "aggregator": described(self.aggregator),
        }

    def save(self, folder: str | Path) -> None:
        """Write ``task.json`` and ``weights.npz`` to a folder."""
        path = Path(folder)
        path.mkdir(parents=True, exist_ok=True)
        plain = {
            "layer_sizes": self.layer_sizes,
            "num_examples": self.num_examples,
            "local": asdict(self.local),
            "server": asdict(self.server),
            "clients_per_round": self.clients_per_round,
            "weighting": self.weighting,
            "seed": int(self.seed),
            "aggregator": None if self.aggregator is None else asdict(self.aggregator),
        }
        (path / "task.json").write_text(json.dumps(plain, indent=1))
        named = {f"w{i}": weight for i, weight in enumerate(self.initial_weights)}
        np.savez(path / "weights.npz", **named)

    @classmethod
    def load(cls, folder: str | Path) -> DenseTask:
        """Read what :meth:`save` wrote."""
        path = Path(folder)
        plain = json.loads((path / "task.json").read_text())
        rule = plain["aggregator"]
        with np.load(path / "weights.npz", allow_pickle=False) as archive:
            weights = tuple(archive[f"w{i}"] for i in range(len(archive.files)))
        return cls(
            **{
                **plain,
                "local": LocalTraining(**plain["local"]),
                "server": ServerOptimizer(**plain["server"]),
                "aggregator": None if rule is None else RobustAggregator(**rule),
                "initial_weights": weights,
            }
        )

    def model_fn(self) -> Callable[[], tf.keras.Model]:
        """Return the ``model_fn`` of the same network in Keras, with the same weights."""

        def build() -> tf.keras.Model:
            import tensorflow as tf

            *hidden, last = self.layer_sizes[1:]
            layers = [tf.keras.layers.Input((self.layer_sizes[0],))]
            layers += [tf.keras.layers.Dense(width, activation="relu") for width in hidden]
            model = tf.keras.Sequential([*layers, tf.keras.layers.Dense(last)])
            model.set_weights(list(self.initial_weights))
            return model

        return build

    def federated_task(self, clients: Sequence[ClientData], test: ClientData) -> FederatedTask:
        """Return the same task for the in-process engines (loads TensorFlow)."""
        return FederatedTask(
            model_fn=self.model_fn(),
            clients=clients,
            test=test,
            local=self.local,
            server=self.server,
            clients_per_round=self.clients_per_round,
            weighting=self.weighting,
            seed=self.seed,
            aggregator=self.aggregator,
        )


def _glorot(sizes: Sequence[int], seed: int) -> list[np.ndarray]:
    """Glorot and Bengio (2010), equation 16, with zero biases."""
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(_INITIAL_WEIGHTS,)))
    weights = []
    for rows, columns in pairwise(sizes):
        limit = np.sqrt(6 / (rows + columns))
        weights += [rng.uniform(-limit, limit, (rows, columns)), np.zeros(columns)]
    return weights
