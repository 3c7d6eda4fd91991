"""A model with gradients, rebuilt from a ``.tflite`` file alone.

The file on the device has no gradients, and integer arithmetic has none to give. But its weights
can be read back and its operations are public, so whoever holds the file can run the same
computation in TensorFlow and differentiate it: that is the white-box attacker's starting point.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from helpers.edge.artefact import Artefact
from helpers.edge.reading import LayerWeights, read_weights
from helpers.edge.tflite.graph import Graph, Operation, Tensor, read_graph
from helpers.errors import EdgeError

if TYPE_CHECKING:
    import tensorflow as tf

TIE_MARGIN = 1e-4  # codes


def build_replica(
    source: Artefact | str | os.PathLike[str] | bytes | Graph,
    rounding: bool = True,
    *,
    logits: bool = False,
) -> tf.keras.Model:
    """Rebuild a ``.tflite`` file as a differentiable Keras model.

    The model takes and gives real numbers, whatever the file's own are, and any number of rows.
    Weights are trainable variables in Keras's layout, dequantised, with batch normalisation folded
    in as the file has it.

    Parameters
    ----------
    source
        The file, its bytes, an artefact, or a graph read before.
    rounding
        Whether activations that the file keeps as integers are rounded and clipped to them. The
        gradient passes a rounding unchanged and a clipping only inside its range (a
        straight-through estimator; Bengio, Léonard and Courville, arXiv:1308.3432). False gives
        the smooth function below the rounding.
    logits
        Whether to stop before a softmax or a sigmoid that ends the file. Both are so flat where the
        model is certain that the gradient vanishes in float32; what they were given has one.

    Returns
    -------
    tf.keras.Model
        One input, one output or a list of them; batch size free.

    Raises
    ------
    EdgeError
        If the file is damaged, keeps state between runs, has several inputs, or uses an operation
        that a replica does not know; the message names it.
    """
    import tensorflow as tf

    if isinstance(source, Graph):
        graph = source
    else:
        graph = source.graph() if isinstance(source, Artefact) else read_graph(source)
    _require_supported(graph)
    layer = _make_layer(graph, rounding, _before_softmax(graph) if logits else graph.outputs)
    shape = graph.tensors[graph.inputs[0]].shape
    inputs = tf.keras.Input(shape[1:], dtype="float32")
    outputs = layer(inputs)
    return tf.keras.Model(inputs, outputs[0] if len(outputs) == 1 else outputs, name="replica")


def _require_supported(graph: Graph) -> None:
    from helpers.edge.replica_operations import OPERATIONS

    if graph.is_stateful:
        raise EdgeError(
            "The model keeps state between runs (VAR_HANDLE or variable tensors): a replica is a "
            "function of its input alone. read_weights() still reads the weights."
        )
    if len(graph.inputs) != 1:
        raise EdgeError(f"The model has {len(graph.inputs)} inputs; a replica takes one.")
    unknown = sorted({o.kind for o in graph.operations} - set(OPERATIONS))
    if unknown:
        raise EdgeError(f"A replica does not know the operation {', '.join(unknown)}.")


def _before_softmax(graph: Graph) -> tuple[int, ...]:
    """Return the tensors that a final softmax or sigmoid is given; other outputs as they are."""
    made_by = graph.producers
    last = ("SOFTMAX", "LOGISTIC", "DEQUANTIZE", "QUANTIZE")
    wanted = []
    for output in graph.outputs:
        while output in made_by and made_by[output].kind in last:
            output = made_by[output].inputs[0]
        wanted.append(output)
    return tuple(wanted)


def _make_layer(graph: Graph, rounding: bool, outputs: Sequence[int]) -> Any:
    """Return a Keras layer that runs the graph; made here so that TensorFlow loads late."""
    import tensorflow as tf

    class GraphLayer(tf.keras.layers.Layer):
        def __init__(self) -> None:
            super().__init__(name="graph")
            self._known: dict[tuple[int, int], Any] = {}
            weights = {layer.operation: layer for layer in _in_keras_layout(graph)}
            for operation in graph.operations:
                if operation.index in weights:
                    self._add(operation, weights[operation.index])

        def _add(self, operation: Operation, layer: LayerWeights) -> None:
            name = _plain(layer.name) or f"operation_{operation.index}"
            for suffix, position, value in (
                ("kernel", 1, layer.kernel),
                ("bias", 3 if operation.kind == "TRANSPOSE_CONV" else 2, layer.bias),
            ):
                if value is not None:
                    self._known[operation.index, position] = self.add_weight(
                        f"{name}/{suffix}", value.shape, tf.float32,
                        tf.keras.initializers.Constant(value),
                    )  # fmt: skip

        def call(self, inputs: Any) -> list[Any]:
            return self._run(inputs)

        # No tensor decides what runs, so there is nothing that AutoGraph would have to rewrite.
        @tf.autograph.experimental.do_not_convert
        def _run(self, inputs: Any) -> list[Any]:
            first = graph.inputs[0]
            values = {first: self._round(_shaped_gradient()(inputs), graph.tensors[first])}
            for operation in graph.operations:
                self._step(operation, values)
            return [values[index] for index in outputs]

        def _step(self, operation: Operation, values: dict[int, Any]) -> None:
            from helpers.edge.replica_operations import OPERATIONS, Call

            given = [
                self._input(operation, position, index, values)
                for position, index in enumerate(operation.inputs)
            ]
            results = OPERATIONS[operation.kind](Call(operation, given, graph))
            for index, result in zip(operation.outputs, results, strict=True):
                _require_stated_sizes(operation, result.shape, graph.tensors[index])
                values[index] = self._round(result, graph.tensors[index])

        def _input(
            self, operation: Operation, position: int, index: int, values: dict[int, Any]
        ) -> Any:
            if (operation.index, position) in self._known:
                return self._known[operation.index, position]
            if index < 0:
                return None
            tensor = graph.tensors[index]
            if index in values or tensor.data is None:
                return values[index]
            # Axes and sizes stay integers; quantised constants become real numbers.
            is_real = len(tensor.scales) or tensor.data.dtype.kind == "f"
            return tf.constant(tensor.real_values() if is_real else tensor.data)

        def _round(self, value: Any, tensor: Tensor) -> Any:
            if not rounding or len(tensor.scales) != 1 or np.dtype(tensor.dtype).kind not in "iu":
                return value
            scale, zero = float(tensor.scales[0]), float(tensor.zero_points[0])
            rounded = _straight_through()(value, tf.constant([*_range(tensor), scale, zero]))
            rounded.set_shape(value.shape)
            return rounded

    return GraphLayer()


@cache
def _shaped_gradient() -> Any:
    """Return the identity, whose gradient has its shape; the compiled rounding forgets it."""
    import tensorflow as tf

    @tf.custom_gradient
    def identity(value: Any) -> Any:
        return tf.identity(value), lambda upstream: tf.ensure_shape(upstream, value.shape)

    return identity


@cache
def _straight_through() -> Any:
    """Return the rounding, compiled: in a graph it and its gradient are one operation each."""
    import tensorflow as tf

    signature = [tf.TensorSpec(None, tf.float32), tf.TensorSpec([4], tf.float32)]

    @tf.function(input_signature=signature, autograph=False)
    def rounding(value: Any, grid: Any) -> Any:
        low, high, scale, zero = tf.unstack(tf.stop_gradient(grid))
        clipped = tf.clip_by_value(value, low, high)
        # The kernels round a half away from code zero, which an average meets all the time; the
        # small margin keeps float arithmetic from missing a tie.
        codes = clipped / scale + zero
        rounded = tf.sign(codes) * tf.floor(tf.abs(codes) + 0.5 + TIE_MARGIN)
        return clipped + tf.stop_gradient((rounded - zero) * scale - clipped)

    return rounding


def _require_stated_sizes(operation: Operation, shape: tf.TensorShape, tensor: Tensor) -> None:
    """Refuse a file that computes other sizes than it states: nobody has bounded those."""
    stated = tensor.shape[1:]
    if not shape.is_compatible_with([None, *stated] if tensor.shape else []):
        raise EdgeError(
            f"Operation {operation.index} ({operation.kind}) gives {shape}; the file states "
            f"{tensor.shape}."
        )


def _in_keras_layout(graph: Graph) -> list[LayerWeights]:
    laid_out = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV")
    return [layer for layer in read_weights(graph) if layer.op in laid_out]


def _range(tensor: Tensor) -> tuple[float, float]:
    """Smallest and largest real number that a tensor's codes express."""
    limits, zero = np.iinfo(tensor.dtype), int(tensor.zero_points[0])
    scale = float(tensor.scales[0])
    return (limits.min - zero) * scale, (limits.max - zero) * scale


def _plain(name: str) -> str:
    return "".join(c if c.isalnum() or c in "_.-/" else "_" for c in name).strip("_/")[-80:]
