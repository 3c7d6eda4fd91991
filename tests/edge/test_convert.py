from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from helpers import data
from helpers.edge import convert
from helpers.edge.artefact import Artefact, Contract, contract_of
from helpers.edge.quantise import train_quantised
from helpers.edge.quiet import quiet
from helpers.edge.runtimes import open_model
from helpers.errors import EdgeError
from helpers.models import small_cnn
from tests.edge.conftest import wake_word

if TYPE_CHECKING:
    import tensorflow as tf


def predicted(artefact: Artefact, rows: np.ndarray) -> np.ndarray:
    with open_model(artefact, isolated=False) as runner:
        return np.asarray(runner.predict(rows))


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_a_file_is_what_the_converter_makes_of_the_whole_keras_model(
    artefacts: dict[str, Artefact], network: tf.keras.Model, digits: data.Dataset, precision: str
) -> None:
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_keras_model(network)
    if precision == "int8":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([row[None]] for row in digits.x_train[:100])
        converter.inference_input_type = converter.inference_output_type = tf.int8
    with quiet():
        whole = np.frombuffer(converter.convert(), np.uint8)
    ours = np.frombuffer(artefacts[precision].data, np.uint8)
    assert whole.shape == ours.shape
    assert (whole != ours).sum() <= 1  # the byte that says what was converted


def test_a_layer_in_which_a_tensor_decides_what_runs_converts_too() -> None:
    import tensorflow as tf

    class Doubled(tf.keras.layers.Layer):
        def call(self, inputs: tf.Tensor) -> tf.Tensor:
            if tf.reduce_mean(inputs) > 0:
                return 2 * inputs
            return inputs

    row = tf.keras.Input((4,))
    artefact = convert.to_tflite(tf.keras.Model(row, Doubled()(row)))
    for sign in (1, -1):
        given = np.full((1, 4), 1.5 * sign, np.float32)
        np.testing.assert_array_equal(predicted(artefact, given), given * (2 if sign > 0 else 1))


def test_a_batch_size_that_a_model_fixes_stays_fixed() -> None:
    import tensorflow as tf

    row = tf.keras.Input(batch_shape=(2, 4))
    artefact = convert.to_tflite(tf.keras.Model(row, tf.reshape(row, (2, 2, 2))))
    with quiet():
        stated = tf.lite.Interpreter(model_content=artefact.data).get_input_details()[0]
    assert stated["shape_signature"].tolist() == [2, 4]


@pytest.mark.parametrize("name", ["camera/frame 1", "1-kHz"])
def test_an_input_may_have_a_name_that_tensorflow_refuses(name: str) -> None:
    import tensorflow as tf

    row = tf.keras.Input((4,), name=name)
    given = np.ones((1, 4), np.float32)
    artefact = convert.to_tflite(tf.keras.Model(row, 2 * row))
    np.testing.assert_array_equal(predicted(artefact, given), 2 * given)


def test_a_subclassed_model_converts_once_it_was_called() -> None:
    import tensorflow as tf

    class Doubled(tf.keras.Model):
        def call(self, inputs: tf.Tensor) -> tf.Tensor:
            return 2 * inputs

    model, given = Doubled(), np.ones((1, 4), np.float32)
    with pytest.raises(EdgeError, match="input shapes have not been set"):
        convert.to_tflite(model)
    model(given)
    np.testing.assert_array_equal(predicted(convert.to_tflite(model), given), 2 * given)


@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-6), ("float16", 5e-3)])
def test_a_float_file_answers_as_keras_does(
    artefacts: dict[str, Artefact],
    network: tf.keras.Model,
    rows: np.ndarray,
    precision: str,
    tolerance: float,
) -> None:
    found = predicted(artefacts[precision], rows)
    np.testing.assert_allclose(found, network.predict(rows, verbose=0), rtol=0, atol=tolerance)


def test_an_int8_file_keeps_the_labels_of_most_rows(
    artefacts: dict[str, Artefact], network: tf.keras.Model, rows: np.ndarray
) -> None:
    same = predicted(artefacts["int8"], rows).argmax(1) == network.predict(rows, verbose=0).argmax(
        1
    )
    assert same.mean() > 0.9


def test_dynamic_quantisation_stores_int8_weights_and_takes_floats() -> None:
    model = small_cnn((8, 8, 1), 10, filters=(32,))
    artefact = convert.to_tflite(model, "dynamic")
    assert contract_of(artefact.graph()).inputs[0].dtype == "float32"
    assert any(t.dtype == "int8" for t in artefact.graph().tensors)
    assert artefact.num_bytes < convert.to_tflite(model).num_bytes


def test_quantisation_aware_training_brings_its_ranges_along(
    network: tf.keras.Model, digits: data.Dataset, rows: np.ndarray
) -> None:
    before = network.get_weights()
    trained = train_quantised(network, digits.x_train[:256], digits.y_train[:256])
    artefact = convert.to_tflite(trained, "int8")
    assert contract_of(artefact.graph()).inputs[0].dtype == "int8"
    same = predicted(artefact, rows).argmax(1) == trained.predict(rows, verbose=0).argmax(1)
    assert same.mean() > 0.9
    for one, other in zip(before, network.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_keras_becomes_onnx_with_an_open_batch(network: tf.keras.Model, rows: np.ndarray) -> None:
    found = predicted(convert.to_onnx(network), rows)
    np.testing.assert_allclose(found, network.predict(rows, verbose=0), rtol=0, atol=1e-6)


def test_what_cannot_be_converted_is_refused_with_a_reason(network: tf.keras.Model) -> None:
    with pytest.raises(EdgeError, match="needs representative inputs"):
        convert.to_tflite(network, "int8")
    with pytest.raises(EdgeError, match="at least 10 inputs of shape"):
        convert.to_tflite(network, "int8", np.zeros((3, 8, 8, 1)))
    with pytest.raises(EdgeError, match="precision='int4'"):
        convert.to_tflite(network, "int4")  # type: ignore[arg-type]
    with pytest.raises(EdgeError, match="keeps state"):
        convert.to_onnx(Artefact.read(wake_word("alexa")))


def test_a_contract_survives_json(artefacts: dict[str, Artefact]) -> None:
    contract = contract_of(artefacts["int8"].graph())
    assert Contract.from_json(contract.to_json()) == contract
    for text in ("", "[]", '{"inputs": 3}', '{"inputs": [{}], "outputs": [], "stateful": 0}'):
        with pytest.raises(EdgeError, match="contract cannot be read"):
            Contract.from_json(text)
