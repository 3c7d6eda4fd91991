"""What fools an int8 file: attacks by queries on MNIST, and robust accuracy on CIFAR-10.

Run from the repository root:

    python benchmarks/int8_attacks.py              # what is missing, for 20 minutes
    python benchmarks/int8_attacks.py --quick      # a small pass over every part, apart

* Queries: the share of images fooled against the queries each took, by Square, SimBA and NES, on
  the logits of a float network, on its probabilities, and on the int8 file made of it; and
  HopSkipJump, which reads labels only, on the file.
* CIFAR-10: a small network trained plainly and by free adversarial training at 8/255, and its int8
  file under the strongest attack of ``worst_case``: RobustBench's setting, without its size.

The file judges. Every finished unit is written at once and is not done again. CIFAR-10 comes from
the cache (``edgesec data fetch cifar10``) or a folder named in EDGESEC_DATA; the first images of
each part are used, so a subset that begins alike gives the same result.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

import numpy as np
import tensorflow as tf
from common.figures import command_of, machine, record_path
from common.store import Row, Store, Unit

from helpers import data, models
from helpers.edge.convert import to_tflite
from helpers.edge.replica import build_replica
from helpers.edge.runtimes import open_model
from helpers.errors import DataError
from helpers.robustness import library
from helpers.robustness.budget import Budget, as_stored
from helpers.robustness.curves import query_curve
from helpers.robustness.queries import nes, square
from helpers.robustness.simba import simba
from helpers.robustness.target import Outcome, Target
from helpers.robustness.training import Method, Settings, fit_robust
from helpers.robustness.transfer import transfer, worst_case

RADIUS = 0.15  # of the query attacks, L-infinity
AT = (1, 5, 10, 20, 50, 100, 200, 300, 500)
LEVELS = (1, 2, 4, 8)  # radii on CIFAR-10, of 255
VICTIMS = ("float logits", "float probabilities", "int8 file")
TRAINED: dict[Method, int] = {"plain": 8, "free": 24}  # epochs, counted in updates
TRAIN, TEST = 10_000, 500

Attack = Callable[[Target, np.ndarray, np.ndarray, int], Outcome]
BUDGET = Budget(RADIUS)
ATTACKS: dict[str, Attack] = {
    "Square, improvements only": lambda t, x, y, q: square(
        t, x, y, RADIUS, queries=q, accept_ties=False
    ),
    "Square": lambda t, x, y, q: square(t, x, y, RADIUS, queries=q),
    "SimBA, pixels": lambda t, x, y, q: simba(t, x, y, BUDGET, queries=q),
    "SimBA, waves, improvements only": lambda t, x, y, q: simba(
        t, x, y, BUDGET, basis="dct", queries=q, accept_ties=False
    ),
    "SimBA, waves": lambda t, x, y, q: simba(t, x, y, BUDGET, basis="dct", queries=q),
    "NES": lambda t, x, y, q: nes(t, x, y, BUDGET, queries=q, spread=0.05),
}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a small pass over every part")
    parser.add_argument("--minutes", type=float, default=20.0, help="start no unit later")
    parser.add_argument("--again", action="store_true", help="repeat what was done before")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    options = parser.parse_args(arguments)
    out = options.out or record_path(__file__, options.quick)
    command = command_of(__file__)
    packages = ("tensorflow-cpu", "numpy", "adversarial-robustness-toolbox")
    store = Store(out, machine(*packages), command, summary)
    left = store.run(units(options.quick), time.monotonic() + 60 * options.minutes, options.again)
    store.write()
    print(report(store.rows))
    print(f"written to {out}" + (f"; {left} units left, repeat to go on" if left else ""))


def units(quick: bool) -> list[Unit]:
    """List everything there is to do, the cheapest first."""
    images, limit, train, test = (10, 50, 640, 20) if quick else (100, AT[-1], TRAIN, TEST)
    asked = {"images": images, "queries": limit, "radius": RADIUS}
    listed = [
        Unit(
            "queries",
            {"victim": victim, "attack": attack, **asked},
            partial(query_row, victim, attack, images, limit),
        )
        for attack in ATTACKS
        for victim in VICTIMS
    ]
    few = 5 if quick else 30
    listed += [
        Unit(
            "labels only",
            {"attack": "HopSkipJump", "images": few, "rounds": rounds, "radius": RADIUS},
            partial(label_row, few, rounds),
        )
        for rounds in ((1,) if quick else (5, 20, 40))
    ]
    listed += [
        Unit(
            "cifar10",
            {"training": method, "epochs": 1 if quick else epochs, "train": train, "test": test},
            partial(cifar_row, method, 1 if quick else epochs, train, test),
        )
        for method, epochs in TRAINED.items()
    ]
    return listed


@lru_cache(maxsize=1)
def victims() -> dict[str, Target]:
    """Train a network on the offline digits; give it in the three ways it can answer."""
    digits = data.load("mnist", source="offline")
    tf.keras.utils.set_random_seed(0)
    logits = models.wong_cnn()
    model = tf.keras.Sequential([*logits.layers, tf.keras.layers.Softmax()])
    model.compile(tf.keras.optimizers.Adam(0.002), "sparse_categorical_crossentropy")
    model.fit(digits.x_train, digits.y_train, 64, 4, verbose=0)
    runner = open_model(to_tflite(model, "int8", digits.x_train[:200]), isolated=False)
    return {
        "float logits": Target(lambda rows: np.asarray(logits(rows)), name="float logits"),
        "float probabilities": Target(lambda rows: np.asarray(model(rows)), name="probabilities"),
        "int8 file": Target(runner.predict, name="int8 file"),
    }


def query_row(victim: str, attack: str, images: int, limit: int) -> Row:
    """Attack by queries, and count who was fooled by when."""
    digits = data.load("mnist", source="offline")
    x, y = as_stored(digits.x_test[:images]), digits.y_test[:images]
    outcome = ATTACKS[attack](victims()[victim], x, y, limit)
    curve = query_curve(outcome, [at for at in AT if at <= limit])
    return {
        "robust_accuracy": outcome.robust_accuracy,
        "right_before": int(outcome.correct.sum()),
        "at": curve.x.tolist(),
        "fooled": curve.y.tolist(),
        "low": curve.low.tolist(),
        "high": curve.high.tolist(),
    }


def label_row(images: int, rounds: int) -> Row:
    """Walk along the file's boundary by its labels, and count who came within the radius."""
    digits = data.load("mnist", source="offline")
    x, y = as_stored(digits.x_test[:images]), digits.y_test[:images]
    target = victims()["int8 file"]

    def labels_only(inputs: np.ndarray) -> np.ndarray:
        return np.eye(len(digits.class_names))[target.labels(inputs)]

    outcome = library.hop_skip_jump(
        Target(labels_only), x, y, "linf", rounds=rounds, evaluations=1000
    )
    right = outcome.correct
    within = outcome.fooled & (outcome.distances <= RADIUS)
    assert outcome.queries is not None
    return {
        "fooled": float(within[right].mean()),
        "mean_queries": float(outcome.queries[right].mean()),
        "median_distance": float(np.median(outcome.distances[right & outcome.fooled])),
    }


