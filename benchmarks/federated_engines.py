"""A round of FedAvg in our vectorised engine, TensorFlow Federated, Flower and plain Keras.

Run from the repository root:

    python benchmarks/federated_engines.py            # the figures of the book
    python benchmarks/federated_engines.py --quick    # a small pass over every part

All train the same models on the same batches of the same clients. The script compares seconds a
round and the weights after each round, and measures how a round's cost grows from 10 to 1,000
clients and from 10^4 to 10^6 parameters. The result is one JSON file.

Flower's real strategy runs in one process, with a client written in NumPy (the least a client can
cost: the time is Flower's own) and with one that calls Keras. Its simulation engine runs on Ray,
which lives in an environment of its own; without it that part is left out:

    python3.11 -m venv build/peers/ray
    build/peers/ray/bin/pip install "flwr[simulation]==1.23.0" numpy

A run on Ray may hang; each is killed after ``--ray-timeout`` seconds and counted as hung.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

import numpy as np
from common.federated_peers import (
    MODELS,
    ROOT,
    Rounds,
    flower_attempts,
    flower_rounds,
    helpers_rounds,
    keras_rounds,
)
from common.figures import record_path, save, spread, stamp
from tqdm import tqdm

from helpers import data
from helpers.federated import ClientData, FederatedTask, LocalTraining

COMPARED = ("mlp", "small cnn", "cnn")
ENGINES = ("vectorised", "tff", "flower, numpy client", "flower, keras client", "keras")
RAY = ROOT / "build" / "peers" / "ray" / "bin" / "python"
EXAMPLES_PER_CLIENT = 40
# Weights after one round agree up to the order of float32 sums.
SAME_WORK = 1e-4
CLIENT_GROWTH = (10, 30, 100, 300, 1000)
HIDDEN_GROWTH = (13, 126, 1258)
# What is slow stops growing earlier; the figures up to there show where it goes.
MOST_CLIENTS = {
    "vectorised": 1000,
    "tff": 100,
    "flower, numpy client": 1000,
    "flower, keras client": 30,
    "keras": 30,
}


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse(arguments)
    before, rounds = os.getloadavg()[0], 3 if options.quick else options.rounds
    names = COMPARED[:1] if options.quick else COMPARED
    clients = CLIENT_GROWTH[:1] if options.quick else CLIENT_GROWTH
    hidden = HIDDEN_GROWTH[:1] if options.quick else HIDDEN_GROWTH
    result: dict[str, Any] = {
        "comparison": {name: compare(name, rounds) for name in names},
        "ray": with_ray(options, rounds),
        "design": {name: design(name, rounds) for name in names[:2]},
        "client_growth": {
            "examples_per_client": EXAMPLES_PER_CLIENT,
            "model": "mlp",
            "engines": {engine: grow_clients(engine, clients) for engine in ENGINES},
        },
        "parameter_growth": {
            "examples_per_client": EXAMPLES_PER_CLIENT,
            "clients": 10,
            "engines": {engine: grow_parameters(engine, hidden) for engine in ENGINES},
        },
        "quick": options.quick,
        **stamp(__file__, before, "tensorflow-cpu", "tensorflow-federated", "flwr", "numpy"),
    }
    out = options.out or record_path(__file__, options.quick)
    save(out, result, report(result))


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a small pass over every part")
    parser.add_argument("--rounds", type=whole, default=4, help="rounds of a run (default: 4)")
    parser.add_argument("--ray-python", type=Path, default=RAY, help="interpreter with Ray")
    parser.add_argument("--ray-attempts", type=int, default=3, help="runs on Ray (default: 3)")
    parser.add_argument(
        "--ray-timeout", type=float, default=120, help="seconds for one of them (default: 120)"
    )
    parser.add_argument("--out", type=Path, help="JSON file to write")
    return parser.parse_args(arguments)


def whole(text: str) -> int:
    """Read a number of rounds: three at least, as the first compiles and the last evaluates."""
    value = int(text)
    if value < 3:
        raise argparse.ArgumentTypeError(f"{value} is too few: give at least 3")
    return value


def rounds_of(engine: str, task: FederatedTask, model: str, rounds: int, label: str) -> Rounds:
    """Run one engine."""
    if engine in ("vectorised", "tff"):
        return helpers_rounds(task, engine, rounds, label)
    if engine == "keras":
        return keras_rounds(task, rounds, label)
    client = engine.split()[1]
    return flower_rounds(task, model, rounds, backend="in-process", client=client)


def compare(name: str, rounds: int) -> dict[str, Any]:
    """Run every engine on one task: seconds a round, and distance of the weights from ours."""
    task = dirichlet_task(name)
    # The client in NumPy knows dense layers only.
    engines = [e for e in ENGINES if name == "mlp" or e != "flower, numpy client"]
    runs: dict[str, Rounds] = {}
    for engine in tqdm(engines, desc=name):
        runs[engine] = rounds_of(engine, task, name, rounds, f"{name}, {engine}")
    ours = runs["vectorised"]
    return {
        "parameters": int(sum(w.size for w in task.initial_weights)),
        "clients": len(task.clients),
        "examples": int(task.sizes.sum()),
        "rounds": rounds,
        "engines": {engine: {**figures(made, ours)} for engine, made in runs.items()},
    }


def figures(made: Rounds, ours: Rounds) -> dict[str, Any]:
    """Return time a round, multiple of ours, and distance of the weights after each round.

    Raises
    ------
    RuntimeError
        If the weights after one round are not ours: then it was not the same work.
    """
    apart = [
        max(float(np.abs(a - b).max()) for a, b in zip(left, right, strict=True))
        for left, right in zip(ours.trail, made.trail, strict=True)
    ]
    if apart[0] > SAME_WORK:
        raise RuntimeError(f"After one round the weights differ by {apart[0]}: not the same work.")
    return {
        "seconds_per_round": spread(made.seconds),
        "cpu_seconds_per_round": spread(made.cpu_seconds) if made.cpu_seconds else None,
        "multiple_of_ours": statistics.median(made.seconds) / statistics.median(ours.seconds),
        "cpu_multiple_of_ours": (
            statistics.median(made.cpu_seconds) / statistics.median(ours.cpu_seconds)
            if made.cpu_seconds
            else None
        ),
        "largest_weight_difference": apart,
        **made.notes,
    }


def with_ray(options: argparse.Namespace, rounds: int) -> dict[str, Any] | None:
    """Run Flower's simulation engine several times, as some runs hang."""
    if not options.ray_python.exists():
        print(f"Flower with Ray is left out: there is no {options.ray_python} (see --help).")
        return None
    task = dirichlet_task("mlp")
    ours = helpers_rounds(task, "vectorised", rounds, "mlp, vectorised")
    done, outcomes = flower_attempts(
        1 if options.quick else options.ray_attempts,
        task=task,
        model="mlp",
        rounds=rounds,
        backend="ray",
        client="numpy",
        python=str(options.ray_python),
        timeout=options.ray_timeout,
    )
    found: dict[str, Any] = {"model": "mlp", "client": "numpy", "outcomes": outcomes}
    if done:
        every = Rounds([s for run in done for s in run.seconds], [], done[0].trail, done[0].notes)
        found |= figures(every, ours)
        # Of a run just before, as the machine may be busier now than it was above.
        found["our_seconds_per_round"] = spread(ours.seconds)
        firsts = [run.notes["first_round_seconds"] for run in done]
        found["first_round_seconds"] = spread(firsts)
    return found


