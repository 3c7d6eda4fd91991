"""Robustness, accuracy and cost of small networks: widths, ways of training, number formats.

Run from the repository root, after ``edgesec data fetch cifar10``:

    python benchmarks/frontier.py               # what is missing, for 10 minutes
    python benchmarks/frontier.py --minutes 60  # longer
    python benchmarks/frontier.py --quick       # few images and widths, apart

One convolutional network at several widths is trained plainly, on photographs of CIFAR-10, and from
there by free adversarial training and by PGD. (From random weights, narrow networks often end in
one and the same answer for every photograph.) Each is then shipped as float32, as int8, and as int8
with kernels of 4 bits, and attacked within the same budget: gradients of the replica that is read
back from the file, the file as the judge. Which images each file gets right is kept, so that the
front can be drawn again from other images, and so are the costs: bytes, activation memory,
multiply-accumulates, latency here and its estimate for devices that are not here.

Every finished run is written at once and is not done again, so the command can be stopped and
repeated.
"""

from __future__ import annotations

import argparse
import os
import time
from functools import cache, partial
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

import numpy as np
import tensorflow as tf
from common.figures import command_of, machine, record_path
from common.store import Row, Store, Unit

from helpers import data, models
from helpers.edge.arena import plan_arena
from helpers.edge.artefact import Artefact
from helpers.edge.convert import to_tflite
from helpers.edge.devices import estimate, work_of
from helpers.edge.measure import measure_latency
from helpers.edge.quantise import round_model
from helpers.edge.replica import build_replica
from helpers.edge.runtimes import open_model
from helpers.robustness.budget import Budget, as_stored
from helpers.robustness.target import Target
from helpers.robustness.training import Method, Settings, fit_robust
from helpers.robustness.transfer import transfer

WIDTHS = (4, 8, 16, 32)
METHODS: tuple[Method, ...] = ("plain", "free", "pgd")
FORMATS = ("float32", "int8", "4-bit kernels")
EPSILON = 4 / 255  # what the adversarial trainings aim at
ATTACKED = (2 / 255, 4 / 255)
DEVICES = (("cortex-m7", "int8"), ("raspberry-pi-4", "int8"))


@cache
def photographs(quick: bool) -> dict[str, np.ndarray]:
    """Return the images to train on, to watch the training by, and to test on."""
    whole = data.cifar10("full")
    train, watch, test = (300, 50, 30) if quick else (12_000, 400, 500)
    order = np.random.default_rng(0).permutation(len(whole.x_train))
    chosen = np.random.default_rng(1).permutation(len(whole.x_test))[:test]
    return {
        "x": whole.x_train[order[:train]],
        "y": whole.y_train[order[:train]],
        "x_watch": whole.x_train[order[train : train + watch]],
        "y_watch": whole.y_train[order[train : train + watch]],
        "x_test": as_stored(whole.x_test[chosen]),
        "y_test": whole.y_test[chosen],
    }


@cache
def trained(width: int, method: Method, seed: int, quick: bool) -> tuple[tf.keras.Model, Row]:
    """Train one network, and say how it does on what it has seen: the gap shows overfitting."""
    own = photographs(quick)
    if method == "plain":
        start = models.small_cnn((32, 32, 3), filters=(width, 2 * width, 4 * width), seed=seed)
    else:
        start, _ = trained(width, "plain", seed, quick)
    epochs = 1 if quick else {"plain": 12, "free": 16, "pgd": 6}[method]
    how = Settings(method, epochs=epochs, batch_size=64, steps=3)
    watch = own["x_watch"], own["y_watch"]
    before = time.process_time()
    done = fit_robust(start, own["x"], own["y"], EPSILON, watch, how, seed=seed)
    took = time.process_time() - before
    seen, answers = own["x"][:400], own["y"][:400]
    target = Target(lambda x: done.model(x).numpy(), done.model)
    on_seen = transfer(target, seen, answers, Budget(EPSILON), seed=seed)
    return done.model, {
        "parameters": done.model.count_params(),
        "training_cpu_seconds": round(took, 1),
        "collapsed": done.collapsed,
        "clean_on_training": float(on_seen.correct.mean()),
        "robust_on_training": on_seen.robust_accuracy,
    }


