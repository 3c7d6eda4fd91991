"""From Keras to TensorFlow Lite and ONNX, as artefacts that carry their contract."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from helpers.edge._checks import require_choice
from helpers.edge.artefact import Artefact, contract_of
from helpers.edge.quiet import quiet
from helpers.edge.tflite.graph import Graph, Operation
from helpers.errors import EdgeError

if TYPE_CHECKING:
    import tensorflow as tf

Precision = Literal["float32", "float16", "dynamic", "int8"]
ONNX_OPSET = 13  # the first with per-channel quantisation
MIN_REPRESENTATIVE = 10


def to_tflite(
    model: tf.keras.Model,
    precision: Precision = "float32",
    representative: ArrayLike | None = None,
    float_edges: bool = False,
) -> Artefact:
    """Convert a Keras model to TensorFlow Lite.

    Parameters
    ----------
    model
        Built model with one input. One that was trained quantisation-aware
        (:func:`helpers.edge.quantise.train_quantised`) brings its ranges along.
    precision
        ``"float32"``; ``"float16"`` halves the file and computes in float32; ``"dynamic"`` stores
        int8 weights and quantises activations as it runs; ``"int8"`` computes in integers only.
    representative
        Inputs that show the range of every activation, ``(n, ...)``: needed for ``"int8"`` unless
        the model was trained quantisation-aware. A hundred or more real ones are usual.
    float_edges
        Whether an int8 model takes and gives float32 instead of int8.

    Returns
    -------
    Artefact
        The ``.tflite`` file.

    Raises
    ------
    EdgeError
        If the precision is unknown, the representative set is missing, too small or of another
        shape, or TensorFlow Lite cannot express the model.
    """
    import tensorflow as tf

    require_choice("precision", precision, get_args(Precision))
    rows = _shown(model, representative) if precision == "int8" else None
    with quiet(), tempfile.TemporaryDirectory() as folder:
        try:
            if model.inputs:
                save_as_one_function(model, folder)
                converter = tf.lite.TFLiteConverter.from_saved_model(folder)
            else:  # a subclassed model: Keras alone knows what it was called with, if it was
                converter = tf.lite.TFLiteConverter.from_keras_model(model)
            if precision != "float32":
                converter.optimizations = [tf.lite.Optimize.DEFAULT]
            if precision == "float16":
                converter.target_spec.supported_types = [tf.float16]
            if precision == "int8":
                _make_integer(converter, rows, float_edges)
            data = converter.convert()
        # The converter raises types of its own, of which none is public.
        except Exception as error:
            reason = str(error).strip().splitlines() or [type(error).__name__]
            raise EdgeError(
                f"TensorFlow Lite cannot convert {model.name!r}: {reason[0]}"
            ) from error
    return Artefact(data, "tflite", f"{model.name} ({precision})")


def save_as_one_function(model: tf.keras.Model, folder: str | os.PathLike[str]) -> None:
    """Save what a model computes, for a converter: its answers under its own names.

    A Keras model that is saved as it is holds a function for each layer in each mode, which no
    converter reads: for a MobileNet, three quarters of the time of a conversion.

    Parameters
    ----------
    model
        Functional or sequential model, built. Its inputs keep their names, but for characters that
        TensorFlow refuses, and their batch size, open or fixed.
    folder
        Receives a SavedModel with the signature ``serving_default``.
    """
    import tensorflow as tf

    names = [re.sub(r"\W", "_", name, flags=re.ASCII) for name in model.input_names]
    pairs = zip(model.inputs, names, strict=True)
    signature = [tf.TensorSpec(t.shape, t.dtype, name=name) for t, name in pairs]

    @tf.function(input_signature=signature)
    def answer(*inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        outputs = tf.nest.flatten(model(inputs[0] if len(inputs) == 1 else inputs, training=False))
        return {name: outputs[i] for i, name in enumerate(model.output_names)}

    traced = answer.get_concrete_function()
    module = tf.Module()
    module.held = traced.variables
    tf.saved_model.save(module, folder, signatures=traced)


def _shown(model: tf.keras.Model, representative: ArrayLike | None) -> NDArray[np.float32] | None:
    """Return the representative inputs of an int8 model, if it needs or has any."""
    trained_so = any("quantize" in type(layer).__name__.lower() for layer in model.layers)
    if representative is None and not trained_so:
        raise EdgeError(
            "int8 needs representative inputs (a hundred real ones, say) to learn the range of "
            "every activation, or a model from train_quantised()."
        )
    if representative is None:
        return None
    rows = np.asarray(representative, np.float32)
    if len(rows) < MIN_REPRESENTATIVE or rows.shape[1:] != tuple(model.input_shape[1:]):
        raise EdgeError(
            f"representative of shape {rows.shape} must be at least {MIN_REPRESENTATIVE} "
            f"inputs of shape {tuple(model.input_shape[1:])}."
        )
    return rows


def _make_integer(converter: Any, rows: NDArray[np.float32] | None, float_edges: bool) -> None:
    import tensorflow as tf

    if rows is not None:
        converter.representative_dataset = lambda: ([row[None]] for row in rows)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    if not float_edges:
        converter.inference_input_type = converter.inference_output_type = tf.int8


def to_onnx(model: tf.keras.Model | Artefact) -> Artefact:
    """Convert a Keras model, or a ``.tflite`` file, to ONNX through tf2onnx.

    From a ``.tflite`` file the ONNX model keeps its quantisation, so that runtimes can be compared
    on the same numbers. That runs TensorFlow Lite on the file, so it is done in a worker process.

    Parameters
    ----------
    model
        Built Keras model, or an artefact.

    Returns
    -------
    Artefact
        The ``.onnx`` file; its metadata holds the contract, scales included.

    Raises
    ------
    EdgeError
        If tf2onnx cannot express the model, or the file is damaged.
    """
    if not isinstance(model, Artefact):
        return Artefact(keras_to_onnx(model), "onnx", f"{model.name} (onnx)")
    from helpers.edge.runtimes import start_worker

    contract = contract_of(model.graph())
    if contract.stateful:
        raise EdgeError(f"{model.name} keeps state between runs, which tf2onnx cannot express.")
    worker = start_worker("tflite", timeout=300)
    try:
        _, _, data = worker.ask(
            "to-onnx", blob=model.data, what=model.name, contract=contract.to_json()
        )
    finally:
        worker.close()
    return Artefact(data, "onnx", f"{model.name} (onnx)")


def to_executorch(artefact: Artefact) -> Artefact:
    """Convert a float ``.tflite`` file to an ExecuTorch program for its XNNPACK backend.

    The operations and weights are read from the file, rebuilt in PyTorch inside ExecuTorch's own
    environment, and exported there.

    Parameters
    ----------
    artefact
        A float32 or float16 ``.tflite`` file with one input.

    Returns
    -------
    Artefact
        The ``.pte`` program; float32, batch size 1.

    Raises
    ------
    EdgeError
        If ExecuTorch is not installed, the file is quantised, damaged or keeps state, or an
        operation is not known to the export; the message names it.
    """
    from helpers.edge.runtimes import start_worker
    from helpers.edge.runtimes.executorch import OPERATIONS

    graph, constants = _plain_graph(artefact, set(OPERATIONS))
    worker = start_worker("executorch", timeout=300)
    try:
        _, _, data = worker.ask("to-executorch", constants, what=artefact.name, graph=graph)
    finally:
        worker.close()
    return Artefact(data, "pte", f"{artefact.name} (executorch)")


def _plain_graph(
    artefact: Artefact, known: set[str]
) -> tuple[dict[str, Any], list[NDArray[np.float32]]]:
    """Return a float graph as plain values and the constants it computes with."""
    graph = artefact.graph()
    quantised = [t.name for t in graph.tensors if len(t.scales)]
    if quantised or graph.is_stateful or len(graph.inputs) != 1:
        raise EdgeError(
            f"{artefact.name} is quantised, keeps state or has several inputs: the export to "
            "ExecuTorch takes a float32 or float16 file with one input."
        )
    values: dict[int, NDArray[np.float32]] = {}
    operations = []
    for operation in graph.operations:
        if operation.kind == "DEQUANTIZE":  # of a half-precision constant
            values[operation.outputs[0]] = graph.tensors[operation.inputs[0]].real_values()
            continue
        if operation.kind not in known or len(operation.outputs) != 1:
            raise EdgeError(f"The export to ExecuTorch does not know {operation.kind}.")
        operations.append(_plain_operation(operation, graph, values))
    plain = {
        "operations": operations,
        "inputs": list(graph.inputs),
        "outputs": list(graph.outputs),
        "shape": list(graph.tensors[graph.inputs[0]].shape),
        "constants": list(values),
    }
    return plain, list(values.values())


def _plain_operation(
    operation: Operation, graph: Graph, values: dict[int, NDArray[np.float32]]
) -> dict[str, Any]:
    """Return one operation as plain values; its constants are added to ``values``."""
    axes: Any = None
    inputs = list(operation.inputs)
    for index in operation.inputs:
        data = graph.tensors[index].data if index >= 0 else None
        if data is not None and data.dtype.kind == "f":
            values[index] = np.asarray(data, np.float32)
        elif data is not None:
            axes = data.tolist()  # axes, paddings or a shape: known now, so no input
            inputs.remove(index)
    options = {k: v for k, v in operation.options.items() if isinstance(v, int | float)}
    return {
        "kind": operation.kind,
        "inputs": inputs,
        "outputs": list(operation.outputs),
        "options": options,
        "axes": axes,
        "shape": list(graph.tensors[operation.outputs[0]].shape),
    }


def keras_to_onnx(model: tf.keras.Model) -> bytes:
    """Return a Keras model as an ONNX file; the batch size stays open.

    Raises
    ------
    EdgeError
        If tf2onnx cannot convert it.
    """
    import tensorflow as tf
    import tf2onnx

    signature = [tf.TensorSpec(tensor.shape, tensor.dtype, name="input") for tensor in model.inputs]
    with quiet():
        try:
            proto, _ = tf2onnx.convert.from_keras(model, signature, opset=ONNX_OPSET)
        except Exception as error:
            raise EdgeError(f"tf2onnx cannot convert {model.name!r}: {error}") from error
    data: bytes = proto.SerializeToString()
    return data


def tflite_to_onnx(data: bytes, contract: str) -> bytes:
    """Return a ``.tflite`` file as an ONNX file with its contract in the metadata.

    This runs TensorFlow Lite in this process: only a worker calls it.
    """
    import onnx
    import tf2onnx

    from helpers.edge.runtimes.backends import CONTRACT_KEY

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.tflite"
        path.write_bytes(data)
        proto, _ = tf2onnx.convert.from_tflite(str(path), opset=ONNX_OPSET)
    onnx.helper.set_model_props(proto, {CONTRACT_KEY: contract})
    converted: bytes = proto.SerializeToString()
    return converted