def design(name: str, rounds: int) -> list[dict[str, Any]]:
    """Time our engine's round with and without its second lane and XLA."""
    from helpers.federated.vectorised import LANES, LocalTrainer

    task = dirichlet_task(name)
    everyone = range(len(task.clients))
    rows = []
    for lanes in (1, LANES):
        for xla in (False, True):
            trainer = LocalTrainer(task, len(everyone), lanes, xla)
            trainer(task.initial_weights, 1, everyone)
            seconds = []
            for number in tqdm(range(2, rounds + 1), desc=f"{name}, {lanes} lanes, XLA {xla}"):
                start = time.perf_counter()
                trainer(task.initial_weights, number, everyone)
                seconds.append(time.perf_counter() - start)
            rows.append({"lanes": lanes, "xla": xla, "seconds_per_round": spread(seconds)})
    return rows


def grow_clients(engine: str, counts: Sequence[int]) -> list[dict[str, Any]]:
    """Measure a round with more and more clients, each with the same number of examples."""
    rows = []
    for count in (c for c in counts if c <= MOST_CLIENTS[engine]):
        made = rounds_of(engine, equal_task("mlp", count), "mlp", 4, f"{count} clients, {engine}")
        rows.append({"clients": count, **times(made)})
    return rows


def grow_parameters(engine: str, widths: Sequence[int]) -> list[dict[str, Any]]:
    """Measure a round of ten clients with wider and wider hidden layers."""
    rows = []
    for width in widths:
        name = f"mlp {width}"
        task = equal_task(name, 10)
        made = rounds_of(engine, task, name, 4, f"{width} hidden units, {engine}")
        rows.append({"parameters": sum(w.size for w in task.initial_weights), **times(made)})
    return rows


