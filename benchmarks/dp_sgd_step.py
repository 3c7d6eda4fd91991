"""One step of DP-SGD against the plain step, beside TensorFlow Privacy's ways to take it.

Run from the repository root:

    python benchmarks/dp_sgd_step.py            # the figures of the book
    python benchmarks/dp_sgd_step.py --quick    # a small pass over every part

All take the same step on the same batch of MNIST: forward, backward, clip, noise, update. Each is
compiled and warmed up, then timed in turns, so that a drift of the machine hits all alike. The
result, one JSON file, gives times and multiples of the plain step, and the largest difference
between each mode's noiseless gradient and ours.

The peer script in ``benchmarks/peers`` times Opacus too, as a multiple of PyTorch's own plain step,
in an environment of its own; without it that part is left out:

    python3.11 -m venv build/peers/opacus
    build/peers/opacus/bin/pip install opacus==1.6.0
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

import numpy as np
import tensorflow as tf
import tensorflow_privacy as tfp
from common.figures import record_path, save, spread, stamp
from common.networks import tutorial_cnn
from tensorflow_privacy.privacy.fast_gradient_clipping.layer_registry import (
    make_default_layer_registry,
)
from tqdm import tqdm

from helpers import data, models
from helpers.privacy.dp_sgd.clipping import Method, clipped_gradient_sum, clipped_sum, plan

CLIP, NOISE, RATE = 1.0, 1.1, 0.1
OPACUS = Path(__file__).parents[1] / "build" / "peers" / "opacus" / "bin" / "python"
PEER = Path(__file__).parent / "peers" / "opacus_step.py"
Step = Callable[[], Any]


MODELS: dict[str, Callable[[], tf.keras.Model]] = {
    "mlp": lambda: models.mlp((28, 28, 1), 10),
    "cnn": tutorial_cnn,
}


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse(arguments)
    before = os.getloadavg()[0]
    repeats = 3 if options.quick else options.repeats
    batch = 16 if options.quick else options.batch
    result: dict[str, Any] = {
        "batch": batch,
        "repeats": repeats,
        "models": {name: compare(name, batch, repeats) for name in MODELS},
        "quick": options.quick,
        **stamp(__file__, before, "tensorflow-cpu", "tensorflow-privacy", "numpy"),
    }
    if options.opacus_python.exists():
        command = [str(options.opacus_python), str(PEER), str(batch), str(repeats)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        result["opacus"] = json.loads(done.stdout)
    save(options.out or record_path(__file__, options.quick), result, report(result))


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a small pass over every part")
    parser.add_argument("--batch", type=int, default=128, help="examples a step (default: 128)")
    parser.add_argument("--repeats", type=int, default=15, help="timed steps (default: 15)")
    parser.add_argument("--opacus-python", type=Path, default=OPACUS, help="its interpreter")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    return parser.parse_args(arguments)


def compare(name: str, batch: int, repeats: int) -> dict[str, Any]:
    """Time every mode in turns on one model and batch, and compare noiseless gradients."""
    mnist = data.load("mnist", source="offline")
    x, y = tf.constant(mnist.x_train[:batch]), tf.constant(mnist.y_train[:batch])
    builders = {
        "plain": lambda: plain_step(name, x, y),
        "ghost": lambda: our_step(name, x, y, "ghost"),
        "per_example": lambda: our_step(name, x, y, "per_example"),
        "tfp_vectorized": lambda: tfp_optimizer_step(name, x, y, tfp.VectorizedDPKerasSGDOptimizer),
        "tfp_microbatches": lambda: tfp_optimizer_step(name, x, y, tfp.DPKerasSGDOptimizer),
        "tfp_dpsequential": lambda: tfp_model_step(name, x, y, registry=False),
        "tfp_dpsequential_registry": lambda: tfp_model_step(name, x, y, registry=True),
    }
    steps: dict[str, Step] = {}
    for mode, build in tqdm(builders.items(), desc=f"{name}: compiling"):
        steps[mode] = build()
        steps[mode]()
    seconds = timed(steps, repeats, name)
    plain = statistics.median(seconds["plain"])
    return {
        "parameters": int(MODELS[name]().count_params()),
        "seconds": {mode: spread(values) for mode, values in seconds.items()},
        "multiple_of_plain": {m: statistics.median(v) / plain for m, v in seconds.items()},
        "largest_gradient_difference": gradient_differences(name, x, y),
    }


def timed(steps: dict[str, Step], repeats: int, label: str) -> dict[str, list[float]]:
    """Time steps in turns; short ones are repeated, so that the clock's grain does not show."""
    seconds: dict[str, list[float]] = {mode: [] for mode in steps}
    inner = {mode: max(1, round(0.05 / once(step))) for mode, step in steps.items()}
    for _ in tqdm(range(repeats), desc=f"{label}: timing"):
        for mode, step in steps.items():
            start = time.perf_counter()
            for _ in range(inner[mode]):
                step()
            seconds[mode].append((time.perf_counter() - start) / inner[mode])
    return seconds


def once(step: Step) -> float:
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


def cross_entropy(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)


