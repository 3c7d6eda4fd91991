"""Work and traffic of one inference, counted from a ``.tflite`` file: nothing is run."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass

from helpers.edge.tflite.graph import Graph, Operation, read_graph


@dataclass(frozen=True)
class OperationCost:
    """Cost of one operation.

    Attributes
    ----------
    kind
        Operation, such as ``"CONV_2D"``.
    macs
        Multiply-accumulates of convolutions and matrix products; 0 for everything else.
    weight_elements, activation_elements
        Elements of constants it reads, and of activations it reads and writes.
    weight_bytes, activation_bytes
        The same in bytes, as the file stores them.
    """

    kind: str
    macs: int
    weight_elements: int
    activation_elements: int
    weight_bytes: int
    activation_bytes: int


@dataclass(frozen=True)
class Costs:
    """Costs of one inference of a model.

    Attributes
    ----------
    operations
        One an operation, in their order.
    """

    operations: tuple[OperationCost, ...]

    @property
    def macs(self) -> int:
        """Multiply-accumulates; the literature's FLOPs are often twice this."""
        return sum(cost.macs for cost in self.operations)

    @property
    def weight_elements(self) -> int:
        """Elements of constants read."""
        return sum(cost.weight_elements for cost in self.operations)

    @property
    def activation_elements(self) -> int:
        """Elements of activations read and written, each time an operation touches them."""
        return sum(cost.activation_elements for cost in self.operations)

    @property
    def weight_bytes(self) -> int:
        """Bytes of constants read."""
        return sum(cost.weight_bytes for cost in self.operations)

    @property
    def activation_bytes(self) -> int:
        """Bytes of activations read and written, each time an operation touches them."""
        return sum(cost.activation_bytes for cost in self.operations)

    def by_kind(self) -> dict[str, int]:
        """Return the multiply-accumulates of each kind of operation that has any."""
        totals: dict[str, int] = {}
        for cost in self.operations:
            if cost.macs:
                totals[cost.kind] = totals.get(cost.kind, 0) + cost.macs
        return totals


def count_costs(source: str | os.PathLike[str] | bytes | Graph) -> Costs:
    """Count the work and the memory traffic of one inference.

    Parameters
    ----------
    source
        Path of a ``.tflite`` file, its bytes, or a graph read before.

    Returns
    -------
    Costs
        Totals and a line an operation, for the batch size that the file states.

    Raises
    ------
    EdgeError
        If the file cannot be read or is damaged.
    """
    graph = source if isinstance(source, Graph) else read_graph(source)
    return Costs(tuple(_cost(operation, graph) for operation in graph.operations))


def _cost(operation: Operation, graph: Graph) -> OperationCost:
    inputs = [graph.tensors[index] for index in operation.inputs if index >= 0]
    outputs = [graph.tensors[index] for index in operation.outputs]
    constants = [tensor for tensor in inputs if tensor.data is not None]
    moving = [tensor for tensor in inputs if tensor.data is None] + outputs
    return OperationCost(
        operation.kind,
        _macs(operation, graph),
        sum(tensor.size for tensor in constants),
        sum(tensor.size for tensor in moving),
        sum(tensor.num_bytes for tensor in constants),
        sum(tensor.num_bytes for tensor in moving),
    )


def _macs(operation: Operation, graph: Graph) -> int:
    shapes = [graph.tensors[index].shape if index >= 0 else () for index in operation.inputs]
    written = math.prod(graph.tensors[operation.outputs[0]].shape) if operation.outputs else 0
    if operation.kind == "CONV_2D":
        return written * math.prod(shapes[1][1:])
    if operation.kind == "DEPTHWISE_CONV_2D":
        return written * math.prod(shapes[1][1:3])
    if operation.kind == "FULLY_CONNECTED":
        return written * shapes[1][1]
    if operation.kind == "TRANSPOSE_CONV":
        # Every element of the input meets the whole kernel of every output channel.
        return math.prod(shapes[2]) * math.prod(shapes[1][:3])
    if operation.kind == "BATCH_MATMUL":
        inner = shapes[0][-2 if operation.options.get("adjX") else -1]
        return written * inner
    return 0
