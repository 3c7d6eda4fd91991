"""A tiny depthwise-separable network with batch normalisation, in every precision."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

from helpers import data
from helpers.edge import convert
from helpers.edge.artefact import Artefact

if TYPE_CHECKING:
    import tensorflow as tf

WAKE_WORDS = ("alexa", "hey_jarvis", "hey_mycroft", "okay_nabu")


def wake_word(name: str) -> Path:
    """A third party's trained, streaming, int8 wake-word model."""
    import pymicro_wakeword

    return Path(pymicro_wakeword.__file__).parent / "models" / f"{name}.tflite"


def edited(content: bytes, edit: Callable[[Any], None]) -> bytes:
    """A ``.tflite`` file after a change to its object form: well-formed, whatever it says."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(bytearray(content), 0)
    edit(model)
    builder = flatbuffers.Builder(len(content))
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


@pytest.fixture(scope="session")
def digits() -> data.Dataset:
    return data.load("digits", source="offline")


@pytest.fixture(scope="session")
def network(digits: data.Dataset) -> "tf.keras.Model":
    """Trained for a moment, so that its batch normalisation has something to fold."""
    import tensorflow as tf

    tf.keras.utils.set_random_seed(3)
    layers = tf.keras.layers
    inputs = tf.keras.Input((8, 8, 1))
    x = layers.Conv2D(8, 3, padding="same", use_bias=False)(inputs)
    x = layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x))
    y = layers.DepthwiseConv2D(3, strides=2, padding="same", use_bias=False)(x)
    y = layers.ReLU(6.0)(layers.BatchNormalization(momentum=0.9)(y))
    y = layers.Conv2D(8, 1)(y)
    x = layers.Add()([layers.MaxPool2D(2)(x), y])
    x = layers.ZeroPadding2D(1)(x)
    x = layers.AveragePooling2D(2, padding="same")(x)
    x = layers.Dense(10)(layers.Flatten()(x))
    model = tf.keras.Model(inputs, layers.Softmax()(x), name="tiny")
    model.compile(tf.keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    model.fit(digits.x_train[:640], digits.y_train[:640], 64, 3, verbose=0)
    return model


@pytest.fixture(scope="session")
def artefacts(network: "tf.keras.Model", digits: data.Dataset) -> dict[str, Artefact]:
    """The network in every precision."""
    return {
        "float32": convert.to_tflite(network),
        "float16": convert.to_tflite(network, "float16"),
        "int8": convert.to_tflite(network, "int8", digits.x_train[:100]),
    }


@pytest.fixture(scope="session")
def rows(digits: data.Dataset) -> np.ndarray:
    return digits.x_test[:40]
