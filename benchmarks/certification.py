"""Certificates by votes: their cost beside the model's own, ART's beside ours, and attacks on them.

Run from the repository root:

    python benchmarks/certification.py              # what is missing, for 30 minutes
    python benchmarks/certification.py --quick      # a small pass over every part, apart

*Throughput*: noisy inputs voted on in a second, as a share of what the model alone does with a
batch that lies ready; a float network compiled into one graph and the int8 file in its interpreter.
The two are measured in turns and the ratio is taken turn by turn, so that a busy machine slows
both; wall time still depends on a second core being free for the noise, so the ratio of CPU
seconds, which counts the noise in full, stands beside it.

*ART*: the same votes on the same network, in turns, in one process.

*Memory*: the peak of one certificate with ever more votes, each in a process of its own.

*Attacks*: changed inputs inside certified radii of an int8 file, voted on. None may fall.

Every finished part is written at once and is not done again, so the command can be stopped and
repeated.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

import numpy as np
import tensorflow as tf
from common.figures import command_of, machine, record_path, spread
from common.peers import run_peer
from common.store import Row, Store, Unit

from helpers import data, models
from helpers.edge import convert
from helpers.edge.replica import build_replica
from helpers.edge.runtimes import open_model
from helpers.robustness.certification.attack import besiege
from helpers.robustness.certification.smoothing import Classifier, Smoothing, certify
from helpers.robustness.certification.training import NoiseTraining, fit_smoothed

ROOT = Path(__file__).parents[1]
PEER = ROOT / "benchmarks" / "peers" / "smoothing_memory.py"
SIGMA, BATCH = 0.25, 256
NETWORKS = ("small_cnn", "mcmahan_cnn")
MEMORY = {"ours": (1_000, 10_000, 100_000), "ART": (1_000, 5_000, 20_000)}
BLOCKS, ATTEMPTS = 10, 10_000


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a small pass over every part")
    parser.add_argument("--minutes", type=float, default=30.0, help="start no part later")
    parser.add_argument("--again", action="store_true", help="repeat what was done before")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    options = parser.parse_args(arguments)
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    out = options.out or record_path(__file__, options.quick)
    command = command_of(__file__)
    packages = ("tensorflow-cpu", "numpy", "scipy", "adversarial-robustness-toolbox")
    store = Store(out, machine(*packages, "ai-edge-litert"), command, summary)
    left = store.run(units(options.quick), time.monotonic() + 60 * options.minutes, options.again)
    store.write()
    print(report(summary(store.rows)))
    print(f"written to {out}" + (f"; {left} parts left, repeat to go on" if left else ""))


def units(quick: bool) -> list[Unit]:
    """Return the parts, the cheapest first."""
    # Eight images vote together, as they do in any larger set.
    images, votes, repeats = (8, 256, 2) if quick else (8, 1024, 7)
    cost = {"images": images, "votes": votes, "repeats": repeats, "sigma": SIGMA}
    cost |= {"selection": BATCH, "batch": BATCH}
    parts = [
        Unit(
            "throughput", {"network": name, "form": form, **cost},
            partial(throughput, name, form, images, votes, repeats),
        )
        for name in NETWORKS
        for form in ("float graph", "int8 file")
    ]  # fmt: skip
    parts.append(
        Unit("ART", {"network": "small_cnn", **cost}, partial(beside_art, images, votes, repeats))
    )
    for mode, sizes in MEMORY.items():
        for size in sizes[:1] if quick else sizes:
            parts.append(Unit("memory", {"mode": mode, "votes": size}, partial(memory, mode, size)))
    attempts = 500 if quick else ATTEMPTS
    parts += [
        Unit("attacks", {"block": block, "attempts": attempts}, partial(attacks, block, attempts))
        for block in range(1 if quick else BLOCKS)
    ]
    return parts


@cache
def mnist() -> data.Dataset:
    return data.load("mnist", source="offline")


@cache
def network(name: str) -> tf.keras.Model:
    """Return a network trained on noise for two passes: votes must not all agree."""
    tf.keras.utils.set_random_seed(0)
    fresh, how = getattr(models, name)(), NoiseTraining(epochs=2)
    return fit_smoothed(fresh, mnist().x_train, mnist().y_train, SIGMA, how)


@cache
def classifier(name: str, form: str) -> Classifier:
    if form == "float graph":
        return Classifier.of_model(network(name))
    file = convert.to_tflite(network(name), "int8", noisy(mnist().x_train[:100]))
    return Classifier.deployed(open_model(file, isolated=False), file.data)


def noisy(rows: np.ndarray) -> np.ndarray:
    drawn = np.random.default_rng(0).normal(0, SIGMA, rows.shape)
    return (rows + drawn).astype(np.float32)


def throughput(name: str, form: str, images: int, votes: int, repeats: int) -> Row:
    """Time certificates and the model alone, in turns."""
    voter, x = classifier(name, form), mnist().x_test[:images]
    how = Smoothing(SIGMA, votes, BATCH)
    ready = noisy(np.repeat(x[:1], BATCH, axis=0))
    ready = ready if voter.encode is None else voter.encode(ready)
    rows = images * (votes + BATCH)

    def alone() -> None:
        for _ in range(rows // BATCH):
            voter.ask(ready)

    taken = in_turns(
        {"certify": lambda: certify(voter, x, how, batch_size=BATCH), "model alone": alone},
        repeats,
    )
    shares = {
        clock: spread(
            [
                a[clock] / c[clock]
                for a, c in zip(taken["model alone"], taken["certify"], strict=True)
            ]
        )
        for clock in ("wall", "cpu")
    }
    each = spread([1e6 * a["cpu"] / rows for a in taken["model alone"]])
    return {"inputs": rows, "share": shares, "model_cpu_microseconds": each}


def beside_art(images: int, votes: int, repeats: int) -> Row:
    """Time the same certificates by ART and by us, in turns; both with the network of Keras."""
    from art.estimators.certification.randomized_smoothing import TensorFlowV2RandomizedSmoothing

    x, how = mnist().x_test[:images], Smoothing(SIGMA, votes, BATCH)
    ours = classifier("small_cnn", "float graph")
    theirs = TensorFlowV2RandomizedSmoothing(
        network("small_cnn"), nb_classes=10, input_shape=(28, 28, 1), sample_size=BATCH, scale=SIGMA
    )
    taken = in_turns(
        {
            "ours": lambda: certify(ours, x, how, batch_size=BATCH),
            "ART": lambda: theirs.certify(x, votes, batch_size=BATCH),
        },
        repeats,
    )
    labels, radii = theirs.certify(x, votes, batch_size=BATCH)
    found = certify(ours, x, how, batch_size=BATCH)
    return {
        "multiple_of_ours": {
            clock: spread(
                [a[clock] / b[clock] for a, b in zip(taken["ART"], taken["ours"], strict=True)]
            )
            for clock in ("wall", "cpu")
        },
        "same_labels": bool((labels == found.labels).all()),
        "largest_difference_of_radii": float(np.abs(radii - found.radii).max()),
    }


def in_turns(runs: dict[str, Callable[[], Any]], repeats: int) -> dict[str, list[dict[str, float]]]:
    """Run each once to warm up, then all in turns."""
    for run in runs.values():
        run()
    taken: dict[str, list[dict[str, float]]] = {name: [] for name in runs}
    for _ in range(repeats):
        for name, run in runs.items():
            wall, cpu = time.perf_counter(), time.process_time()
            run()
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            taken[name].append({"wall": wall, "cpu": cpu})
    return taken


def memory(mode: str, votes: int) -> Row:
    """Certify one image in a process of its own."""
    return run_peer(
        sys.executable,
        PEER,
        [mode, str(votes)],
        timeout=900,
        environment={"PYTHONPATH": str(ROOT)},
    )


@cache
def besieged() -> tuple[Classifier, Any, Any, np.ndarray]:
    """Certify an int8 file on the 8 x 8 digits: small, so that there can be many attempts."""
    digits = data.load("digits", source="offline")
    tf.keras.utils.set_random_seed(0)
    fresh = models.small_cnn((8, 8, 1), 10, filters=(16,))
    how = NoiseTraining(epochs=6, learning_rate=3e-3)
    trained = fit_smoothed(fresh, digits.x_train, digits.y_train, SIGMA, how)
    file = convert.to_tflite(trained, "int8", noisy(digits.x_train[:200]))
    voter = Classifier.deployed(open_model(file, isolated=False), file.data)
    x = digits.x_test[:100]
    found = certify(voter, x, Smoothing(SIGMA, 10_000, guarantee="all"), batch_size=BATCH)
    return voter, found, build_replica(file, logits=True), x


def attacks(block: int, attempts: int) -> Row:
    """Attack certified points inside their radii."""
    voter, found, replica, x = besieged()
    siege = besiege(voter, found, x, attempts=attempts, model=replica, votes=50, seed=block)
    return {
        "certified": int((found.radii > 0).sum()),
        "of": len(found),
        "median_radius": float(np.median(found.radii[found.radii > 0])),
        "suspicions": siege.suspicions,
        "violations": siege.violations,
        "smallest_share": siege.smallest_share,
    }


def summary(rows: list[Row]) -> Row:
    """Say what the rows amount to."""

    def of(experiment: str) -> list[Row]:
        return [row for row in rows if row["experiment"] == experiment]

    return {
        "throughput": {
            f"{row['settings']['network']}, {row['settings']['form']}": {
                clock: row["share"][clock]["median"] for clock in ("wall", "cpu")
            }
            for row in of("throughput")
        },
        "ART": [
            {key: row[key] for key in ("multiple_of_ours", "same_labels")} for row in of("ART")
        ],
        "memory_megabytes": {
            mode: {
                str(row["settings"]["votes"]): row["megabytes"]
                for row in of("memory")
                if row["settings"]["mode"] == mode
            }
            for mode in MEMORY
        },
        "attacks": {
            "attempts": sum(row["settings"]["attempts"] for row in of("attacks")),
            "suspicions": sum(row["suspicions"] for row in of("attacks")),
            "violations": sum(row["violations"] for row in of("attacks")),
        },
    }


def report(found: Row) -> str:
    """Lay it out as text."""
    lines = ["votes a second, as a share of the model alone (wall, CPU)"]
    lines += [f"  {k:28} {v['wall']:.3f}  {v['cpu']:.3f}" for k, v in found["throughput"].items()]
    for row in found["ART"]:
        times = row["multiple_of_ours"]
        lines.append(
            f"ART takes {times['wall']['median']:.2f} times our wall time, "
            f"{times['cpu']['median']:.2f} times our CPU seconds"
        )
    for mode, sizes in found["memory_megabytes"].items():
        text = ", ".join(f"{megabytes:.0f} MB at {n} votes" for n, megabytes in sizes.items())
        lines.append(f"memory of {mode}: {text}")
    siege = found["attacks"]
    lines.append(
        f"{siege['attempts']} attempts inside certified radii: {siege['suspicions']} lost a first "
        f"vote, {siege['violations']} violations"
    )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
