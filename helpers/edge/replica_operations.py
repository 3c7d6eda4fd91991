"""TensorFlow Lite's operations as differentiable TensorFlow functions, one a kind.

Each takes the operation, its input tensors and its constants, and returns the list of its outputs.
Only :mod:`helpers.edge.replica` uses this; it imports TensorFlow, so import it late.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from helpers.edge.tflite.graph import Graph, Operation
from helpers.errors import EdgeError

PADDINGS = ("SAME", "VALID")


@dataclass(frozen=True)
class Call:
    """One operation at work.

    Attributes
    ----------
    operation
        Kind, indices and options.
    inputs
        Values; None where an optional input is absent. Weights are in TensorFlow's layout.
    graph
        The graph, for shapes as they were stored.
    """

    operation: Operation
    inputs: list[Any]
    graph: Graph

    def option(self, name: str) -> Any:
        """Return a stored setting, or 0 where the file keeps none."""
        return self.operation.options.get(name, 0)

    def constant(self, position: int) -> np.ndarray:
        """Return an input that must be known from the file alone, such as an axis.

        Raises
        ------
        EdgeError
            If the file computes it as it runs.
        """
        value = self.graph.tensors[self.operation.inputs[position]].data
        if value is None:
            raise EdgeError(
                f"Operation {self.operation.index} ({self.operation.kind}) computes its input "
                f"{position} as it runs, which a replica does not follow."
            )
        return value

    @property
    def stored_shapes(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Shapes of the first input and output in the file, whose batch is fixed."""
        tensors = self.graph.tensors
        return (
            tensors[self.operation.inputs[0]].shape,
            tensors[self.operation.outputs[0]].shape,
        )

    def strides(self) -> list[int]:
        """Strides as TensorFlow writes them."""
        return [1, int(self.option("strideH")), int(self.option("strideW")), 1]

    def dilations(self) -> list[int]:
        """Dilations as TensorFlow's depthwise convolution writes them."""
        return [int(self.option("dilationHFactor") or 1), int(self.option("dilationWFactor") or 1)]

    def padding(self) -> str:
        """``"SAME"`` or ``"VALID"``."""
        return PADDINGS[int(self.option("padding"))]

    def activate(self, values: tf.Tensor) -> list[tf.Tensor]:
        """Apply the activation that the converter fused into the operation.

        Raises
        ------
        EdgeError
            If the activation is not known.
        """
        kind = int(self.option("fusedActivationFunction"))
        if kind not in ACTIVATIONS:
            raise EdgeError(
                f"Operation {self.operation.index} ({self.operation.kind}) has the fused "
                f"activation {kind}, which a replica does not know."
            )
        return [ACTIVATIONS[kind](values)]


ACTIVATIONS: dict[int, Callable[[tf.Tensor], tf.Tensor]] = {
    0: lambda x: x,
    1: tf.nn.relu,
    2: lambda x: tf.clip_by_value(x, -1.0, 1.0),
    3: tf.nn.relu6,
    4: tf.tanh,
}


def _with_bias(call: Call, values: tf.Tensor, position: int = 2) -> tf.Tensor:
    bias = call.inputs[position] if len(call.inputs) > position else None
    return values if bias is None else values + bias


def _conv(call: Call) -> list[tf.Tensor]:
    x, kernel = call.inputs[:2]
    values = tf.nn.conv2d(
        x, kernel, call.strides(), call.padding(), dilations=[1, *call.dilations(), 1]
    )
    return call.activate(_with_bias(call, values))


def _depthwise(call: Call) -> list[tf.Tensor]:
    x, kernel = call.inputs[:2]
    values = tf.nn.depthwise_conv2d(
        x, kernel, call.strides(), call.padding(), dilations=call.dilations()
    )
    return call.activate(_with_bias(call, values))


def _dense(call: Call) -> list[tf.Tensor]:
    x, kernel = call.inputs[:2]
    width = kernel.shape[0]
    values = _with_bias(call, tf.matmul(tf.reshape(x, [-1, width]), kernel))
    if call.option("keepNumDims"):
        values = tf.reshape(values, tf.concat([tf.shape(x)[:-1], [kernel.shape[1]]], 0))
    return call.activate(values)


def _transposed(call: Call) -> list[tf.Tensor]:
    _, kernel, x = call.inputs[:3]
    shape = call.inputs[0]  # computed as it runs where the file's batch is open
    if call.graph.tensors[call.operation.inputs[0]].data is not None:
        shape = tf.concat([tf.shape(x)[:1], call.constant(0)[1:]], 0)
    # The kernel comes as (h, w, in, out); TensorFlow's transposed form wants (h, w, out, in).
    kernel = tf.transpose(kernel, [0, 1, 3, 2])
    values = tf.nn.conv2d_transpose(x, kernel, shape, call.strides(), call.padding())
    return call.activate(_with_bias(call, values, 3))


