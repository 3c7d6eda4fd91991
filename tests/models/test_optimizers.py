"""Adam in one operation a weight: Keras' weights, in a fraction of Keras' graph."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from helpers import models
from helpers.models.optimizers import Adam


def trained(optimizer: tf.keras.optimizers.Optimizer) -> tf.keras.Model:
    rng = np.random.default_rng(0)
    model = models.mlp((5,), 3, hidden=(7,), seed=0)
    loss = tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss)
    x, y = rng.normal(size=(64, 5)).astype(np.float32), rng.integers(0, 3, 64)
    model.fit(x, y, 8, 3, shuffle=False, verbose=0)
    return model


def falling() -> Any:
    return tf.keras.optimizers.schedules.CosineDecay(0.01, 24)


@pytest.mark.parametrize(
    "settings",
    [
        {"learning_rate": 0.01},
        {"learning_rate": falling},
        {"learning_rate": 0.01, "beta_1": 0.5, "beta_2": 0.9, "epsilon": 1e-3},
        {"learning_rate": 0.01, "amsgrad": True},
    ],
)
def test_it_trains_as_that_of_keras(settings: dict[str, Any]) -> None:
    rate = settings["learning_rate"]
    given = [{**settings, "learning_rate": rate() if callable(rate) else rate} for _ in range(2)]
    ours = trained(Adam(**given[0]))
    theirs = trained(tf.keras.optimizers.Adam(**given[1]))
    for one, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=2e-6)
    states = zip(ours.optimizer.variables, theirs.optimizer.variables, strict=True)
    for one, other in states:
        np.testing.assert_allclose(one.numpy(), other.numpy(), atol=2e-6)


def test_without_a_graph_and_for_some_rows_alone_it_is_that_of_keras_too() -> None:
    ends = []
    for optimizer in (Adam(0.1), tf.keras.optimizers.Adam(0.1)):
        dense, table = tf.Variable([1.0, -2.0]), tf.Variable(np.ones((4, 2), np.float32))
        for step in range(5):
            rows = tf.IndexedSlices(tf.constant([[0.5, -1.0]]), tf.constant([step % 4]))
            optimizer.apply_gradients([(tf.constant([0.3, -2.0]) * step, dense), (rows, table)])
        ends.append((dense.numpy(), table.numpy()))
    for ours, theirs in zip(*ends, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_its_step_of_a_weight_is_one_operation() -> None:
    model = models.mlp((5,), 3, hidden=(7,))
    optimizer = Adam()
    optimizer.build(model.trainable_variables)

    @tf.function
    def step() -> None:
        gradients = [tf.ones(weight.shape) for weight in model.trainable_variables]
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))

    kinds = [operation.type for operation in step.get_concrete_function().graph.get_operations()]
    assert kinds.count("ResourceApplyAdam") == len(model.trainable_variables)
    assert "Sqrt" not in kinds


@pytest.mark.parametrize("name", ["model.keras", "model.h5"])
@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
def test_a_saved_model_asks_for_nothing_of_ours(tmp_path: Path, name: str) -> None:
    trained(Adam(0.01)).save(tmp_path / name)
    loaded = tf.keras.models.load_model(tmp_path / name)
    assert type(loaded.optimizer) is tf.keras.optimizers.Adam
    stored = (tmp_path / name).read_bytes()
    if name.endswith(".keras"):
        stored = zipfile.ZipFile(io.BytesIO(stored)).read("config.json")
    assert b"helpers" not in stored
