"""What a model gives away at every precision, and under what does help: one row a deployment.

Run from the repository root:

    python benchmarks/leakage_sweep.py            # the figures of the book
    python benchmarks/leakage_sweep.py --quick    # a small pass over every part

Every model is attacked in turn with all others as its shadows, and every shadow goes through the
deployment of its target: rounded, converted, trained quantisation-aware or with DP-SGD. The class
images are found through the deployed form and judged by a classifier that was trained on other
digits. Models and answers are kept in ``build/leakage_sweep``: a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

import numpy as np
import tensorflow as tf
from common.figures import record_path, save, stamp
from common.leaking import Digits, digits, network

from helpers import models
from helpers.edge.artefact import Artefact
from helpers.edge.convert import Precision, to_tflite
from helpers.edge.quantise import round_model, train_quantised
from helpers.edge.replica import build_replica
from helpers.edge.runtimes import open_model
from helpers.privacy import accounting
from helpers.privacy.dp_sgd import fit_dp
from helpers.privacy.inversion import evaluator_accuracy, invert
from helpers.privacy.membership import (
    ShadowModels,
    ShadowTraining,
    paired_halves,
    train_shadows,
)
from helpers.privacy.sweep import SweepRow, Variant, bitwidth_sweep

ROOT = Path(__file__).parents[1]
BUILD = ROOT / "build" / "leakage_sweep"
DP: dict[str, Any] = {
    "noise_multiplier": 1.0,
    "l2_norm_clip": 1.0,
    "sample_rate": 0.1,
    "steps": 200,
}
DELTA = 1e-3  # below one over the 500 examples of a model
# Long enough for the ranges of the activations to settle: TFMOT averages them slowly.
QAT: dict[str, Any] = {"epochs": 75, "batch_size": 25, "learning_rate": 1e-4}
EARLY = 4
Built = Callable[[tf.keras.Model, np.ndarray], Artefact]


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse(arguments)
    before = os.getloadavg()[0]
    found: dict[str, Any] = {"seeds": {}}
    for seed in range(1 if options.quick else options.seeds):
        rows = sweep(seed, options.quick)
        found["seeds"][str(seed)] = [row.to_json() for row in rows]
        print(report(seed, rows))
    result = {
        **found,
        "settings": {
            "models": 4 if options.quick else 16,
            "examples_each": 500,
            "epochs": 100,
            "early_epochs": EARLY,
            "dp": {**DP, "delta": DELTA, "epsilon": epsilon()},
            "qat": QAT,
        },
        "quick": options.quick,
        **stamp(__file__, before, "tensorflow-cpu", "tensorflow-model-optimization", "numpy"),
    }
    save(options.out or record_path(__file__, options.quick), result)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a small pass over every part")
    parser.add_argument("--seeds", type=int, default=1, help="sets of models (default: 1)")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    return parser.parse_args(arguments)


def epsilon() -> float:
    return float(
        accounting.epsilon(
            DP["noise_multiplier"], DP["sample_rate"], int(DP["steps"]), DELTA, method="rdp"
        )
    )


def sweep(seed: int, quick: bool) -> list[SweepRow]:
    """Measure every variant on one set of models."""
    own = digits()
    count = 4 if quick else 16
    members = paired_halves(count, len(own.y), seed)
    folder = BUILD / f"seed-{seed}{'-quick' if quick else ''}"

    def train(name: str, training: Any) -> ShadowModels:
        return train_shadows(
            network, own.x, own.y, members, training, seed=seed, folder=folder / name
        )

    plain = ShadowTraining(epochs=100, batch_size=25, learning_rate=0.05)
    early = ShadowTraining(epochs=EARLY, batch_size=25, learning_rate=0.05)
    judge = evaluator(own)
    variants = [
        *(keras_variant(name, bits, own, judge) for name, bits in (("fp32", 32),)),
        file_variant("fp16", partial(converted, "float16", own), own, judge),
        file_variant("int8", partial(converted, "int8", own), own, judge),
        file_variant("int8, QAT", partial(aware, own, quick), own, judge),
        *(keras_variant(f"{bits} bits", bits, own, judge) for bits in (4, 3, 2)),
        keras_variant("early stop", 32, own, judge, train("early", early)),
        keras_variant("DP-SGD", 32, own, judge, train("dp", private)),
    ]
    return bitwidth_sweep(
        variants,
        train("plain", plain),
        own.x,
        own.y,
        own.x_test,
        own.y_test,
        inverted=2 if quick else 8,
        folder=folder / "answers",
        seed=seed,
    )


def private(model: tf.keras.Model, x: np.ndarray, y: np.ndarray, seed: int) -> None:
    fit_dp(model, x, y, **DP, learning_rate=0.5, seed=seed, progress=False)


def keras_variant(
    name: str,
    bits: int,
    own: Digits,
    judge: Callable[[np.ndarray], np.ndarray],
    shadows: ShadowModels | None = None,
) -> Variant:
    """Weights of so few bits, simulated; 32 is the model as trained."""

    def rounded(model: tf.keras.Model) -> tf.keras.Model:
        return model if bits == 32 else round_model(model, bits)

    def deploy(model: tf.keras.Model, positions: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
        answering = rounded(model)
        return lambda x: answering(x).numpy()

    return Variant(
        name,
        deploy,
        shadows,
        lambda model, positions: class_images(rounded(model), own, judge),
    )


def file_variant(
    name: str, build: Built, own: Digits, judge: Callable[[np.ndarray], np.ndarray]
) -> Variant:
    """A file as the device runs it; inverted through a replica built from the file alone."""
    made: dict[bytes, Artefact] = {}

    def artefact(model: tf.keras.Model, positions: np.ndarray) -> Artefact:
        key = positions.tobytes()
        if key not in made:
            made[key] = build(model, positions)
        return made[key]

    def invert_file(model: tf.keras.Model, positions: np.ndarray) -> float:
        return class_images(build_replica(artefact(model, positions)), own, judge)

    return Variant(
        name,
        lambda model, positions: open_model(artefact(model, positions), isolated=False).predict,
        None,
        invert_file,
    )


def converted(
    precision: Precision, own: Digits, model: tf.keras.Model, positions: np.ndarray
) -> Artefact:
    shown = own.x[positions[:200]] if precision == "int8" else None
    return to_tflite(model, precision, representative=shown)


def aware(own: Digits, quick: bool, model: tf.keras.Model, positions: np.ndarray) -> Artefact:
    settings = {**QAT, "epochs": 2} if quick else QAT
    return to_tflite(train_quantised(model, own.x[positions], own.y[positions], **settings), "int8")


def class_images(
    model: tf.keras.Model, own: Digits, judge: Callable[[np.ndarray], np.ndarray]
) -> float:
    """Invert all ten classes and return the share that the evaluator recognises."""
    start = np.full(own.x.shape[1:], own.x_test.mean(), np.float32)
    labels = np.arange(10)
    found = invert(model, labels, start, steps=200, total_variation=1.0, prior=1.0)
    return evaluator_accuracy(found.images, labels, judge)


def evaluator(own: Digits) -> Callable[[np.ndarray], np.ndarray]:
    """Train a convolutional network on the digits that no attacked model has seen."""
    tf.keras.utils.set_random_seed(0)
    model = models.small_cnn((14, 14, 1), filters=(16, 32))
    model.compile(
        tf.keras.optimizers.Adam(2e-3),
        tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    model.fit(own.x_test, own.y_test, 32, 15, verbose=0)
    return lambda x: model(x).numpy()


def report(seed: int, rows: list[SweepRow]) -> str:
    """Lay the rows out as text."""
    lines = [f"seed {seed}"]
    for row in rows:
        lines.append(
            f"  {row.name:<11} test {row.utility.value:.3f}  AUC {row.auc}  "
            f"TPR at .1 % {row.tpr[0.001]}  1 % {row.tpr[0.01]}  "
            f"inverted {row.inversion.value if row.inversion else float('nan'):.2f}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