def _pool(average: bool) -> Callable[[Call], list[tf.Tensor]]:
    def pool(call: Call) -> list[tf.Tensor]:
        window = [1, int(call.option("filterHeight")), int(call.option("filterWidth")), 1]
        function = tf.nn.avg_pool2d if average else tf.nn.max_pool2d
        return call.activate(function(call.inputs[0], window, call.strides(), call.padding()))

    return pool


def _binary(function: Callable[[Any, Any], tf.Tensor]) -> Callable[[Call], list[tf.Tensor]]:
    return lambda call: call.activate(function(call.inputs[0], call.inputs[1]))


def _unary(function: Callable[[Any], tf.Tensor]) -> Callable[[Call], list[tf.Tensor]]:
    return lambda call: [function(call.inputs[0])]


def _reduce(function: Callable[..., tf.Tensor]) -> Callable[[Call], list[tf.Tensor]]:
    def reduce(call: Call) -> list[tf.Tensor]:
        axes = [int(axis) for axis in call.constant(1).reshape(-1)]
        return [function(call.inputs[0], axes, keepdims=bool(call.option("keepDims")))]

    return reduce


def _reshape(call: Call) -> list[tf.Tensor]:
    before, after = call.stored_shapes
    # The file's batch is fixed; a replica takes any.
    free = bool(before and after and before[0] == after[0])
    return [tf.reshape(call.inputs[0], [-1, *after[1:]] if free else list(after))]


def _pad(call: Call) -> list[tf.Tensor]:
    value = 0.0
    if call.operation.kind == "PADV2":
        value = float(call.graph.tensors[call.operation.inputs[2]].real_values().reshape(-1)[0])
    return [tf.pad(call.inputs[0], call.constant(1), constant_values=value)]


def _mirror_pad(call: Call) -> list[tf.Tensor]:
    mode = ("REFLECT", "SYMMETRIC")[int(call.option("mode"))]
    return [tf.pad(call.inputs[0], call.constant(1), mode)]


def _transpose(call: Call) -> list[tf.Tensor]:
    return [tf.transpose(call.inputs[0], [int(axis) for axis in call.constant(1)])]


def _concatenate(call: Call) -> list[tf.Tensor]:
    return call.activate(tf.concat(call.inputs, int(call.option("axis"))))


def _strided_slice(call: Call) -> list[tf.Tensor]:
    names = ("beginMask", "endMask", "ellipsisMask", "newAxisMask", "shrinkAxisMask")
    begin_mask, end_mask, *others = (int(call.option(name)) for name in names)
    begin, end, strides = (call.constant(position) for position in (1, 2, 3))
    before, after = call.stored_shapes
    if before and after and before[0] == after[0] and not others[2] & 1 and strides[0] == 1:
        begin_mask, end_mask = begin_mask | 1, end_mask | 1  # all rows, however many
    return [tf.strided_slice(call.inputs[0], begin, end, strides, begin_mask, end_mask, *others)]


def _slice(call: Call) -> list[tf.Tensor]:
    size = call.constant(2).copy()
    before, after = call.stored_shapes
    if before[0] == after[0]:
        size[0] = -1
    return [tf.slice(call.inputs[0], call.constant(1), size)]


def _split(call: Call) -> list[tf.Tensor]:
    count = len(call.operation.outputs)
    return list(tf.split(call.inputs[1], count, int(call.constant(0).reshape(-1)[0])))


def _split_sizes(call: Call) -> list[tf.Tensor]:
    sizes = [int(size) for size in call.constant(1)]
    return list(tf.split(call.inputs[0], sizes, int(call.constant(2).reshape(-1)[0])))


def _squeeze(call: Call) -> list[tf.Tensor]:
    dims = call.operation.options.get("squeezeDims")
    if dims is None or not len(np.atleast_1d(dims)):
        return _reshape(call)
    return [tf.squeeze(call.inputs[0], [int(dim) for dim in np.atleast_1d(dims)])]


def _expand(call: Call) -> list[tf.Tensor]:
    return [tf.expand_dims(call.inputs[0], int(call.constant(1).reshape(-1)[0]))]


def _softmax(call: Call) -> list[tf.Tensor]:
    return [tf.nn.softmax(call.inputs[0] * float(call.option("beta") or 1.0))]


def _leaky(call: Call) -> list[tf.Tensor]:
    return [tf.nn.leaky_relu(call.inputs[0], float(call.option("alpha")))]


