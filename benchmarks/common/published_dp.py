"""TensorFlow Privacy's MNIST tutorial with our DP-SGD: accuracy and epsilon after ten epochs."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from common.figures import spread
from common.store import Row, Unit

NAME = "dp_sgd_mnist"
NOISE_MULTIPLIER, L2_NORM_CLIP, LEARNING_RATE = 1.2, 1.0, 0.32
BATCH, EPOCHS, DELTA = 256, 10, 1e-5

PUBLISHED: dict[str, Any] = {
    "figure": {"test_accuracy": 0.950, "epsilon": 1.20, "runs": 10, "spread": None},
    "setting": "MNIST 60,000; noise multiplier 1.2, clip 1.0, learning rate 0.32, 256 "
    "microbatches, 10 epochs, delta 1e-5; mean of 10 runs",
    "source": "TensorFlow Privacy, tutorials/README.md, table 'Select Parameters', third row",
    "url": "https://github.com/tensorflow/privacy/blob/"
    "047e1eef0e446daf41a9adbb712c546ebbd38c12/tutorials/README.md",
    "differs": [
        "we draw Poisson batches of 256 on average, as the accountant assumes; the tutorial "
        "shuffles and cuts batches of 256",
        "epsilon is recomputed with today's dp-accounting, whose conversion from RDP is tighter "
        "than that of 2019; the figure published with the tutorial assumed Poisson sampling too",
    ],
}


def units(seeds: int, quick: bool) -> list[Unit]:
    """Return one unit a seed."""
    found = []
    for seed in range(seeds):
        settings = {
            "noise_multiplier": NOISE_MULTIPLIER,
            "l2_norm_clip": L2_NORM_CLIP,
            "learning_rate": LEARNING_RATE,
            "batch": BATCH,
            "epochs": 0.1 if quick else EPOCHS,
            "seed": seed,
        }
        found.append(Unit(NAME, settings, partial(train, settings)))
    return found


def train(settings: Row) -> Row:
    """Train once and return test accuracy and epsilon."""
    import tensorflow as tf
    from common.networks import tutorial_cnn

    from helpers import data
    from helpers.privacy.accounting import compare_accounting
    from helpers.privacy.dp_sgd import fit_dp

    mnist = data.load("mnist", source="full")
    tf.keras.utils.set_random_seed(settings["seed"])
    model = tutorial_cnn()
    size = len(mnist.x_train)
    history = fit_dp(
        model,
        mnist.x_train,
        mnist.y_train,
        noise_multiplier=settings["noise_multiplier"],
        l2_norm_clip=settings["l2_norm_clip"],
        sample_rate=settings["batch"] / size,
        steps=int(settings["epochs"] * size) // settings["batch"],
        learning_rate=settings["learning_rate"],
        seed=settings["seed"],
    )
    rate, steps = history.sample_rate, len(history.records)
    spent = compare_accounting(history.noise_multiplier, rate, steps, DELTA)
    predicted = model.predict(mnist.x_test, batch_size=1000, verbose=0).argmax(axis=1)
    return {
        "test_accuracy": float((predicted == mnist.y_test).mean()),
        "steps": steps,
        "epsilon": {"rdp": spent.rdp, "pld": spent.pld, "no_amplification": spent.no_amplification},
    }


def summary(rows: list[Row]) -> Row:
    """Return published and ours, ready to plot on one axis."""
    values = [row["test_accuracy"] for row in rows]
    return {
        "published": PUBLISHED,
        "ours": {
            "test_accuracy": values,
            "seeds": [row["settings"]["seed"] for row in rows],
            "epsilon": rows[0]["epsilon"],
            **spread(values),
            "mean": float(np.mean(values)),
        },
        "difference_of_means": float(np.mean(values)) - PUBLISHED["figure"]["test_accuracy"],
    }


def lines(part: Row) -> list[str]:
    """Lay the summary out as text."""
    ours, figure = part["ours"], part["published"]["figure"]
    epsilon = ours["epsilon"]
    return [
        f"TF Privacy's MNIST tutorial: accuracy {ours['mean']:.4f} on average "
        f"({ours['min']:.4f} to {ours['max']:.4f}, {len(ours['seeds'])} seeds); "
        f"published {figure['test_accuracy']:.3f}",
        f"  epsilon {epsilon['rdp']:.2f} (RDP), {epsilon['pld']:.2f} (PLD), "
        f"{epsilon['no_amplification']:.1f} without amplification; "
        f"published {figure['epsilon']:.2f}",
    ]
