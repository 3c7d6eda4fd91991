"""Our vectorised federated engine against TensorFlow Federated: same task, same run.

Run from the repository root:

    python benchmarks/federated_engines.py            # the figures of the book
    python benchmarks/federated_engines.py --quick    # a small pass over every part

Both engines train the same models on the same batches of the same clients. The script compares
rounds per second, the accuracy curves and the weights after each round, and measures how the cost
of a round grows with the number of clients. The result is one JSON file.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

import numpy as np
from common.figures import machine, spread
from tqdm import tqdm

from helpers import data, models
from helpers.federated import ClientData, FederatedTask, History, LocalTraining, run
from helpers.federated.engine import EngineName

ENGINES: tuple[EngineName, ...] = ("vectorised", "tff")
MODELS: dict[str, Callable[[], Any]] = {
    "mlp": lambda: models.mlp((28, 28, 1), 10),
    "small cnn": lambda: models.small_cnn(filters=(8, 16)),
    "cnn": models.small_cnn,
}
OUTPUT = Path(__file__).parent / "results" / "federated_engines.json"
EXAMPLES_PER_CLIENT = 40


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse(arguments)
    before = os.getloadavg()
    rounds, repeats = (3, 2) if options.quick else (options.rounds, options.repeats)
    growth = (10, 30) if options.quick else (10, 30, 100, 300, 1000)
    growth_tff = growth[:1] if options.quick else growth[:3]
    result = {
        "comparison": {name: compare(name, rounds, repeats) for name in MODELS},
        "design": {name: design(name, repeats) for name in ("mlp", "small cnn")},
        "growth": {
            "examples_per_client": EXAMPLES_PER_CLIENT,
            "model": "mlp",
            "vectorised": [grow("vectorised", count, repeats) for count in growth],
            "tff": [grow("tff", count, repeats) for count in growth_tff],
        },
        "quick": options.quick,
        "machine": {
            **machine("tensorflow-cpu", "tensorflow-federated", "numpy"),
            "load_average_before_and_after": [before[0], os.getloadavg()[0]],
        },
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": " ".join(["python", "benchmarks/federated_engines.py", *sys.argv[1:]]),
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=2) + "\n")
    print(report(result))
    print(f"written to {options.out}")


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a small pass over every part")
    parser.add_argument("--rounds", type=whole, default=10, help="rounds of a run (default: 10)")
    parser.add_argument("--repeats", type=whole, default=3, help="runs of an engine (default: 3)")
    parser.add_argument("--out", type=Path, default=OUTPUT, help="JSON file to write")
    return parser.parse_args(arguments)


def whole(text: str) -> int:
    """Read a number of rounds or repeats; two at least, as the first round is not timed."""
    value = int(text)
    if value < 2:
        raise argparse.ArgumentTypeError(f"{value} is too few: give at least 2")
    return value


def compare(name: str, rounds: int, repeats: int) -> dict[str, Any]:
    """Run both engines in turn on one task: speed, accuracy and distance of the weights."""
    task = dirichlet_task(MODELS[name])
    seconds: dict[str, list[float]] = {engine: [] for engine in ENGINES}
    trails: dict[str, list[list[np.ndarray]]] = {}
    histories: dict[str, History] = {}
    for repeat in range(repeats):
        # Turns are reversed every other time, so that a drift of the machine hits both alike.
        for engine in ENGINES[:: 1 if repeat % 2 == 0 else -1]:
            history, trails[engine] = timed_run(task, engine, rounds, f"{name} {engine}")
            seconds[engine] += steady_seconds(history)
            histories[engine] = history
    return {
        "parameters": int(sum(w.size for w in task.initial_weights)),
        "clients": len(task.clients),
        "examples": int(task.sizes.sum()),
        "rounds": rounds,
        "repeats": repeats,
        "rounds_per_second": {
            engine: spread([1 / value for value in s]) for engine, s in seconds.items()
        },
        "times_faster": statistics.median(seconds["tff"])
        / statistics.median(seconds["vectorised"]),
        "accuracy": {
            engine: [record.test_accuracy for record in history.records]
            for engine, history in histories.items()
        },
        "largest_weight_difference": [
            max(float(np.abs(a - b).max()) for a, b in zip(left, right, strict=True))
            for left, right in zip(trails["vectorised"], trails["tff"], strict=True)
        ],
    }


def design(name: str, repeats: int) -> list[dict[str, Any]]:
    """Time our engine's round with and without its second lane and XLA."""
    from helpers.federated.vectorised import LANES, LocalTrainer

    task = dirichlet_task(MODELS[name])
    everyone = range(len(task.clients))
    rows = []
    for lanes in (1, LANES):
        for xla in (False, True):
            trainer = LocalTrainer(task, len(everyone), lanes, xla)
            trainer(task.initial_weights, 1, everyone)
            seconds = []
            for number in tqdm(range(2, repeats + 2), desc=f"{name}, {lanes} lanes, XLA {xla}"):
                start = time.perf_counter()
                trainer(task.initial_weights, number, everyone)
                seconds.append(time.perf_counter() - start)
            rows.append({"lanes": lanes, "xla": xla, "seconds_per_round": spread(seconds)})
    return rows