def cifar_row(method: Method, epochs: int, train: int, test: int) -> Row:
    """Train on photographs, convert, and attack the file."""
    photographs = data.cifar10()
    if photographs.source == "synthetic":
        raise DataError("CIFAR-10 is not here: edgesec data fetch cifar10.")
    x, y = photographs.x_train[:train], photographs.y_train[:train]
    network = models.small_cnn(x.shape[1:], 10, (16, 32, 64))
    held_out = photographs.x_test[-200:], photographs.y_test[-200:]
    how = Settings(method, epochs, learning_rate=0.002)
    trained = fit_robust(network, x, y, 8 / 255, held_out, how).model
    chances = tf.keras.layers.Softmax()(trained.outputs[0])
    shipped = tf.keras.Model(trained.inputs, chances)
    artefact = to_tflite(shipped, "int8", x[:200])
    runner = open_model(artefact, isolated=False)
    target = Target(runner.predict, build_replica(artefact, logits=True), name="int8 file")
    clean, truth = as_stored(photographs.x_test[:test]), photographs.y_test[:test]
    strongest = worst_case(target, clean, truth, Budget(8 / 255), queries=100)
    return {
        "parameters": int(network.count_params()),
        "bytes": len(artefact.data),
        "clean_accuracy": float(np.mean(target.labels(clean) == truth)),
        "float_accuracy": float(np.mean(np.argmax(trained.predict(clean, verbose=0), 1) == truth)),
        "pgd": {
            str(level): transfer(target, clean, truth, Budget(level / 255)).robust_accuracy
            for level in LEVELS
        },
        "robust_accuracy": strongest.robust_accuracy,
        "interval": list(strongest.interval()),
    }


def summary(rows: list[Row]) -> Row:
    """Say how many units stand behind each part."""
    names = sorted({row["experiment"] for row in rows})
    return {"units": {name: sum(row["experiment"] == name for row in rows) for name in names}}


def report(rows: list[dict[str, Any]]) -> str:
    lines = []
    for row in rows:
        settings = row["settings"]
        if row["experiment"] == "queries":
            lines.append(
                f"{settings['victim']:20} {settings['attack']:32} fooled {row['fooled'][-1]:.2f} "
                f"after {row['at'][-1]:.0f} queries"
            )
        elif row["experiment"] == "labels only":
            lines.append(
                f"HopSkipJump, {settings['rounds']} rounds: {row['fooled']:.2f} within the radius "
                f"after {row['mean_queries']:.0f} queries"
            )
        else:
            low, high = row["interval"]
            lines.append(
                f"CIFAR-10, {settings['training']}: clean {row['clean_accuracy']:.3f}, robust at "
                f"8/255 {row['robust_accuracy']:.3f} ({low:.3f} to {high:.3f})"
            )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
