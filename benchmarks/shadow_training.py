"""Shadow models a CPU second: all steps of a model in one compiled call, beside ``keras.fit``.

Run from the repository root:

    python benchmarks/shadow_training.py            # the figures of the book
    python benchmarks/shadow_training.py --quick    # a small pass over every part

Both train the same network on the same examples for as many steps of the same batch size with the
same optimiser. The plain loop is what a tutorial does: a new model a shadow, ``compile``, ``fit``.
That, compiling included, is compared, as it is what an attacker waits for; the more shadows, the
less the compiled call's one compilation counts. ``fit`` draws its batches in another order, so the
models are compared by their test accuracy.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

import numpy as np
import tensorflow as tf
from common.figures import record_path, save, spread, stamp
from common.leaking import Digits, digits, network

from helpers import models
from helpers.privacy.membership import ShadowModels, ShadowTraining, paired_halves, train_shadows

MODELS: dict[str, Callable[[int], tf.keras.Model]] = {
    "mlp": network,
    "cnn": lambda seed: models.small_cnn((14, 14, 1), filters=(8, 16), seed=seed),
}
Work = Callable[[], ShadowModels]


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse(arguments)
    before = os.getloadavg()[0]
    shadows, epochs, repeats = (2, 2, 1) if options.quick else (8, 40, options.repeats)
    own = digits()
    result: dict[str, Any] = {
        "shadows": shadows,
        "epochs": epochs,
        "batch_size": 25,
        "examples_each": len(own.y) // 2,
        "repeats": repeats,
        "models": {name: compare(name, own, shadows, epochs, repeats) for name in MODELS},
        "quick": options.quick,
        **stamp(__file__, before, "tensorflow-cpu", "numpy"),
    }
    save(options.out or record_path(__file__, options.quick), result, report(result))


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a small pass over every part")
    parser.add_argument("--repeats", type=int, default=3, help="timed sets (default: 3)")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    return parser.parse_args(arguments)


def compare(name: str, own: Digits, shadows: int, epochs: int, repeats: int) -> dict[str, Any]:
    """Time both ways in turns on one network."""
    training = ShadowTraining(epochs=epochs, batch_size=25, learning_rate=0.05)
    members = paired_halves(shadows, len(own.y), seed=0)
    ways: dict[str, Work] = {
        "one compiled call": lambda: train_shadows(
            MODELS[name], own.x, own.y, members, training, progress=False
        ),
        "keras.fit": lambda: train_shadows(
            MODELS[name], own.x, own.y, members, plain(training), progress=False
        ),
    }
    seconds: dict[str, dict[str, list[float]]] = {}
    accuracy: dict[str, float] = {}
    for _ in range(repeats):
        for way, work in ways.items():
            cpu, wall = time.process_time(), time.perf_counter()
            trained = work()
            kept = seconds.setdefault(way, {"cpu": [], "wall": []})
            kept["cpu"].append((time.process_time() - cpu) / shadows)
            kept["wall"].append((time.perf_counter() - wall) / shadows)
            said = trained.outputs(own.x_test, progress=False).argmax(axis=-1)
            accuracy[way] = float((said == own.y_test).mean())
    each = {way: float(np.median(kept["cpu"])) for way, kept in seconds.items()}
    return {
        "parameters": int(MODELS[name](0).count_params()),
        "steps_each": epochs * (len(own.y) // 2 // 25),
        "seconds_a_shadow": {
            way: {clock: spread(values) for clock, values in kept.items()}
            for way, kept in seconds.items()
        },
        "test_accuracy": accuracy,
        "times_faster_in_cpu_seconds": each["keras.fit"] / each["one compiled call"],
    }


def plain(training: ShadowTraining) -> Callable[..., Any]:
    """Train one model as a tutorial does."""

    def fit(model: tf.keras.Model, x: np.ndarray, y: np.ndarray, seed: int) -> None:
        tf.keras.utils.set_random_seed(seed)
        model.compile(
            tf.keras.optimizers.SGD(training.learning_rate, training.momentum),
            tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        )
        model.fit(x, y, training.batch_size, training.epochs, verbose=0)

    return fit


def report(result: dict[str, Any]) -> str:
    """Lay the main figures out as text."""
    lines = []
    for name, part in result["models"].items():
        lines.append(f"{name}: {part['parameters']:,} parameters, {part['steps_each']} steps each")
        for way, clocks in part["seconds_a_shadow"].items():
            lines.append(
                f"  {way:<18} {clocks['cpu']['median']:.3f} CPU-s a shadow "
                f"({clocks['cpu']['min']:.3f} to {clocks['cpu']['max']:.3f}), test accuracy "
                f"{part['test_accuracy'][way]:.3f}"
            )
        lines.append(f"  {part['times_faster_in_cpu_seconds']:.1f} times as fast")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
