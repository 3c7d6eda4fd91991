"""Extraction: a copy made from answers alone, with the attacks of ART.

The thief never opens the file. They ask the device about recordings of their own and train a
fresh model on what it says. No weight is copied, so no mark in the weights can be.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from helpers.errors import WatermarkError
from helpers.watermark._checks import require_positive, require_whole
from helpers.watermark.removal import softmax
from helpers.watermark.survival import Attack, Victim
from helpers.watermark.training import BATCH_SIZE

if TYPE_CHECKING:
    import tensorflow as tf

Method = Literal["knockoff", "copycat"]


def extract(
    make_student: Callable[[int], tf.keras.Model],
    x: ArrayLike,
    queries: int,
    method: Method = "copycat",
    epochs: int = 10,
    learning_rate: float = 5e-3,
) -> Attack:
    """Steal the deployed model by queries, with ART's CopycatCNN or KnockoffNets.

    Parameters
    ----------
    make_student
        ``(seed)`` to an untrained Keras model that gives logits.
    x
        The thief's unlabelled inputs, ``(n, ...)``; each query is one of them.
    queries
        How many answers are bought, at most ``n``.
    method
        ``"copycat"`` learns from labels alone; ``"knockoff"`` from the scores of randomly chosen
        inputs, which a device that shows only its decision does not give away.
    epochs, learning_rate
        Of the student; Adam, the rate falling to zero along a cosine.

    Returns
    -------
    callable
        Asks ``victim.deployed`` and returns the student.

    Raises
    ------
    WatermarkError
        If the method is unknown, a setting is not positive, or there are more queries than inputs.

    References
    ----------
    Orekondy, Schiele and Fritz, *Knockoff Nets: stealing functionality of black-box models*, CVPR
    2019. Correia-Silva et al., *Copycat CNN: stealing knowledge by persuading confession with
    random non-labeled data*, IJCNN 2018.
    """
    inputs = np.asarray(x, np.float32)
    if method not in get_args(Method):
        raise WatermarkError(f"method={method!r} must be one of {', '.join(get_args(Method))}.")
    require_whole("queries", queries, at_least=1)
    require_whole("epochs", epochs, at_least=1)
    require_positive("learning_rate", learning_rate)
    if queries > len(inputs):
        raise WatermarkError(f"queries={queries} must lie between 1 and the {len(inputs)} inputs.")

    def attack(victim: Victim, seed: int) -> tf.keras.Model:
        student = make_student(seed)
        steps = epochs * -(-queries // BATCH_SIZE)
        with _seeded(seed):
            oracle = _oracle(victim.deployed.ask, inputs, int(student.output_shape[-1]))
            thief = _thief(student, steps, learning_rate)
            _art_attack(method, oracle, queries, epochs).extract(inputs, thieved_classifier=thief)
        return student

    return attack


def _art_attack(method: Method, oracle: Any, queries: int, epochs: int) -> Any:
    from art.attacks import extraction

    common = {
        "classifier": oracle,
        "batch_size_fit": BATCH_SIZE,
        "batch_size_query": 256,
        "nb_epochs": epochs,
        "nb_stolen": queries,
    }
    if method == "copycat":
        return extraction.CopycatCNN(**common)
    return extraction.KnockoffNets(
        **common, sampling_strategy="random", use_probability=True, verbose=False
    )


def _oracle(ask: Callable[..., Any], x: NDArray[np.float32], classes: int) -> Any:
    """Wrap a deployed model as ART's black box; its scores become probabilities."""
    from art.estimators.classification import BlackBoxClassifier

    def probabilities(batch: NDArray[np.float32]) -> NDArray[np.float32]:
        scores = np.asarray(ask(np.asarray(batch, np.float32)), np.float64)
        if scores.shape != (len(batch), classes):
            raise WatermarkError(
                f"The victim answers with scores of shape {scores.shape}, the student has "
                f"{classes} classes: make a student of as many."
            )
        sums_to_one = np.allclose(scores.sum(axis=1), 1, atol=0.05) and scores.min() >= 0
        return np.asarray(scores, np.float32) if sums_to_one else softmax(scores)

    return BlackBoxClassifier(probabilities, x.shape[1:], classes)


def _thief(student: tf.keras.Model, steps: int, learning_rate: float) -> Any:
    """Wrap the student for ART, which trains it."""
    import tensorflow as tf
    from art.estimators.classification import TensorFlowV2Classifier

    return TensorFlowV2Classifier(
        student,
        nb_classes=int(student.output_shape[-1]),
        input_shape=student.input_shape[1:],
        loss_object=tf.keras.losses.CategoricalCrossentropy(from_logits=True),
        optimizer=tf.keras.optimizers.Adam(
            tf.keras.optimizers.schedules.CosineDecay(learning_rate, steps)
        ),
    )


@contextlib.contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed NumPy's and TensorFlow's global generators, which ART draws from, for a while."""
    import tensorflow as tf

    state = np.random.get_state()  # noqa: NPY002
    np.random.seed(seed)  # noqa: NPY002
    tf.random.set_seed(seed)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="PyTorch not found")
            yield
    finally:
        np.random.set_state(state)  # noqa: NPY002
