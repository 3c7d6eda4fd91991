"""TensorFlow Privacy's MNIST tutorial: accuracy and epsilon, published and ours.

The tutorial's table was published twice. In January 2019 the network had no activation, in
February it got ReLUs and the table other settings. Each is run here with the network it was
published for; TF Privacy's own training code and a run that mixes the two stand beside them as
controls.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
from common.figures import spread
from common.store import Row, Unit

NAME = "dp_sgd_mnist"
BATCH, DELTA = 256, 1e-5
ROOT = "https://github.com/tensorflow/privacy/blob/"


@dataclass(frozen=True)
class Setting:
    """What is trained, and by whose code.

    Attributes
    ----------
    network
        ``"linear"`` without activations, ``"relu"`` with them.
    noise_multiplier, l2_norm_clip, learning_rate, epochs
        Of DP-SGD.
    library
        ``"ours"``, on Poisson batches of 256 on average, or ``"tf-privacy"``: its DPSequential,
        on shuffled batches of 256, as the tutorial draws them.
    """

    network: str
    noise_multiplier: float
    l2_norm_clip: float
    learning_rate: float
    epochs: float
    library: str = "ours"


STUDIES = {
    "january": Setting("linear", 1.2, 1.0, 0.32, 10),
    "january, TF Privacy's code": Setting("linear", 1.2, 1.0, 0.32, 10, "tf-privacy"),
    "january's settings, february's network": Setting("relu", 1.2, 1.0, 0.32, 10),
    "february": Setting("relu", 1.3, 1.5, 0.25, 15),
}
JANUARY = {
    "figure": {"test_accuracy": 0.950, "epsilon": 1.20, "runs": 10, "spread": None},
    "source": "TensorFlow Privacy, tutorials/README.md of January 2019, 'Select Parameters'",
    "url": ROOT + "047e1eef0e446daf41a9adbb712c546ebbd38c12/tutorials/README.md",
}
FEBRUARY = {
    "figure": {
        "test_accuracy": 0.950,
        "epsilon": 1.19,
        "runs": 10,
        "spread": "standard deviation below 0.003",
    },
    "source": "TensorFlow Privacy, tutorials/README.md since February 2019, 'Select Parameters'",
    "url": ROOT + "d435fcbf9af0d1ffd41ebc15ae23595124f7aa73/tutorials/README.md",
}
PUBLISHED = {
    "january": JANUARY,
    "january, TF Privacy's code": JANUARY,
    "february": FEBRUARY,
}
DIFFERS = [
    "our code draws Poisson batches of 256 on average, as the accountant assumes; the tutorial "
    "and TF Privacy's code here shuffle and cut batches of 256",
    "epsilon is recomputed with today's dp-accounting, whose conversion from RDP is tighter "
    "than that of 2019; the figure published with the tutorial assumed Poisson sampling too",
]


def units(seeds: int, quick: bool) -> list[Unit]:
    """Return one unit a study and seed."""
    return [
        unit(study, seed, quick)
        for study in STUDIES
        for seed in range(seeds)
        # One run says whether the library's code agrees; it takes as long as two of ours.
        if not (seed and STUDIES[study].library != "ours")
    ]


def unit(study: str, seed: int, quick: bool) -> Unit:
    settings = {**asdict(STUDIES[study]), "batch": BATCH, "seed": seed}
    if quick:
        settings["epochs"] = 0.1
    return Unit(NAME, settings, partial(train, settings))


def train(settings: Row) -> Row:
    """Train once and return test accuracy and epsilon."""
    import tensorflow as tf
    from common.networks import tutorial_cnn

    from helpers import data
    from helpers.privacy.accounting import compare_accounting

    mnist = data.load("mnist", source="full")
    tf.keras.utils.set_random_seed(settings["seed"])
    network = tutorial_cnn("relu" if settings["network"] == "relu" else None)
    size = len(mnist.x_train)
    steps = int(settings["epochs"] * size) // settings["batch"]
    fit = with_ours if settings["library"] == "ours" else with_tf_privacy
    model = fit(network, settings, mnist, steps)
    spent = compare_accounting(settings["noise_multiplier"], settings["batch"] / size, steps, DELTA)
    predicted = model.predict(mnist.x_test, batch_size=1000, verbose=0).argmax(axis=1)
    return {
        "test_accuracy": float((predicted == mnist.y_test).mean()),
        "steps": steps,
        "epsilon": {"rdp": spent.rdp, "pld": spent.pld, "no_amplification": spent.no_amplification},
    }


def with_ours(network: Any, settings: Row, mnist: Any, steps: int) -> Any:
    """Train with our DP-SGD on Poisson batches."""
    from helpers.privacy.dp_sgd import fit_dp

    fit_dp(
        network,
        mnist.x_train,
        mnist.y_train,
        noise_multiplier=settings["noise_multiplier"],
        l2_norm_clip=settings["l2_norm_clip"],
        sample_rate=settings["batch"] / len(mnist.x_train),
        steps=steps,
        learning_rate=settings["learning_rate"],
        seed=settings["seed"],
    )
    return network


def with_tf_privacy(network: Any, settings: Row, mnist: Any, steps: int) -> Any:
    """Train with TF Privacy's model class and Keras's own loop, on shuffled batches."""
    import tensorflow as tf
    import tensorflow_privacy as tfp

    model = tfp.DPSequential(
        settings["l2_norm_clip"],
        settings["noise_multiplier"],
        use_xla=False,
        layers=[tf.keras.Input((28, 28, 1)), *network.layers],
    )
    loss = tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(tf.keras.optimizers.SGD(settings["learning_rate"]), loss)
    batches = tf.data.Dataset.from_tensor_slices((mnist.x_train, mnist.y_train))
    batches = batches.shuffle(len(mnist.x_train), seed=settings["seed"])
    batches = batches.batch(settings["batch"], drop_remainder=True).repeat()
    model.fit(batches, steps_per_epoch=steps, epochs=1)
    return model


def summary(rows: list[Row]) -> Row:
    """Return published and ours of each study, ready to plot on one axis."""
    studies = {name: study_summary(name, rows_of(name, rows)) for name in STUDIES}
    return {"differs": DIFFERS, "studies": {name: s for name, s in studies.items() if s}}


def rows_of(study: str, rows: list[Row]) -> list[Row]:
    wanted = asdict(STUDIES[study])
    return [row for row in rows if wanted.items() <= row["settings"].items()]


def study_summary(study: str, rows: list[Row]) -> Row:
    if not rows:
        return {}
    values, published = [row["test_accuracy"] for row in rows], PUBLISHED.get(study)
    ours = {
        "test_accuracy": values,
        "seeds": [row["settings"]["seed"] for row in rows],
        "epsilon": rows[0]["epsilon"],
        **spread(values),
        "mean": float(np.mean(values)),
    }
    found: Row = {"setting": asdict(STUDIES[study]), "published": published, "ours": ours}
    if published:
        figure: Any = published["figure"]
        found["difference_of_means"] = ours["mean"] - figure["test_accuracy"]
    return found


def lines(part: Row) -> list[str]:
    """Lay the summary out as text."""
    text = ["TF Privacy's MNIST tutorial:"]
    for name, found in part["studies"].items():
        ours, published = found["ours"], found["published"]
        epsilon = ours["epsilon"]
        text.append(
            f"  {name}: accuracy {ours['mean']:.4f} on average ({ours['min']:.4f} to "
            f"{ours['max']:.4f}, {len(ours['seeds'])} seeds); epsilon {epsilon['rdp']:.2f} (RDP), "
            f"{epsilon['pld']:.2f} (PLD), {epsilon['no_amplification']:.1f} without amplification; "
            + (f"published {published['figure']}" if published else "nothing published")
        )
    return text
