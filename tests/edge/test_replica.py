from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from helpers.edge import convert
from helpers.edge.artefact import Artefact
from helpers.edge.replica import build_replica
from helpers.edge.runtimes import open_model
from helpers.errors import EdgeError
from tests.edge.conftest import edited, wake_word

if TYPE_CHECKING:
    import tensorflow as tf


def gradient(model: tf.keras.Model, rows: np.ndarray) -> np.ndarray:
    import tensorflow as tf

    inputs = tf.constant(rows)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        score = tf.reduce_sum(model(inputs)[:, 3])
    return np.asarray(tape.gradient(score, inputs))


def runs(artefact: Artefact, rows: np.ndarray) -> np.ndarray:
    with open_model(artefact, isolated=False) as runner:
        return np.asarray(runner.predict(rows))


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_a_float_replica_is_the_file(
    artefacts: dict[str, Artefact], rows: np.ndarray, precision: str
) -> None:
    replica = build_replica(artefacts[precision])
    found = replica.predict(rows, verbose=0)
    np.testing.assert_allclose(found, runs(artefacts[precision], rows), rtol=0, atol=1e-6)


def test_an_int8_replica_with_rounding_follows_the_file_code_for_code(
    artefacts: dict[str, Artefact], rows: np.ndarray
) -> None:
    found = build_replica(artefacts["int8"]).predict(rows, verbose=0)
    codes = np.abs(found - runs(artefacts["int8"], rows)) * 256
    # The runtime multiplies in fixed point, so a tie may fall the other way once in a while.
    assert np.mean(codes > 0.5) < 0.05
    assert codes.max() < 4.5


def test_without_rounding_it_is_the_smooth_function_below(
    artefacts: dict[str, Artefact], rows: np.ndarray
) -> None:
    smooth = build_replica(artefacts["int8"], rounding=False).predict(rows, verbose=0)
    assert len(np.unique(np.rint(smooth * 256) - smooth * 256)) > 10
    assert np.abs(smooth - runs(artefacts["int8"], rows)).max() < 0.1


@pytest.mark.parametrize(("precision", "least"), [("float32", 0.9999), ("int8", 0.9)])
def test_its_gradient_is_that_of_the_model_the_file_was_made_from(
    artefacts: dict[str, Artefact],
    network: tf.keras.Model,
    rows: np.ndarray,
    precision: str,
    least: float,
) -> None:
    ours = gradient(build_replica(artefacts[precision]), rows)
    theirs = gradient(network, rows)
    cosine = (ours * theirs).sum() / np.linalg.norm(ours) / np.linalg.norm(theirs)
    assert cosine > least


def test_its_gradient_has_the_shape_of_the_inputs_in_a_graph_too(
    artefacts: dict[str, Artefact], rows: np.ndarray
) -> None:
    import tensorflow as tf

    replica, shape = build_replica(artefacts["int8"]), (None, *rows.shape[1:])

    @tf.function(input_signature=[tf.TensorSpec(shape, tf.float32)])
    def slope(inputs: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            score = tf.reduce_sum(replica(inputs)[:, 3])
        return tape.gradient(score, inputs)

    assert slope.get_concrete_function().structured_outputs.shape.as_list() == list(shape)
    np.testing.assert_allclose(slope(rows), gradient(replica, rows), atol=1e-6)


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_logits_are_what_the_final_softmax_is_given(
    artefacts: dict[str, Artefact], rows: np.ndarray, precision: str
) -> None:
    import tensorflow as tf

    logits = build_replica(artefacts[precision], logits=True).predict(rows, verbose=0)
    assert logits.min() < 0
    whole = build_replica(artefacts[precision]).predict(rows, verbose=0)
    codes = 1 / 256 if precision == "int8" else 0
    np.testing.assert_allclose(tf.nn.softmax(logits), whole, rtol=0, atol=codes + 1e-5)


def test_logits_are_what_a_final_sigmoid_is_given(rows: np.ndarray) -> None:
    import tensorflow as tf

    given = tf.keras.Input(rows.shape[1:])
    answer = tf.keras.layers.Dense(1, activation="sigmoid")(tf.keras.layers.Flatten()(given))
    file = convert.to_tflite(tf.keras.Model(given, answer))
    logits = build_replica(file, logits=True).predict(rows, verbose=0)
    whole = build_replica(file).predict(rows, verbose=0)
    np.testing.assert_allclose(tf.nn.sigmoid(logits), whole, rtol=0, atol=1e-5)
    assert np.abs(logits - whole).max() > 0.1


def test_its_weights_are_variables_that_can_be_trained(artefacts: dict[str, Artefact]) -> None:
    replica = build_replica(artefacts["float32"])
    assert len(replica.trainable_weights) == 8
    shapes = [tuple(w.shape) for w in replica.trainable_weights if "kernel" in w.name]
    assert shapes[0] == (3, 3, 1, 8)
    assert shapes[1] == (3, 3, 8, 1)


def test_operations_beyond_the_common_ones_agree_with_the_runtime() -> None:
    import tensorflow as tf

    layers = tf.keras.layers
    tf.keras.utils.set_random_seed(1)
    inputs = tf.keras.Input((6, 6, 4))
    left = layers.Conv2DTranspose(4, 3, strides=2, padding="same", activation="tanh")(inputs)
    right = layers.UpSampling2D(2, interpolation="bilinear")(inputs)
    x = layers.Concatenate()([left, right, left - right, left * right])
    x = layers.LeakyReLU(0.3)(layers.Conv2D(5, 2, padding="valid", dilation_rate=2)(x))
    x = layers.SeparableConv2D(6, 3, activation="sigmoid")(layers.Cropping2D(1)(x))
    x = tf.nn.relu(tf.transpose(x, [0, 2, 1, 3])) / 3.0
    x = layers.PReLU(shared_axes=[1, 2], alpha_initializer="ones")(x - 0.2)
    outputs = tf.reduce_max(x, axis=[1, 2]) + tf.reduce_mean(tf.square(x), axis=[1, 2])
    artefact = convert.to_tflite(tf.keras.Model(inputs, outputs, name="odd"))
    rows = np.random.default_rng(2).normal(size=(5, 6, 6, 4)).astype(np.float32)
    found = build_replica(artefact).predict(rows, verbose=0)
    np.testing.assert_allclose(found, runs(artefact, rows), rtol=1e-5, atol=1e-5)


def test_what_a_replica_cannot_follow_is_named(artefacts: dict[str, Artefact]) -> None:
    from ai_edge_litert import schema_py_generated as schema

    def odd(model: object) -> None:
        code = schema.BuiltinOperator.ADD
        for entry in model.operatorCodes:  # type: ignore[attr-defined]
            if entry.builtinCode == code:
                entry.builtinCode = entry.deprecatedBuiltinCode = schema.BuiltinOperator.FLOOR_MOD

    with pytest.raises(EdgeError, match="does not know the operation FLOOR_MOD"):
        build_replica(edited(artefacts["float32"].data, odd))
    with pytest.raises(EdgeError, match="keeps state between runs"):
        build_replica(wake_word("alexa"))