def plain_step(name: str, x: tf.Tensor, y: tf.Tensor) -> Step:
    model = MODELS[name]()
    optimizer = tf.keras.optimizers.SGD(RATE)
    optimizer.build(model.trainable_variables)

    @tf.function
    def step(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(cross_entropy(y, model(x, training=True)))
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        return loss

    return lambda: step(x, y).numpy()


def our_step(name: str, x: tf.Tensor, y: tf.Tensor, method: Method) -> Step:
    model = MODELS[name]()
    how, variables = plan(model, method), model.trainable_variables
    optimizer = tf.keras.optimizers.SGD(RATE)
    optimizer.build(variables)

    # As in training: any batch size runs the same compiled function.
    @tf.function(input_signature=[tf.TensorSpec((None, *t.shape[1:]), t.dtype) for t in (x, y)])
    def step(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        total = clipped_sum(model, how, x, y, CLIP, cross_entropy)
        noisy = [g + tf.random.normal(g.shape, stddev=NOISE * CLIP) for g in total.gradients]
        mean = [g / tf.cast(tf.shape(x)[0], tf.float32) for g in noisy]
        optimizer.apply_gradients(zip(mean, variables, strict=True))
        return tf.reduce_mean(total.losses)

    return lambda: step(x, y).numpy()


def tfp_optimizer(kind: Any, batch: int, noise: float) -> Any:
    return kind(
        l2_norm_clip=CLIP, noise_multiplier=noise, num_microbatches=batch, learning_rate=RATE
    )


def tfp_optimizer_step(name: str, x: tf.Tensor, y: tf.Tensor, kind: Any) -> Step:
    model = MODELS[name]()
    optimizer = tfp_optimizer(kind, len(x), NOISE)

    @tf.function
    def step(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape(persistent=True) as tape:
            losses = cross_entropy(y, model(x, training=True))
        pairs = optimizer._compute_gradients(losses, model.trainable_variables, tape=tape)
        optimizer.apply_gradients(pairs)
        return tf.reduce_mean(losses)

    return lambda: step(x, y).numpy()


def tfp_model(name: str, batch: int, noise: float, registry: bool) -> tf.keras.Model:
    chosen = make_default_layer_registry() if registry else None
    model = tfp.DPSequential(
        CLIP,
        noise,
        num_microbatches=batch if not registry else None,
        use_xla=False,
        layer_registry=chosen,
        layers=[tf.keras.Input((28, 28, 1)), *MODELS[name]().layers],
    )
    loss = tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(tf.keras.optimizers.SGD(RATE), loss)
    return model


def tfp_model_step(name: str, x: tf.Tensor, y: tf.Tensor, registry: bool) -> Step:
    model = tfp_model(name, len(x), NOISE, registry)
    step = tf.function(model.train_step)
    return lambda: step((x, y))["loss"].numpy()


def gradient_differences(name: str, x: tf.Tensor, y: tf.Tensor) -> dict[str, float]:
    """Largest difference of the noiseless clipped mean gradient from that of our ghost norms."""
    reference = MODELS[name]()
    start = reference.get_weights()
    ours = [g / len(x) for g in clipped_gradient_sum(reference, x, y, CLIP)]
    mapped = [g / len(x) for g in clipped_gradient_sum(reference, x, y, CLIP, method="per_example")]
    found = {"per_example": mapped}
    for mode, kind in (
        ("tfp_vectorized", tfp.VectorizedDPKerasSGDOptimizer),
        ("tfp_microbatches", tfp.DPKerasSGDOptimizer),
    ):
        with tf.GradientTape(persistent=True) as tape:
            losses = cross_entropy(y, reference(x, training=True))
        pairs = tfp_optimizer(kind, len(x), 0.0)._compute_gradients(
            losses, reference.trainable_variables, tape=tape
        )
        found[mode] = [gradient.numpy() for gradient, _ in pairs]
    for mode, registry in (("tfp_dpsequential", False), ("tfp_dpsequential_registry", True)):
        model = tfp_model(name, len(x), 0.0, registry)
        model.set_weights(start)
        model.train_step((x, y))
        moved = zip(start, model.get_weights(), strict=True)
        found[mode] = [(old - new) / RATE for old, new in moved]
    return {
        mode: max(float(np.abs(a - b).max()) for a, b in zip(gradients, ours, strict=True))
        for mode, gradients in found.items()
    }


def report(result: dict[str, Any]) -> str:
    """Lay the main figures out as text."""
    lines = []
    for name, part in result["models"].items():
        lines.append(f"{name}: {part['parameters']:,} parameters, batch {result['batch']}")
        for mode, times in part["seconds"].items():
            lines.append(
                f"  {mode:<27} {1e3 * times['median']:9.2f} ms "
                f"{part['multiple_of_plain'][mode]:8.2f} x the plain step"
            )
        worst = max(part["largest_gradient_difference"].values())
        lines.append(f"  largest difference between noiseless gradients {worst:.1e}")
    for name, multiples in result.get("opacus", {}).get("multiple_of_plain", {}).items():
        text = ", ".join(f"{mode} {value:.2f}" for mode, value in multiples.items())
        lines.append(f"opacus, {name}, multiples of PyTorch's plain step: {text}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
