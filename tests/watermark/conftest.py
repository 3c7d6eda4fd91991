"""A tiny separable network on real digits: the owner's, and nine made without it."""

import datetime
import os
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

from helpers import data
from helpers.edge import convert, reading
from helpers.edge.artefact import Artefact
from helpers.edge.runtimes import open_model
from helpers.watermark.folding import suspect_of
from helpers.watermark.key import Key
from helpers.watermark.suspect import Suspect
from helpers.watermark.training import train_many

if TYPE_CHECKING:
    import tensorflow as tf

OWNER, OTHER = Key(b"owner".ljust(32, b"o")), Key(b"other".ljust(32, b"x"))
SHIPPED = datetime.datetime(2025, 3, 1, tzinfo=datetime.UTC)
SEEN = datetime.datetime(2026, 3, 1, tzinfo=datetime.UTC)


def key(number: int) -> Key:
    """One of many keys."""
    return OWNER.child(f"number {number}")


def answering(labels: Any, classes: int = 10) -> Suspect:
    """A suspect without weights; ``labels`` is a function of the inputs."""
    return Suspect(lambda x: np.eye(classes)[np.asarray(labels(x))], name="box")


def deployed(artefact: Artefact, name: str = "file") -> Suspect:
    """What a verifier makes of a ``.tflite`` file."""
    layers = reading.read_weights(artefact.graph())
    return Suspect(
        ask=open_model(artefact).predict,
        kernels=[layer.kernel for layer in layers],
        biases=[
            np.zeros(layer.kernel.shape[-1], np.float32) if layer.bias is None else layer.bias
            for layer in layers
        ],
        name=name,
    )


def int8(model: "tf.keras.Model", x: np.ndarray) -> Artefact:
    """The file for the device, its ranges taken from data."""
    return convert.to_tflite(model, "int8", x[:100])


@pytest.fixture(scope="session")
def digits() -> data.Dataset:
    return data.load("digits", source="offline")


@pytest.fixture(scope="session")
def networks(digits: data.Dataset) -> "list[tf.keras.Model]":
    """Ten networks from ten beginnings, each trained for a moment on the same digits."""
    import tensorflow as tf

    layers = tf.keras.layers

    def build(seed: int) -> "tf.keras.Model":
        tf.keras.utils.set_random_seed(seed)
        stack: list[Any] = [
            layers.Input((8, 8, 1)),
            *(layers.Conv2D(24, 3), layers.BatchNormalization(momentum=0.9), layers.ReLU()),
            *(layers.DepthwiseConv2D(3), layers.BatchNormalization(momentum=0.9), layers.ReLU()),
            *(layers.Conv2D(48, 1), layers.BatchNormalization(momentum=0.9), layers.ReLU()),
            *(layers.GlobalAveragePooling2D(), layers.Dense(10)),
        ]
        return tf.keras.Sequential(stack)

    return train_many(build, digits.x_train, digits.y_train, range(10), 4, 0.01, 64)


@pytest.fixture(scope="session")
def owner(networks: "list[tf.keras.Model]") -> "tf.keras.Model":
    return networks[0]


@pytest.fixture(scope="session")
def innocents(networks: "list[tf.keras.Model]") -> list[Suspect]:
    """Models of others, made without the owner's."""
    return [suspect_of(model, f"innocent {n}") for n, model in enumerate(networks[1:])]


def accuracy(suspect: Suspect, x: np.ndarray, y: np.ndarray) -> float:
    return float(np.mean(suspect.labels(x) == y))
