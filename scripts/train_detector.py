"""Train the two small detectors that the package ships, once, on drawn streets.

    python scripts/train_detector.py plain
    python scripts/train_detector.py physical

Writes ``helpers/models/weights/ssd_aerial_NAME.npz`` (half precision) and, beside it, the log of
every epoch. It takes about ten minutes of CPU time each and can be killed: it goes on from its
last epoch.
"""

from __future__ import annotations

import csv
from dataclasses import asdict
from pathlib import Path

import click
import numpy as np

from helpers import data, models
from helpers.robustness import detection

WEIGHTS = Path(models.__file__).parent / "weights"
NUM_TRAIN = 1200


@click.command()
@click.argument("name", type=click.Choice(["plain", "physical"]))
@click.option("--epochs", default=80, show_default=True)
@click.option("--seed", default=0, show_default=True)
@click.option("--checkpoints", default="build/detector", show_default=True)
def main(name: str, epochs: int, seed: int, checkpoints: str) -> None:
    """Train one detector and write its weights and its log."""
    scenes = data.aerial_scenes(NUM_TRAIN, 1, seed=seed, progress=True)
    model = detection.build_ssd(len(scenes.class_names), seed=seed)
    recipe = detection.Augmentation.physical() if name == "physical" else detection.Augmentation()
    records = detection.train_detector(
        model,
        scenes.train,
        epochs=epochs,
        augmentation=recipe,
        seed=seed,
        checkpoint_dir=Path(checkpoints) / f"{name}-{seed}",
    )
    WEIGHTS.mkdir(exist_ok=True)
    target = WEIGHTS / f"ssd_aerial_{name}.npz"
    weights = {f"w{i:03d}": w.astype(np.float16) for i, w in enumerate(model.get_weights())}
    np.savez_compressed(target, **weights)
    with target.with_suffix(".csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(asdict(records[0])))
        writer.writeheader()
        writer.writerows(asdict(record) for record in records)
    print(f"{target}: {target.stat().st_size / 1e3:.0f} kB, {model.count_params():,} parameters")


if __name__ == "__main__":
    main()
