"""Model files of this test run's own making: a classifier in every format, and hostile ones."""

import importlib
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

CLASSES = 3


def onnx_classifier(weights: np.ndarray, **changes: Any) -> bytes:
    """Softmax of a matrix product, or another end, as an ``.onnx`` file whose batch is open."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    kernel = numpy_helper.from_array(weights, "kernel")
    if "location" in changes:
        kernel.ClearField("raw_data")
        kernel.data_location = TensorProto.EXTERNAL
        kernel.external_data.add(key="location", value=changes["location"])
    graph = helper.make_graph(
        [
            helper.make_node("Gemm", ["x", "kernel"], ["scores"]),
            helper.make_node(changes.get("last", "Softmax"), ["scores"], ["y"]),
        ],
        "classifier",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, len(weights)])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, weights.shape[1]])],
        [kernel],
    )
    return _saved(onnx, graph, changes.get("description", ""))


def onnx_open(channels: int) -> bytes:
    """The mean of a picture of any height and width, times a matrix; the output says no size."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    kernel = np.random.default_rng(4).normal(size=(channels, CLASSES)).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("ReduceMean", ["x"], ["mean"], axes=[1, 2], keepdims=0),
            helper.make_node("MatMul", ["mean", "kernel"], ["y"]),
        ],
        "open",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", "h", "w", channels])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(kernel, "kernel")],
    )
    return _saved(onnx, graph)


def onnx_looping(trips: int) -> bytes:
    """A classifier that first counts to ``trips``."""
    import onnx
    from onnx import TensorProto, helper

    body = helper.make_graph(
        [
            helper.make_node("Identity", ["going"], ["going_on"]),
            helper.make_node("Add", ["state", "x"], ["next"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("count", TensorProto.INT64, []),
            helper.make_tensor_value_info("going", TensorProto.BOOL, []),
            helper.make_tensor_value_info("state", TensorProto.FLOAT, [None, CLASSES]),
        ],
        [
            helper.make_tensor_value_info("going_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, [None, CLASSES]),
        ],
    )
    graph = helper.make_graph(
        [helper.make_node("Loop", ["trips", "", "x"], ["y"], body=body)],
        "endless",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, CLASSES])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, CLASSES])],
        [helper.make_tensor("trips", TensorProto.INT64, [], [trips])],
    )
    return _saved(onnx, graph)


def onnx_swelling(elements: int) -> bytes:
    """A classifier that multiplies by a tensor as large as its input says, times ``elements``."""
    import onnx
    from onnx import TensorProto, helper

    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["x"], ["whole"], to=TensorProto.INT64),
            helper.make_node("ReduceMax", ["whole"], ["most"], keepdims=0),
            helper.make_node("Mul", ["most", "elements"], ["size"]),
            helper.make_node("Reshape", ["size", "one"], ["shape"]),
            helper.make_node("ConstantOfShape", ["shape"], ["zeros"]),
            helper.make_node("ReduceSum", ["zeros"], ["nothing"], keepdims=0),
            helper.make_node("Add", ["x", "nothing"], ["y"]),
        ],
        "swelling",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, CLASSES])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, CLASSES])],
        [
            helper.make_tensor("elements", TensorProto.INT64, [], [elements]),
            helper.make_tensor("one", TensorProto.INT64, [1], [1]),
        ],
    )
    return _saved(onnx, graph)


def _saved(onnx: Any, graph: Any, description: str = "") -> bytes:
    opset = [onnx.helper.make_opsetid("", 13)]
    model = onnx.helper.make_model(graph, opset_imports=opset, ir_version=8)
    model.doc_string = description
    data: bytes = model.SerializeToString()
    return data


@pytest.fixture(scope="session")
def weights() -> np.ndarray:
    return np.random.default_rng(3).normal(size=(4, CLASSES)).astype(np.float32)


@pytest.fixture
def one_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Extraction makes the best copy alone, and none from fewer answers."""
    section = importlib.import_module("helpers.audit.sections.extraction")
    monkeypatch.setattr(section, "SHARES", ())


@pytest.fixture
def onnx_file(tmp_path: Path, weights: np.ndarray) -> Path:
    path = tmp_path / "classifier.onnx"
    path.write_bytes(onnx_classifier(weights))
    return path


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One small network as a float and an int8 ``.tflite``, and as Keras with hostile code."""
    import tensorflow as tf

    from helpers.edge.convert import to_tflite
    from helpers.edge.runtimes import wire

    folder = tmp_path_factory.mktemp("models")
    tf.keras.utils.set_random_seed(3)
    layers = tf.keras.layers
    # A converter leaves a bias of zeros out.
    last = layers.Dense(CLASSES, bias_initializer="ones")
    dense = [layers.Conv2D(4, 3, activation="relu"), layers.Flatten(), last]
    network = tf.keras.Sequential([tf.keras.Input((6, 6, 1)), *dense, layers.Softmax()])
    rows = np.random.default_rng(1).random((50, 6, 6, 1), np.float32)
    hostile = layers.Lambda(lambda value: value)
    guarded = tf.keras.Sequential([tf.keras.Input((6, 6, 1)), hostile, *dense, layers.Softmax()])
    hostile.function = _hostile(str(folder / "written"))
    guarded.save(folder / "lambda.keras")
    plain = to_tflite(network)
    hostile.function = _forging(wire.pack({"notes": []}, blob=plain.data).hex())
    guarded.save(folder / "forging.keras")
    anywhere = tf.keras.Sequential([
        tf.keras.Input((None, None, 1)), layers.Conv2D(4, 3, activation="relu"),
        layers.GlobalAveragePooling2D(), layers.Dense(CLASSES),
    ])  # fmt: skip
    return {
        "float": plain.save(folder / "float"),
        "open": to_tflite(anywhere).save(folder / "open"),
        "forging": folder / "forging.keras",
        "int8": to_tflite(network, "int8", rows).save(folder / "int8"),
        "lambda": folder / "lambda.keras",
        "written": folder / "written",
    }


def _hostile(path: str) -> Any:
    """Code that writes a file outside, reads the password file and calls home, in silence."""

    def work(value: Any, path: str = path) -> Any:
        import contextlib
        import socket
        from pathlib import Path as Anywhere

        for deed in (
            lambda: Anywhere(path).write_text("x"),
            lambda: Anywhere(path).write_text(Anywhere("/etc/passwd").read_text()),
            lambda: socket.create_connection(("127.0.0.1", 9), 1),
        ):
            with contextlib.suppress(OSError):
                deed()
        return value

    return work


def _forging(answer: str) -> Any:
    """Code that answers in the place of the process that runs it."""

    def work(value: Any, answer: str = answer) -> Any:
        import contextlib
        import os as system

        for number in range(3, 32):
            with contextlib.suppress(OSError):
                system.write(number, bytes.fromhex(answer))
        return value

    return work
