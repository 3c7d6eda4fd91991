"""What anyone who holds the file can read: the weights of a ``.tflite``, as arrays.

A deployed file is no vault. The converter has folded batch normalisation into the layer before it,
stored codes with one scale a channel, or hidden half-precision values behind a ``DEQUANTIZE``; all
of that is undone here with arithmetic, without running the model and without TensorFlow.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from helpers.edge.tflite.graph import BITS, Graph, Operation, Tensor, read_graph

# Operation -> (input that holds the kernel, input that holds the bias, axes from stored to HWIO).
_LAYOUTS: dict[str, tuple[int, int, tuple[int, ...]]] = {
    "CONV_2D": (1, 2, (1, 2, 3, 0)),
    "DEPTHWISE_CONV_2D": (1, 2, (1, 2, 3, 0)),
    "FULLY_CONNECTED": (1, 2, (1, 0)),
    "TRANSPOSE_CONV": (1, 3, (1, 2, 3, 0)),
}


@dataclass(frozen=True, eq=False)
class LayerWeights:
    """Weights of one operation.

    Attributes
    ----------
    name
        Name of the kernel's tensor.
    op
        Operation, such as ``"CONV_2D"``.
    kernel
        float32, as Keras lays it out: ``(height, width, in, out)`` for a convolution, ``(height,
        width, channels, multiplier)`` for a depthwise one, ``(in, out)`` for a dense layer, and as
        stored for any other operation. Batch normalisation before the conversion is folded in.
    bias
        float32 ``(out,)``, or None.
    codes
        The kernel as it is stored, in the same layout: integers if it is quantised.
    scales, zero_points
        Of the kernel: ``(1,)``, or ``(k,)`` with one an output channel; empty if not quantised.
    bits
        Bits that the file spends on one weight.
    operation, tensor
        Indices of the operation and of the kernel's tensor in the graph.
    """

    name: str
    op: str
    kernel: NDArray[np.float32]
    bias: NDArray[np.float32] | None
    codes: NDArray[Any]
    scales: NDArray[np.float32]
    zero_points: NDArray[np.int64]
    bits: int
    operation: int
    tensor: int


def read_weights(source: str | os.PathLike[str] | bytes | Graph) -> list[LayerWeights]:
    """Read the weights of a ``.tflite`` file back, in the order in which the layers run.

    Convolutions, depthwise and transposed convolutions and dense layers come in Keras's layout. An
    operation of another kind gives each of its real-valued constants of two dimensions or more, as
    stored, so nothing is left out in silence.

    Parameters
    ----------
    source
        Path of a ``.tflite`` file, its bytes, or a graph read before.

    Returns
    -------
    list of LayerWeights
        One a kernel.

    Raises
    ------
    EdgeError
        If the file cannot be read, is damaged, or stores a constant in a way not known here.
    """
    graph = source if isinstance(source, Graph) else read_graph(source)
    constants = _Constants(graph)
    layers: list[LayerWeights] = []
    for operation in graph.operations:
        if operation.kind in _LAYOUTS:
            layer = _layer(operation, constants)
            layers += [] if layer is None else [layer]
        elif operation.kind != "DEQUANTIZE":
            layers += _others(operation, constants)
    return layers


class _Constants:
    """Constants of a graph, looked up through the DEQUANTIZE that half-precision weights need."""

    def __init__(self, graph: Graph) -> None:
        self._graph, self._producers = graph, graph.producers

    def find(self, index: int) -> Tensor | None:
        """Return the constant behind a tensor, or None if the tensor is computed."""
        if index < 0:
            return None
        tensor = self._graph.tensors[index]
        if tensor.data is not None:
            return tensor
        producer = self._producers.get(index)
        if producer is not None and producer.kind == "DEQUANTIZE":
            return self.find(producer.inputs[0])
        return None


def _layer(operation: Operation, constants: _Constants) -> LayerWeights | None:
    kernel_input, bias_input, axes = _LAYOUTS[operation.kind]
    kernel = constants.find(operation.inputs[kernel_input])
    if kernel is None:
        return None  # a product of two activations has no weights
    bias = None
    if len(operation.inputs) > bias_input:
        stored = constants.find(operation.inputs[bias_input])
        bias = None if stored is None else stored.real_values().reshape(-1)
    values, codes = kernel.real_values(), np.asarray(kernel.data)
    values, codes = values.transpose(axes), codes.transpose(axes)
    if operation.kind == "DEPTHWISE_CONV_2D":
        # Stored as (1, h, w, channels * multiplier); the multiplier runs fastest.
        multiplier = max(1, operation.options.get("depthMultiplier", 1))
        shape = (*values.shape[:2], values.shape[2] // multiplier, multiplier)
        values, codes = values.reshape(shape), codes.reshape(shape)
    return _weights(operation, kernel, values, bias, codes)


def _others(operation: Operation, constants: _Constants) -> list[LayerWeights]:
    found = []
    for index in operation.inputs:
        tensor = constants.find(index)
        if tensor is None or tensor.data is None or tensor.data.ndim < 2 or tensor.size < 2:
            continue
        if tensor.data.dtype.kind == "f" or len(tensor.scales):
            found.append(
                _weights(operation, tensor, tensor.real_values(), None, np.asarray(tensor.data))
            )
    return found


def _weights(
    operation: Operation,
    kernel: Tensor,
    values: NDArray[np.float32],
    bias: NDArray[np.float32] | None,
    codes: NDArray[Any],
) -> LayerWeights:
    return LayerWeights(
        name=kernel.name,
        op=operation.kind,
        kernel=np.ascontiguousarray(values),
        bias=bias,
        codes=np.ascontiguousarray(codes),
        scales=kernel.scales,
        zero_points=kernel.zero_points,
        bits=BITS[kernel.dtype] or 0,
        operation=operation.index,
        tensor=kernel.index,
    )