def grow(engine: EngineName, clients: int, repeats: int) -> dict[str, Any]:
    """Measure the cost of a round with so many clients, each with the same number of examples."""
    mnist = data.load("mnist", source="offline")
    rng = np.random.default_rng(0)
    sets = []
    for _ in range(clients):
        # Clients may share images: the packaged MNIST is smaller than a thousand clients' data.
        rows = rng.choice(len(mnist.y_train), EXAMPLES_PER_CLIENT, replace=False)
        sets.append(ClientData(mnist.x_train[rows], mnist.y_train[rows]))
    task = FederatedTask(MODELS["mlp"], sets, ClientData(mnist.x_test, mnist.y_test))
    rounds = repeats + 1
    history, _ = timed_run(task, engine, rounds, f"{clients} clients {engine}", rounds)
    return {"clients": clients, "seconds_per_round": spread(steady_seconds(history))}


def dirichlet_task(model_fn: Callable[[], Any]) -> FederatedTask:
    """Make the task of the comparison: packaged MNIST on 30 clients, Dirichlet 0.5."""
    mnist = data.load("mnist", source="offline")
    parts = data.partition.dirichlet(mnist.y_train, 30, 0.5, np.random.default_rng(0))
    return FederatedTask(
        model_fn,
        [ClientData(mnist.x_train[part], mnist.y_train[part]) for part in parts],
        ClientData(mnist.x_test, mnist.y_test),
        local=LocalTraining(epochs=1, batch_size=20, learning_rate=0.1),
    )


def timed_run(
    task: FederatedTask, engine: EngineName, rounds: int, label: str, evaluate_every: int = 1
) -> tuple[History, list[list[np.ndarray]]]:
    """Run a task; returns its history and the weights after each round."""
    trail: list[list[np.ndarray]] = []
    with tqdm(total=rounds, desc=label) as bar:

        def after(record: object, weights: list[np.ndarray]) -> None:
            trail.append(weights)
            bar.update()

        history = run(
            task,
            rounds,
            engine=engine,
            evaluate_every=evaluate_every,
            callbacks=[after],
            progress=False,
        )
    return history, trail


def steady_seconds(history: History) -> list[float]:
    """Return the seconds of every round but the first, in which TFF compiles."""
    return [record.seconds for record in history.records[1:]]


def report(result: dict[str, Any]) -> str:
    """Lay the main figures out as text."""
    lines = []
    for name, part in result["comparison"].items():
        lines.append(f"{name}: {part['parameters']:,} parameters, {part['clients']} clients")
        for engine, speed in part["rounds_per_second"].items():
            lines.append(
                f"  {engine:<11} {speed['median']:8.2f} rounds/s "
                f"({speed['min']:.2f} to {speed['max']:.2f}), "
                f"final accuracy {part['accuracy'][engine][-1]:.3f}"
            )
        lines.append(
            f"  {part['times_faster']:.1f} times faster; largest weight difference "
            f"{part['largest_weight_difference'][0]:.1e} after one round, "
            f"{part['largest_weight_difference'][-1]:.1e} after {part['rounds']}"
        )
    for name, rows in result["design"].items():
        lines.append(f"design, {name}:")
        for row in rows:
            lines.append(
                f"  {row['lanes']} lanes, XLA {'on ' if row['xla'] else 'off'} "
                f"{row['seconds_per_round']['median']:9.4f} s a round"
            )
    lines.append(f"growth, {result['growth']['examples_per_client']} examples a client:")
    for engine in ENGINES:
        for row in result["growth"][engine]:
            lines.append(
                f"  {engine:<11} {row['clients']:>5} clients "
                f"{row['seconds_per_round']['median']:9.4f} s a round"
            )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