def _prelu(call: Call) -> list[tf.Tensor]:
    x, alpha = call.inputs
    return [tf.nn.relu(x) - alpha * tf.nn.relu(-x)]


def _resize(method: str) -> Callable[[Call], list[tf.Tensor]]:
    def resize(call: Call) -> list[tf.Tensor]:
        if call.option("alignCorners") or not call.option("halfPixelCenters"):
            raise EdgeError(
                f"Operation {call.operation.index} ({call.operation.kind}) uses the old corner "
                "rules, which a replica does not follow."
            )
        return [tf.image.resize(call.inputs[0], call.constant(1), method)]

    return resize


def _matmul(call: Call) -> list[tf.Tensor]:
    return [
        tf.matmul(
            call.inputs[0],
            call.inputs[1],
            transpose_a=bool(call.option("adjX")),
            transpose_b=bool(call.option("adjY")),
        )
    ]


def _shape(call: Call) -> list[tf.Tensor]:
    return [tf.shape(call.inputs[0])]


def _pack(call: Call) -> list[tf.Tensor]:
    return [tf.stack(call.inputs, int(call.option("axis")))]


def _to_batch(call: Call) -> list[tf.Tensor]:
    return [tf.space_to_batch(call.inputs[0], call.constant(1), call.constant(2))]


def _from_batch(call: Call) -> list[tf.Tensor]:
    return [tf.batch_to_space(call.inputs[0], call.constant(1), call.constant(2))]


OPERATIONS: dict[str, Callable[[Call], list[tf.Tensor]]] = {
    "CONV_2D": _conv,
    "DEPTHWISE_CONV_2D": _depthwise,
    "FULLY_CONNECTED": _dense,
    "TRANSPOSE_CONV": _transposed,
    "BATCH_MATMUL": _matmul,
    "MAX_POOL_2D": _pool(average=False),
    "AVERAGE_POOL_2D": _pool(average=True),
    "ADD": _binary(tf.add),
    "SUB": _binary(tf.subtract),
    "MUL": _binary(tf.multiply),
    "DIV": _binary(tf.divide),
    "MAXIMUM": _binary(tf.maximum),
    "MINIMUM": _binary(tf.minimum),
    "SQUARED_DIFFERENCE": _binary(tf.math.squared_difference),
    "POW": _binary(tf.pow),
    "MEAN": _reduce(tf.reduce_mean),
    "SUM": _reduce(tf.reduce_sum),
    "REDUCE_MAX": _reduce(tf.reduce_max),
    "REDUCE_MIN": _reduce(tf.reduce_min),
    "PAD": _pad,
    "PADV2": _pad,
    "MIRROR_PAD": _mirror_pad,
    "RESHAPE": _reshape,
    "SQUEEZE": _squeeze,
    "EXPAND_DIMS": _expand,
    "TRANSPOSE": _transpose,
    "SHAPE": _shape,
    "PACK": _pack,
    "SPACE_TO_BATCH_ND": _to_batch,
    "BATCH_TO_SPACE_ND": _from_batch,
    "CONCATENATION": _concatenate,
    "STRIDED_SLICE": _strided_slice,
    "SLICE": _slice,
    "SPLIT": _split,
    "SPLIT_V": _split_sizes,
    "SOFTMAX": _softmax,
    "LOG_SOFTMAX": _unary(tf.nn.log_softmax),
    "LOGISTIC": _unary(tf.sigmoid),
    "TANH": _unary(tf.tanh),
    "RELU": _unary(tf.nn.relu),
    "RELU6": _unary(tf.nn.relu6),
    "RELU_N1_TO_1": _unary(lambda x: tf.clip_by_value(x, -1.0, 1.0)),
    "LEAKY_RELU": _leaky,
    "PRELU": _prelu,
    "ELU": _unary(tf.nn.elu),
    "HARD_SWISH": _unary(lambda x: x * tf.nn.relu6(x + 3.0) / 6.0),
    "EXP": _unary(tf.exp),
    "LOG": _unary(tf.math.log),
    "SQRT": _unary(tf.sqrt),
    "RSQRT": _unary(tf.math.rsqrt),
    "SQUARE": _unary(tf.square),
    "NEG": _unary(tf.negative),
    "ABS": _unary(tf.abs),
    "RESIZE_BILINEAR": _resize("bilinear"),
    "RESIZE_NEAREST_NEIGHBOR": _resize("nearest"),
    # Rounding is the business of the replica, which knows the scales.
    "QUANTIZE": _unary(tf.identity),
    "DEQUANTIZE": _unary(tf.identity),
}
