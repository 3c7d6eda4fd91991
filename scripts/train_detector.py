"""Train the small detectors that the package ships, once each, on drawn streets.

    python scripts/train_detector.py plain
    python scripts/train_detector.py physical
    python scripts/train_detector.py generic --start plain --rate 1e-3 --epochs 15
    python scripts/train_detector.py adversarial --start plain --rate 1e-3 --epochs 10

Writes ``helpers/models/weights/ssd_aerial_NAME.npz`` (half precision) and, beside it, the log of
every epoch. The first two begin from nothing and take about nine minutes of CPU time each; the
others begin from weights that are there. A run can be killed: it goes on from its last epoch.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import get_args

import click
import numpy as np

from helpers import data, models
from helpers.robustness import detection

WEIGHTS = Path(models.__file__).parent / "weights"
NAMES = get_args(detection.PretrainedName)
NUM_TRAIN = 1200
EPSILON = 4 / 255
RECIPES: dict[str, Callable[[], detection.Augmentation]] = {
    "generic": detection.Augmentation.generic,
    "physical": detection.Augmentation.physical,
}


def write_log(
    path: Path, records: list[detection.EpochRecord], start: detection.PretrainedName | None
) -> None:
    """Write every epoch, after those of the weights that the run began from."""
    earlier: list[dict[str, object]] = []
    if start is not None:
        with path.with_name(f"ssd_aerial_{start}.csv").open(newline="") as file:
            earlier = list(csv.DictReader(file))
    rows = earlier + [{**asdict(r), "epoch": len(earlier) + r.epoch} for r in records]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


@click.command()
@click.argument("name", type=click.Choice(NAMES))
@click.option("--start", type=click.Choice(NAMES), help="Weights to begin from.")
@click.option("--epochs", default=80, show_default=True)
@click.option("--rate", default=4e-3, show_default=True, help="Highest learning rate.")
@click.option("--seed", default=0, show_default=True)
@click.option("--checkpoints", default="build/detector", show_default=True)
def main(
    name: detection.PretrainedName,
    start: detection.PretrainedName | None,
    epochs: int,
    rate: float,
    seed: int,
    checkpoints: str,
) -> None:
    """Train one detector and write its weights and its log."""
    scenes = data.aerial_scenes(NUM_TRAIN, 1, seed=seed, progress=True)
    if start is None:
        model = detection.build_ssd(len(scenes.class_names), seed=seed)
    else:
        model = detection.pretrained(start).model
    recipe = RECIPES.get(name, detection.Augmentation)()
    records = detection.train_detector(
        model,
        scenes.train,
        epochs=epochs,
        learning_rate=rate,
        augmentation=recipe,
        epsilon=EPSILON if name == "adversarial" else 0.0,
        seed=seed,
        checkpoint_dir=Path(checkpoints) / f"{name}-{start or 'new'}-{seed}",
    )
    WEIGHTS.mkdir(exist_ok=True)
    target = WEIGHTS / f"ssd_aerial_{name}.npz"
    weights = {f"w{i:03d}": w.astype(np.float16) for i, w in enumerate(model.get_weights())}
    np.savez_compressed(target, **weights)
    write_log(target.with_suffix(".csv"), records, start)
    print(f"{target}: {target.stat().st_size / 1e3:.0f} kB, {model.count_params():,} parameters")


if __name__ == "__main__":
    main()