def shipped(model: tf.keras.Model, form: str, shown: np.ndarray) -> Artefact:
    """Return the file of a network in one format."""
    if form == "float32":
        return to_tflite(model, "float32")
    kept = round_model(model, 4) if form.startswith("4") else model
    return to_tflite(kept, "int8", shown, float_edges=True)


def costs(artefact: Artefact, form: str) -> Row:
    """Return what a file costs. No runtime packs 4 bits: that size is what packing would give."""
    work = work_of(artefact.data)
    size = artefact.num_bytes - (work.weights // 2 if form.startswith("4") else 0)
    with open_model(artefact) as runner:
        here = measure_latency(runner, repeats=100)
    found: Row = {
        "bytes": size,
        "arena_bytes": plan_arena(artefact.data).planned_bytes,
        "macs": work.macs,
        "milliseconds_here": round(here.percentile(50), 4),
    }
    for device, arithmetic in DEVICES:
        guess = estimate(work, device, arithmetic)  # type: ignore[arg-type]
        found[device] = [round(v, 3) for v in (guess.low, guess.milliseconds, guess.high)]
    return found


def design(width: int, method: Method, form: str, seed: int, quick: bool) -> Row:
    """Train, ship, attack and weigh one design."""
    own = photographs(quick)
    model, story = trained(width, method, seed, quick)
    artefact = shipped(model, form, own["x"][:100])
    replica = build_replica(artefact, logits=True)
    row: Row = {**story, **costs(artefact, form), "images": len(own["y_test"])}
    with open_model(artefact) as file:
        target = Target(file.predict, replica, name=form)
        for epsilon in ATTACKED:
            name = f"robust_{round(epsilon * 255)}"
            found = transfer(
                target, own["x_test"], own["y_test"], Budget(epsilon), restarts=2, seed=seed
            )
            row["clean"], row[name] = float(found.correct.mean()), found.robust_accuracy
            row["clean_bits"], row[f"{name}_bits"] = packed(found.correct), packed(found.robust)
    return row


def packed(right: np.ndarray) -> str:
    """Return one bit an image, as hexadecimal digits."""
    return np.packbits(right).tobytes().hex()


def units(quick: bool, seeds: int) -> list[Unit]:
    """Return everything there is to do; formats of one network follow each other."""
    widths = WIDTHS[:1] if quick else WIDTHS
    todo = []
    for seed in range(seeds):
        for width in widths:
            for method in METHODS:
                for form in FORMATS:
                    settings = {"width": width, "method": method, "format": form, "seed": seed}
                    work = partial(design, width, method, form, seed, quick)
                    todo.append(Unit("frontier", settings, work))
    return todo


def summary(rows: list[Row]) -> Row:
    """One line a design."""
    found: dict[str, Any] = {}
    for row in rows:
        own = row["settings"]
        name = f"{own['method']}, width {own['width']}, {own['format']}, seed {own['seed']}"
        found[name] = {key: row[key] for key in ("clean", "robust_2", "robust_4", "bytes", "macs")}
    return {"epsilon_of_training": EPSILON, "summary": found}


def main() -> None:
    """Do what is missing, and write it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--minutes", type=float, default=10.0, help="start no run after these")
    parser.add_argument("--quick", action="store_true", help="one width, few images, into build/")
    parser.add_argument("--seeds", type=int, default=1, help="seeds of the trainings")
    parser.add_argument("--again", action="store_true", help="also what was done before")
    chosen = parser.parse_args()
    out = record_path(__file__, chosen.quick)
    store = Store(out, machine("numpy", "tensorflow-cpu"), command_of(__file__), summary)
    deadline = time.monotonic() + 60 * chosen.minutes
    left = store.run(units(chosen.quick, chosen.seeds), deadline, chosen.again)
    print(f"{out}: {len(store.rows)} runs done, {left} left.")


if __name__ == "__main__":
    main()
