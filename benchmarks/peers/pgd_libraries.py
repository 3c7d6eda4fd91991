"""Time PGD of several libraries on one model, in turns; prints one JSON object.

Run by ``benchmarks/pgd.py`` with an interpreter that has TensorFlow and ART, and Foolbox and
CleverHans if they are to take part:

    PYTHON benchmarks/peers/pgd_libraries.py CASE.npz MODEL EPSILON STEP STEPS REPEATS

``CASE.npz`` holds inputs, labels and weights. One thread, so that a CPU second is a second of work.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import logging
import os
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

import numpy as np
import tensorflow as tf

from helpers import models
from helpers.robustness.gradients import Pgd

PEERS = ("adversarial-robustness-toolbox", "foolbox", "cleverhans")
Run = Callable[[], Any]


def main() -> None:
    warnings.filterwarnings("ignore")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    path, name = sys.argv[1:3]
    epsilon, step = (float(value) for value in sys.argv[3:5])
    steps, repeats = (int(value) for value in sys.argv[5:7])
    case = np.load(path)
    x, y = case["x"], case["y"].astype(np.int64)
    model = getattr(models, name)()
    model.set_weights([case[f"w{i}"] for i in range(len(model.get_weights()))])
    our_run = ours(model, x, y, epsilon, step, steps)
    runs = {
        "gradients alone": gradients_alone(model, our_run(), y, steps),
        "ours": our_run,
        **peers(model, x, y, epsilon, step, steps),
    }
    accuracies = {
        mode: robust_accuracy(model, run(), x, y, epsilon)
        for mode, run in runs.items()
        if mode != "gradients alone"
    }
    for run in runs.values():
        run()
    result = {
        "robust_accuracy": accuracies,
        "cpu_seconds": timed(runs, repeats),
        "versions": {p: importlib.metadata.version(p) for p in ("tensorflow-cpu", *installed())},
    }
    print(json.dumps(result))


def installed() -> list[str]:
    modules = {"adversarial-robustness-toolbox": "art"}
    return [p for p in PEERS if importlib.util.find_spec(modules.get(p, p)) is not None]


def timed(runs: dict[str, Run], repeats: int) -> dict[str, list[float]]:
    seconds: dict[str, list[float]] = {mode: [] for mode in runs}
    for _ in range(repeats):
        for mode, run in runs.items():
            start = time.process_time()
            run()
            seconds[mode].append(time.process_time() - start)
    return seconds


def robust_accuracy(
    model: tf.keras.Model, found: Any, x: np.ndarray, y: np.ndarray, epsilon: float
) -> float:
    """Judge all alike, and refuse an attack that left the budget."""
    rows = np.asarray(found)
    if np.abs(rows - x).max() > epsilon * 1.0001 or rows.min() < 0 or rows.max() > 1:
        raise RuntimeError(f"an attack moved by {np.abs(rows - x).max()}")
    return float(np.mean(np.argmax(model(rows), axis=1) == y))


def gradients_alone(model: tf.keras.Model, x: np.ndarray, y: np.ndarray, steps: int) -> Run:
    """As many gradients of the loss as the attack takes, where it takes them, and nothing else.

    On clean images, which the network classifies with certainty, a gradient is cheaper.
    """
    inputs, labels = tf.constant(x), tf.constant(y)

    @tf.function
    def gradient(rows: tf.Tensor, classes: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch(rows)
            logits = model(rows, training=False)
            loss = tf.nn.sparse_softmax_cross_entropy_with_logits(classes, logits)
        return tape.gradient(loss, rows)

    def run() -> tf.Tensor:
        for _ in range(steps):
            found = gradient(inputs, labels)
        return found.numpy()

    return run


def ours(
    model: tf.keras.Model, x: np.ndarray, y: np.ndarray, epsilon: float, step: float, steps: int
) -> Run:
    attack = Pgd(model)
    return lambda: attack(x, y, epsilon, steps=steps, step_size=step)


def peers(
    model: tf.keras.Model, x: np.ndarray, y: np.ndarray, epsilon: float, step: float, steps: int
) -> dict[str, Run]:
    makers = {
        "adversarial-robustness-toolbox": art_runs,
        "foolbox": foolbox_runs,
        "cleverhans": cleverhans_runs,
    }
    found: dict[str, Run] = {}
    for peer in installed():
        found.update(makers[peer](model, x, y, epsilon, step, steps))
    return found


def art_runs(
    model: tf.keras.Model, x: np.ndarray, y: np.ndarray, epsilon: float, step: float, steps: int
) -> dict[str, Run]:
    from art.attacks.evasion import ProjectedGradientDescent
    from art.estimators.classification import TensorFlowV2Classifier

    estimator = TensorFlowV2Classifier(
        model, 10, x.shape[1:], tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        clip_values=(0.0, 1.0),
    )  # fmt: skip

    def make(batch: int) -> Run:
        attack = ProjectedGradientDescent(
            estimator, np.inf, epsilon, step, max_iter=steps, num_random_init=1,
            batch_size=batch, verbose=False,
        )  # fmt: skip
        return lambda: attack.generate(x, y)

    return {"ART, one batch": make(len(x)), "ART, batches of 32": make(32)}


def foolbox_runs(
    model: tf.keras.Model, x: np.ndarray, y: np.ndarray, epsilon: float, step: float, steps: int
) -> dict[str, Run]:
    import foolbox

    wrapped = foolbox.TensorFlowModel(model, bounds=(0, 1), device="/CPU:0")
    attack = foolbox.attacks.LinfPGD(abs_stepsize=step, steps=steps, random_start=True)
    inputs, labels = tf.constant(x), tf.constant(y)
    return {"Foolbox": lambda: attack(wrapped, inputs, labels, epsilons=epsilon)[1].numpy()}


def cleverhans_runs(
    model: tf.keras.Model, x: np.ndarray, y: np.ndarray, epsilon: float, step: float, steps: int
) -> dict[str, Run]:
    from cleverhans.tf2.attacks.projected_gradient_descent import projected_gradient_descent

    inputs, labels = tf.constant(x), tf.constant(y)

    def run() -> np.ndarray:
        found = projected_gradient_descent(
            model, inputs, epsilon, step, steps, np.inf,
            clip_min=0.0, clip_max=1.0, y=labels, rand_init=True, sanity_checks=False,
        )  # fmt: skip
        return np.asarray(found)

    return {"CleverHans": run}


if __name__ == "__main__":
    main()
