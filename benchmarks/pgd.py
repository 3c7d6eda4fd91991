"""Our PGD beside those of ART, Foolbox and CleverHans: robust accuracy and time, in one run.

Run from the repository root:

    python benchmarks/pgd.py            # the figures of the book
    python benchmarks/pgd.py --quick    # a small pass over every part

All attack the same images of MNIST on the same weights: L-infinity, the same radius, step, number
of steps and one random start. They run in one process, in turns, on one thread, and CPU seconds
are taken. The cost of the gradients alone, at points that the attack visits, is measured beside
them: what is above it is overhead.

ART comes with the project. The others need an environment of their own; without it they are left
out, and the report says so:

    python3.11 -m venv build/peers/pgd
    build/peers/pgd/bin/pip install --no-deps --require-hashes -r requirements.txt
    build/peers/pgd/bin/pip install --no-deps foolbox==3.3.4 cleverhans==4.0.0 eagerpy==0.30.0
    build/peers/pgd/bin/pip install gitpython==3.1.43    # Foolbox imports it
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

import numpy as np
import tensorflow as tf
from common.figures import record_path, save, spread, stamp
from common.peers import run_peer
from tqdm import tqdm

from helpers import data, models

ROOT = Path(__file__).parents[1]
PEERS = ROOT / "build" / "peers" / "pgd" / "bin" / "python"
PEER = Path(__file__).parent / "peers" / "pgd_libraries.py"
EPSILON, STEPS = 0.1, 20
NETWORKS = ("small_cnn", "mcmahan_cnn")
STEP = 2.5 * EPSILON / STEPS
EXPECTED = ("ART, one batch", "Foolbox", "CleverHans")


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse(arguments)
    before = os.getloadavg()[0]
    images, repeats = (32, 2) if options.quick else (options.images, options.repeats)
    mnist = data.load("mnist", source="offline")
    compared = {
        name: compare(name, mnist, images, repeats, options.peers_python)
        for name in tqdm(options.only, desc="networks")
    }
    result = {
        "attack": {"norm": "linf", "epsilon": EPSILON, "step": STEP, "steps": STEPS},
        "images": images,
        "repeats": repeats,
        "models": compared,
        "quick": options.quick,
        **stamp(__file__, before, "tensorflow-cpu", "numpy"),
    }
    save(options.out or record_path(__file__, options.quick), result, report(result))


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a small pass over every part")
    parser.add_argument("--only", nargs="+", choices=NETWORKS, default=NETWORKS, help="networks")
    parser.add_argument("--images", type=int, default=200, help="images attacked (default: 200)")
    parser.add_argument("--repeats", type=int, default=9, help="timed runs (default: 9)")
    parser.add_argument("--peers-python", type=Path, default=PEERS, help="their interpreter")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    return parser.parse_args(arguments)


def compare(
    name: str, mnist: data.Dataset, images: int, repeats: int, python: Path
) -> dict[str, Any]:
    """Train one network, and let every library attack it."""
    tf.keras.utils.set_random_seed(0)
    model = getattr(models, name)()
    loss = tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(tf.keras.optimizers.Adam(1e-3), loss)
    model.fit(mnist.x_train, mnist.y_train, 64, 2, verbose=0)
    x, y = mnist.x_test[:images], mnist.y_test[:images]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "case.npz"
        weights = {f"w{i}": w for i, w in enumerate(model.get_weights())}
        np.savez(path, x=x, y=y, **weights)
        numbers = [str(value) for value in (EPSILON, STEP, STEPS, repeats)]
        found = run_peer(
            python if python.exists() else sys.executable,
            PEER,
            [str(path), name, *numbers],
            timeout=1800,
            environment={"PYTHONPATH": str(ROOT)},
        )
    return {
        "parameters": int(model.count_params()),
        "clean_accuracy": float(np.mean(np.argmax(model.predict(x, verbose=0), axis=1) == y)),
        **summarise(found),
    }


def summarise(found: dict[str, Any]) -> dict[str, Any]:
    """Add ratios, taken turn by turn so that a drift of the machine cancels."""
    seconds = found["cpu_seconds"]

    def ratio(above: str, below: str) -> dict[str, float]:
        return spread([a / b for a, b in zip(seconds[above], seconds[below], strict=True)])

    peers = [mode for mode in seconds if mode not in ("ours", "gradients alone")]
    return {
        "robust_accuracy": found["robust_accuracy"],
        "cpu_seconds": {mode: spread(values) for mode, values in seconds.items()},
        "ours_over_gradients_alone": ratio("ours", "gradients alone"),
        "multiple_of_ours": {mode: ratio(mode, "ours") for mode in peers},
        "versions": found["versions"],
        "left_out": [peer for peer in EXPECTED if peer not in seconds],
    }


def report(result: dict[str, Any]) -> str:
    lines = []
    for name, row in result["models"].items():
        above = row["ours_over_gradients_alone"]
        lines.append(
            f"{name}: clean {row['clean_accuracy']:.3f}; ours takes {above['median']:.3f} times "
            f"its gradients alone ({above['min']:.3f} to {above['max']:.3f})"
        )
        for mode, accuracy in row["robust_accuracy"].items():
            times = row["multiple_of_ours"].get(mode)
            slower = f"  {times['median']:5.2f} times ours" if times else ""
            seconds = row["cpu_seconds"][mode]["median"]
            lines.append(f"  {mode:20} robust {accuracy:.3f}  {seconds:6.2f} CPU-s{slower}")
        if row["left_out"]:
            lines.append(
                f"  left out, as that environment lacks them: {', '.join(row['left_out'])}"
            )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
