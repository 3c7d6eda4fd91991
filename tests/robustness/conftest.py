"""A small network on 8 x 8 digits, and the int8 file made of it."""

import os
from typing import TYPE_CHECKING

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

from helpers import data
from helpers.edge import convert
from helpers.edge.artefact import Artefact
from helpers.edge.replica import build_replica
from helpers.edge.runtimes import open_model
from helpers.robustness.budget import as_stored
from helpers.robustness.target import Target

if TYPE_CHECKING:
    import tensorflow as tf

Examples = tuple[np.ndarray, np.ndarray]


@pytest.fixture(scope="session")
def digits() -> data.Dataset:
    return data.load("digits", source="offline")


@pytest.fixture(scope="session")
def network(digits: data.Dataset) -> "tf.keras.Model":
    """Ends in a softmax, as deployed classifiers do."""
    import tensorflow as tf

    tf.keras.utils.set_random_seed(0)
    layers = tf.keras.layers
    model = tf.keras.Sequential(
        [
            layers.Input((8, 8, 1)),
            layers.Conv2D(16, 3, activation="relu"),
            layers.Flatten(),
            layers.Dense(32, activation="relu"),
            layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(tf.keras.optimizers.Adam(0.005), "sparse_categorical_crossentropy")
    model.fit(digits.x_train, digits.y_train, 64, 15, verbose=0)
    return model


@pytest.fixture(scope="session")
def examples(digits: data.Dataset) -> Examples:
    """Images as an 8-bit file keeps them."""
    return as_stored(digits.x_test[:120]), digits.y_test[:120]


@pytest.fixture(scope="session")
def artefact(network: "tf.keras.Model", digits: data.Dataset) -> Artefact:
    return convert.to_tflite(network, "int8", digits.x_train[:100])


@pytest.fixture(scope="session")
def target(artefact: Artefact) -> Target:
    """The int8 file, and the replica read from it: all that its thief has."""
    runner = open_model(artefact, isolated=False)
    return Target(runner.predict, build_replica(artefact, logits=True), name="int8")