def times(made: Rounds) -> dict[str, Any]:
    return {
        "seconds_per_round": spread(made.seconds),
        "cpu_seconds_per_round": spread(made.cpu_seconds) if made.cpu_seconds else None,
    }


def equal_task(model: str, clients: int) -> FederatedTask:
    """Give every client as many examples, which clients may share: the set is small."""
    mnist = data.load("mnist", source="offline")
    rng = np.random.default_rng(0)
    sets = []
    for _ in range(clients):
        rows = rng.choice(len(mnist.y_train), EXAMPLES_PER_CLIENT, replace=False)
        sets.append(ClientData(mnist.x_train[rows], mnist.y_train[rows]))
    return FederatedTask(MODELS[model], sets, ClientData(mnist.x_test, mnist.y_test))


def dirichlet_task(model: str) -> FederatedTask:
    """Make the task of the comparison: packaged MNIST on 30 clients, Dirichlet 0.5."""
    mnist = data.load("mnist", source="offline")
    parts = data.partition.dirichlet(mnist.y_train, 30, 0.5, np.random.default_rng(0))
    return FederatedTask(
        MODELS[model],
        [ClientData(mnist.x_train[part], mnist.y_train[part]) for part in parts],
        ClientData(mnist.x_test, mnist.y_test),
        local=LocalTraining(epochs=1, batch_size=20, learning_rate=0.1),
    )


def report(result: dict[str, Any]) -> str:
    """Lay the main figures out as text."""
    lines = []
    for name, part in result["comparison"].items():
        lines.append(f"{name}: {part['parameters']:,} parameters, {part['clients']} clients")
        lines += [row(engine, found) for engine, found in part["engines"].items()]
        if name == "mlp" and result["ray"]:
            ray = result["ray"]
            if "seconds_per_round" in ray:
                lines.append(row("flower, Ray, numpy client", ray))
            lines.append(f"  runs on Ray: {'; '.join(ray['outcomes'])}")
    for name, rows in result["design"].items():
        lines.append(f"design, {name}:")
        for found in rows:
            lines.append(
                f"  {found['lanes']} lanes, XLA {'on ' if found['xla'] else 'off'} "
                f"{found['seconds_per_round']['median']:9.4f} s a round"
            )
    for part, what in (("client_growth", "clients"), ("parameter_growth", "parameters")):
        lines.append(f"seconds a round by {what}:")
        for engine, rows in result[part]["engines"].items():
            cells = (f"  {r[what]:>9,}: {r['seconds_per_round']['median']:8.4f}" for r in rows)
            lines.append(f"  {engine:<26}{''.join(cells)}")
    return "\n".join(lines)


def row(engine: str, found: dict[str, Any]) -> str:
    time_, cpu = found["seconds_per_round"], found["cpu_seconds_per_round"]
    used = f"{cpu['median']:8.4f}" if cpu else "       -"
    return (
        f"  {engine:<26}{time_['median']:9.4f} s a round "
        f"({time_['min']:.4f} to {time_['max']:.4f}), CPU {used}, "
        f"{found['multiple_of_ours']:7.1f} x ours; weights differ by "
        f"{found['largest_weight_difference'][0]:.1e} after one round, "
        f"{found['largest_weight_difference'][-1]:.1e} after the last"
    )


if __name__ == "__main__":
    main()
