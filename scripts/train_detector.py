"""Train the small detectors that the package ships, once each, on drawn streets.

    python scripts/train_detector.py plain
    python scripts/train_detector.py generic
    python scripts/train_detector.py physical
    python scripts/train_detector.py adversarial

Writes ``helpers/models/weights/ssd_aerial_NAME.npz`` (half precision) and, beside it, the log of
every epoch. ``plain`` and ``physical`` begin from nothing and take about nine minutes of CPU time
each; ``generic`` and ``adversarial`` begin from the weights of ``plain``, which must be there, and
take two or three. A run can be killed: it goes on from its last epoch.
"""

from __future__ import annotations

import csv
from dataclasses import asdict
from pathlib import Path
from typing import get_args

import click
import numpy as np

from helpers import data, models
from helpers.robustness import detection

WEIGHTS = Path(models.__file__).parent / "weights"
NUM_TRAIN = 1200
EPSILON = 4 / 255
FINE_TUNED = {"generic": 15, "adversarial": 10}  # epochs, from the weights of plain
FINE_RATE = 1e-3
RECIPES = {
    "generic": detection.Augmentation.generic,
    "physical": detection.Augmentation.physical,
}


@click.command()
@click.argument("name", type=click.Choice(get_args(detection.PretrainedName)))
@click.option("--epochs", type=int, help="80, or fewer for those that begin from plain.")
@click.option("--seed", default=0, show_default=True)
@click.option("--checkpoints", default="build/detector", show_default=True)
def main(name: str, epochs: int | None, seed: int, checkpoints: str) -> None:
    """Train one detector and write its weights and its log."""
    scenes = data.aerial_scenes(NUM_TRAIN, 1, seed=seed, progress=True)
    if name in FINE_TUNED:
        model = detection.pretrained("plain").model
    else:
        model = detection.build_ssd(len(scenes.class_names), seed=seed)
    recipe = RECIPES.get(name, detection.Augmentation)()
    records = detection.train_detector(
        model,
        scenes.train,
        epochs=epochs or FINE_TUNED.get(name, 80),
        **({"learning_rate": FINE_RATE} if name in FINE_TUNED else {}),
        augmentation=recipe,
        epsilon=EPSILON if name == "adversarial" else 0.0,
        seed=seed,
        checkpoint_dir=Path(checkpoints) / f"{name}-{seed}",
    )
    WEIGHTS.mkdir(exist_ok=True)
    target = WEIGHTS / f"ssd_aerial_{name}.npz"
    weights = {f"w{i:03d}": w.astype(np.float16) for i, w in enumerate(model.get_weights())}
    np.savez_compressed(target, **weights)
    with target.with_suffix(".csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(asdict(records[0])), lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(record) for record in records)
    print(f"{target}: {target.stat().st_size / 1e3:.0f} kB, {model.count_params():,} parameters")


if __name__ == "__main__":
    main()
