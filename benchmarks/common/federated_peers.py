"""Ways to run the rounds of one federated task: ours, TensorFlow Federated, Keras, Flower.

All train on the same batches of the same clients in the same order.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from common.peers import PeerError, run_peer
from tqdm import tqdm

from helpers import models
from helpers.federated import FederatedTask, client_batches, run, weighted_average

ROOT = Path(__file__).parents[2]
FLOWER = ROOT / "benchmarks" / "peers" / "flower_rounds.py"


def _wide(hidden: int) -> Callable[[], Any]:
    return lambda: models.mlp((28, 28, 1), 10, (hidden,))


MODELS: dict[str, Callable[[], Any]] = {
    "mlp": lambda: models.mlp((28, 28, 1), 10),
    "small cnn": lambda: models.small_cnn(filters=(8, 16)),
    "cnn": models.small_cnn,
    # Of the growth with the number of parameters: 10^4, 10^5 and 10^6.
    **{f"mlp {hidden}": _wide(hidden) for hidden in (13, 126, 1258)},
}


@dataclass
class Rounds:
    """What one run of an engine gave.

    Attributes
    ----------
    seconds, cpu_seconds
        Of each round but the first, which compiles; no CPU time where it cannot be seen.
    trail
        Weights after each round.
    notes
        Further measurements.
    """

    seconds: list[float]
    cpu_seconds: list[float]
    trail: list[list[np.ndarray]]
    notes: dict[str, Any] = field(default_factory=dict)


def helpers_rounds(task: FederatedTask, engine: str, rounds: int, label: str) -> Rounds:
    """Run one of the engines of ``helpers.federated``."""
    trail: list[list[np.ndarray]] = []
    cpu: list[float] = []
    started = cpu_clock()
    with tqdm(total=rounds, desc=label, leave=False) as bar:

        def after(record: object, weights: list[np.ndarray]) -> None:
            nonlocal started
            cpu.append(cpu_clock() - started)
            trail.append(weights)
            bar.update()
            started = cpu_clock()

        history = run(
            task,
            rounds,
            engine=engine,  # type: ignore[arg-type]
            # Only the last round is evaluated, and it is left out of the CPU times below.
            evaluate_every=rounds,
            callbacks=[after],
            progress=False,
        )
    seconds = [record.seconds for record in history.records[1:]]
    return Rounds(seconds, cpu[1:-1], trail)


def cpu_clock() -> float:
    """Return the CPU seconds of this process and of those it started: TFF works in its own."""
    total = time.process_time()
    for child in psutil.Process().children(recursive=True):
        try:
            spent = child.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += spent.user + spent.system
    return total


def keras_rounds(task: FederatedTask, rounds: int, label: str) -> Rounds:
    """Call ``fit`` for each client on one compiled model, then average: what a first try does."""
    import tensorflow as tf

    model = task.model_fn()
    loss = tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(tf.keras.optimizers.SGD(task.local.learning_rate), loss)
    weights = list(task.initial_weights)
    trail, wall, cpu = [], [], []
    for number in tqdm(range(1, rounds + 1), desc=label, leave=False):
        start, cpu_start = time.perf_counter(), time.process_time()
        trained = []
        for client, examples in enumerate(task.clients):
            order = client_order(task, number, client)
            model.set_weights(weights)
            x, y = examples.x[order], examples.y[order]
            model.fit(x, y, task.local.batch_size, shuffle=False, verbose=0)
            trained.append(model.get_weights())
        weights = weighted_average(trained, task.sizes)
        wall.append(time.perf_counter() - start)
        cpu.append(time.process_time() - cpu_start)
        trail.append(weights)
    return Rounds(wall[1:], cpu[1:], trail)


def client_order(task: FederatedTask, round_number: int, client: int) -> np.ndarray:
    """Return the order in which a client sees its examples in a round of one epoch."""
    size, batch = int(task.sizes[client]), task.local.batch_size
    return np.concatenate(client_batches(task.seed, round_number, client, size, batch, 1))


def flower_rounds(
    task: FederatedTask,
    model: str,
    rounds: int,
    *,
    backend: str,
    client: str,
    python: str = sys.executable,
    timeout: float = 600,
) -> Rounds:
    """Run Flower's FedAvg strategy in a process of its own.

    Raises
    ------
    PeerError
        If it fails or is not done in time.
    """
    with tempfile.TemporaryDirectory() as folder:
        given, made = Path(folder) / "task.npz", Path(folder) / "weights.npz"
        np.savez(given, **task_arrays(task, rounds))
        options = ["--rounds", str(rounds), "--backend", backend, "--client", client]
        environment = {
            "BENCHMARK_MODEL": model,
            "PYTHONPATH": os.pathsep.join(
                [str(FLOWER.parent), str(ROOT / "benchmarks"), str(ROOT)]
            ),
        }
        result = run_peer(python, FLOWER, [str(given), str(made), *options], timeout, environment)
        with np.load(made) as found:
            layers = range(len(task.initial_weights))
            trail = [[found[f"{r}_{i}"] for i in layers] for r in range(rounds)]
    notes = {name: result[name] for name in ("first_round_seconds", "versions")}
    return Rounds(result["seconds"][1:], (result["cpu_seconds"] or [])[1:], trail, notes)


def flower_attempts(attempts: int, **settings: Any) -> tuple[list[Rounds], list[str]]:
    """Try a run several times, as some hang; returns those that ended and what became of each."""
    done, outcomes = [], []
    for _ in tqdm(range(attempts), desc="Flower with Ray", leave=False):
        try:
            done.append(flower_rounds(**settings))
            outcomes.append("done")
        except PeerError as error:
            outcomes.append(str(error))
    return done, outcomes


def task_arrays(task: FederatedTask, rounds: int) -> dict[str, Any]:
    """Return a task as plain arrays, for a peer that cannot import ``helpers``."""
    arrays: dict[str, Any] = {f"w_{i}": w for i, w in enumerate(task.initial_weights)}
    arrays |= {"batch_size": task.local.batch_size, "learning_rate": task.local.learning_rate}
    for client, examples in enumerate(task.clients):
        arrays |= {f"x_{client}": examples.x, f"y_{client}": examples.y}
        for number in range(1, rounds + 1):
            arrays[f"order_{number}_{client}"] = client_order(task, number, client)
    return arrays
