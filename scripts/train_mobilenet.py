"""Train the small MobileNetV2 that the package ships, once, on all of CIFAR-10.

    edgesec data fetch cifar10
    python scripts/train_mobilenet.py

Writes ``helpers/models/weights/mobilenet_v2_cifar10.npz`` (half precision) and, beside it, the log
of every epoch. It trains on the 50,000 training photographs; the 10,000 test photographs are only
looked at after each epoch, for the log. It can be killed: it goes on from its last epoch.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from helpers import data, models
from helpers._files import write_atomically

if TYPE_CHECKING:
    import tensorflow as tf

TARGET = Path(models.__file__).parent / "weights" / "mobilenet_v2_cifar10.npz"
BATCH = 128


def augment(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return each image mirrored by a coin and moved by up to four pixels, mirrored at the edge."""
    padded = np.pad(images, ((0, 0), (4, 4), (4, 4), (0, 0)), mode="reflect")
    rows, columns = rng.integers(0, 9, (2, len(images)))
    flips = rng.random(len(images)) < 0.5
    out = np.empty_like(images)
    for i, (row, column) in enumerate(zip(rows, columns, strict=True)):
        view = padded[i, row : row + 32, column : column + 32]
        out[i] = view[:, ::-1] if flips[i] else view
    return out


@click.command()
@click.option("--epochs", default=40, show_default=True)
@click.option("--learning-rate", default=0.1, show_default=True)
@click.option("--seed", default=0, show_default=True)
@click.option("--checkpoint", default="build/mobilenet_v2_cifar10.npz", show_default=True)
def main(epochs: int, learning_rate: float, seed: int, checkpoint: str) -> None:
    """Train, epoch by epoch, and write the weights and the log."""
    import tensorflow as tf

    photographs = data.cifar10("full")
    model = models.mobilenet_v2(seed=seed)
    steps = len(photographs.x_train) // BATCH
    rate = tf.keras.optimizers.schedules.CosineDecay(learning_rate, epochs * steps)
    optimizer = tf.keras.optimizers.SGD(rate, momentum=0.9, nesterov=True)
    model.compile(
        optimizer,
        tf.keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1),
        metrics=["accuracy"],
    )
    decayed = [w for w in model.trainable_weights if "kernel" in w.name]
    model.add_loss(lambda: 2e-4 * tf.add_n([tf.nn.l2_loss(w) for w in decayed]))
    optimizer.build(model.trainable_variables)
    log, first = resume(Path(checkpoint), model, optimizer)
    one_hot = np.eye(10, dtype=np.float32)
    for epoch in range(first, epochs):
        rng = np.random.default_rng([seed, epoch])
        order = rng.permutation(len(photographs.x_train))[: steps * BATCH]
        images = augment(photographs.x_train[order], rng)
        labels = one_hot[photographs.y_train[order]]
        done = model.fit(images, labels, BATCH, shuffle=False, verbose=0).history
        test = model.evaluate(photographs.x_test, one_hot[photographs.y_test], 500, verbose=0)[1]
        log.append([epoch + 1, done["loss"][0], done["accuracy"][0], test])
        print(
            f"epoch {epoch + 1}: loss {log[-1][1]:.3f} train {log[-1][2]:.4f} test {test:.4f}",
            flush=True,
        )
        save(Path(checkpoint), model, optimizer, log)
    TARGET.parent.mkdir(exist_ok=True)
    weights = {f"w{i:03d}": w.astype(np.float16) for i, w in enumerate(model.get_weights())}
    np.savez_compressed(TARGET, **weights)
    with TARGET.with_suffix(".csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["epoch", "loss", "train_accuracy", "test_accuracy"])
        writer.writerows([int(epoch), *rest] for epoch, *rest in log)
    print(f"{TARGET}: {TARGET.stat().st_size / 1e3:.0f} kB, {model.count_params():,} parameters")


def save(path: Path, model: tf.keras.Model, optimizer: Any, log: list[list[float]]) -> None:
    """Write a checkpoint, so that it is whole or not there."""
    arrays = {f"w{i:03d}": w for i, w in enumerate(model.get_weights())}
    arrays |= {f"o{i:03d}": v.numpy() for i, v in enumerate(optimizer.variables)}
    write_atomically(path, lambda file: np.savez(file, log=np.asarray(log), **arrays))


def resume(path: Path, model: tf.keras.Model, optimizer: Any) -> tuple[list[list[float]], int]:
    """Load a checkpoint if there is one; return the log and the epoch to go on with."""
    if not path.exists():
        return [], 0
    with np.load(path) as stored:
        model.set_weights([stored[k] for k in sorted(stored) if k[0] == "w"])
        for variable, key in zip(
            optimizer.variables, sorted(k for k in stored if k[0] == "o"), strict=True
        ):
            variable.assign(stored[key])
        log = stored["log"].tolist()
    return log, len(log)


if __name__ == "__main__":
    main()
