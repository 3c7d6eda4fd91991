"""Do the tensors and operations of a graph fit together? What a runtime would assume unasked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

import numpy as np

from helpers.errors import EdgeError

if TYPE_CHECKING:
    from helpers.edge.tflite.graph import Graph, Operation, Tensor

MAX_RANK = 8
MAX_TENSOR_BYTES = 2**30

# Options that a kernel divides by or that name another graph.
_AT_LEAST_ONE = (
    "strideH", "strideW", "strideD", "dilationHFactor", "dilationWFactor", "dilationDFactor",
    "filterHeight", "filterWidth", "depthMultiplier", "blockSize", "numSplits", "valuesCount",
)  # fmt: skip
_GRAPH_OPTIONS = (
    "initSubgraphIndex", "thenSubgraphIndex", "elseSubgraphIndex", "condSubgraphIndex",
    "bodySubgraphIndex",
)  # fmt: skip
# Multiplies the channels of its input; a depthwise convolution stores 0 where it is implied.
_MAY_BE_ZERO = {"depthMultiplier"}
# Operations whose weights set the number of inputs: (name, fewest inputs, most inputs).
_INPUT_COUNTS = {
    "CONV_2D": (2, 3), "DEPTHWISE_CONV_2D": (2, 3), "FULLY_CONNECTED": (2, 3),
    "TRANSPOSE_CONV": (3, 4), "MAX_POOL_2D": (1, 1), "AVERAGE_POOL_2D": (1, 1), "ADD": (2, 2),
    "MUL": (2, 2), "SUB": (2, 2), "RESHAPE": (1, 2), "SOFTMAX": (1, 1), "PAD": (2, 2),
    "MEAN": (2, 2), "QUANTIZE": (1, 1), "DEQUANTIZE": (1, 1), "LOGISTIC": (1, 1), "RELU": (1, 1),
    "RELU6": (1, 1),
}  # fmt: skip
# Operations with inputs that may be left out; kernels of the others read them unasked.
_OPTIONAL_INPUTS = {
    "CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV", "CONV_3D", "SVDF", "LSTM",
    "UNIDIRECTIONAL_SEQUENCE_LSTM", "BIDIRECTIONAL_SEQUENCE_LSTM", "BIDIRECTIONAL_SEQUENCE_RNN",
}  # fmt: skip
_IMAGES = ("CONV_2D", "DEPTHWISE_CONV_2D", "MAX_POOL_2D", "AVERAGE_POOL_2D")


def check_graph(graph: Graph, graphs: Sequence[Graph]) -> None:
    """Check one graph of a model.

    Parameters
    ----------
    graph
        The graph.
    graphs
        All graphs of the model, for operations that name another one.

    Raises
    ------
    EdgeError
        If a shape, a quantisation, an index or an option is impossible, or an operation reads a
        tensor before anything has written it.
    """
    for tensor in graph.tensors:
        _check_tensor(tensor)
    for what, indices in (("input", graph.inputs), ("output", graph.outputs)):
        for index in indices:
            if not 0 <= index < len(graph.tensors):
                raise EdgeError(f"Graph {what} {index} is none of {len(graph.tensors)} tensors.")
    written = {t.index for t in graph.tensors if t.data is not None or t.is_variable}
    written |= set(graph.inputs)
    for operation in graph.operations:
        _check_operation(operation, graph, len(graphs))
        for index in operation.inputs:
            if index >= 0 and index not in written:
                _refuse(operation, f"reads tensor {index}, which nothing has written")
        written |= set(operation.outputs)
    for index in graph.outputs:
        if index not in written:
            raise EdgeError(f"Graph output {index} is written by no operation.")


def _check_tensor(tensor: Tensor) -> None:
    what = f"Tensor {tensor.index} ({tensor.name!r})"
    if len(tensor.shape) > MAX_RANK or min(tensor.shape, default=1) < 0:
        raise EdgeError(
            f"{what} has the shape {tensor.shape}; at most {MAX_RANK} sizes of 0 or up."
        )
    if tensor.num_bytes > MAX_TENSOR_BYTES:
        raise EdgeError(f"{what} would take {tensor.num_bytes:,} bytes; at most 1 GiB is allowed.")
    count = len(tensor.scales)
    if not count:
        return
    if not np.isfinite(tensor.scales).all() or (tensor.scales < 0).any():
        raise EdgeError(f"{what} has a scale that is negative or not finite.")
    if len(tensor.zero_points) != count:
        raise EdgeError(f"{what} has {count} scales and {len(tensor.zero_points)} zero points.")
    # Zero points outside the type's range overflow the kernels' integer arithmetic.
    if np.abs(tensor.zero_points).max() >= 2**16:
        raise EdgeError(f"{what} has a zero point outside its type.")
    if count > 1 and not (
        0 <= tensor.axis < len(tensor.shape) and tensor.shape[tensor.axis] == count
    ):
        raise EdgeError(
            f"{what} of shape {tensor.shape} has {count} scales along dimension {tensor.axis}."
        )


def _check_operation(operation: Operation, graph: Graph, graph_count: int) -> None:
    for index in (*operation.inputs, *operation.outputs):
        if not -1 <= index < len(graph.tensors):
            _refuse(operation, f"names tensor {index} of {len(graph.tensors)}")
    if -1 in operation.outputs:
        _refuse(operation, "has an absent output")
    if -1 in operation.inputs and operation.kind not in _OPTIONAL_INPUTS:
        _refuse(operation, "lacks an input that it needs")
    fewest, most = _INPUT_COUNTS.get(operation.kind, (0, len(operation.inputs)))
    if not fewest <= len(operation.inputs) <= most:
        _refuse(operation, f"has {len(operation.inputs)} inputs; {fewest} to {most} are possible")
    if operation.kind in _INPUT_COUNTS:
        if len(operation.outputs) != 1:
            _refuse(operation, f"has {len(operation.outputs)} outputs; it has one")
        if -1 in operation.inputs[:fewest]:
            _refuse(operation, "lacks an input that it needs")
    for name in _AT_LEAST_ONE:
        value = operation.options.get(name)
        if value is not None and value < (0 if name in _MAY_BE_ZERO else 1):
            _refuse(operation, f"has {name}={value}")
    for name in _GRAPH_OPTIONS:
        value = operation.options.get(name)
        if value is not None and not 0 <= value < graph_count:
            _refuse(operation, f"has {name}={value} of {graph_count} graphs")
    _check_shapes(operation, graph)


def _check_shapes(operation: Operation, graph: Graph) -> None:
    """Check the ranks and channel counts that the common kernels take for granted."""
    shapes = [graph.tensors[index].shape for index in operation.inputs if index >= 0]
    if operation.kind in _IMAGES and len(shapes[0]) != 4:
        _refuse(operation, f"has an input of shape {shapes[0]}; it needs four dimensions")
    if operation.kind in ("CONV_2D", "DEPTHWISE_CONV_2D"):
        if len(shapes[1]) != 4 or min(shapes[1]) < 1:
            _refuse(operation, f"has a kernel of shape {shapes[1]}")
        ours, theirs = shapes[0][3], shapes[1][3]
        # A grouped convolution's kernel sees a share of the channels.
        fits = theirs % ours == 0 if operation.kind.startswith("D") and ours else ours % theirs == 0
        if not fits:
            _refuse(operation, f"has a kernel of shape {shapes[1]} for {ours} channels")
        channels = shapes[1][3] if operation.kind.startswith("D") else shapes[1][0]
        if len(shapes) > 2 and math.prod(shapes[2]) != channels:
            _refuse(operation, f"has a bias of shape {shapes[2]} for {channels} channels")
    if operation.kind == "FULLY_CONNECTED":
        if len(shapes[1]) != 2 or min(shapes[1]) < 1 or math.prod(shapes[0]) % shapes[1][1]:
            _refuse(operation, f"has weights of shape {shapes[1]} for an input {shapes[0]}")
        if len(shapes) > 2 and math.prod(shapes[2]) != shapes[1][0]:
            _refuse(operation, f"has a bias of shape {shapes[2]} for {shapes[1][0]} outputs")


def _refuse(operation: Operation, why: str) -> NoReturn:
    raise EdgeError(f"Operation {operation.index} ({operation.kind}) {why}.")
