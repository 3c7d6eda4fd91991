"""A graph on its way out of the sandbox: plain values and arrays there, checked ones here."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from helpers.audit import claims
from helpers.audit.claims import ClaimError
from helpers.edge.runtimes.wire import DTYPES
from helpers.edge.tflite.checks import MAX_RANK, check_graph
from helpers.edge.tflite.graph import BITS, Graph, Operation, Tensor

MAX_TENSORS = 20_000
MAX_OPERATIONS = 5_000
_STORED = {"int4": "int8", "int2": "int8", "uint4": "uint8", "bfloat16": "float32"}


def encode(graph: Graph) -> tuple[dict[str, Any], list[NDArray[Any]]]:
    """Turn a graph into JSON values and the arrays of its constants and scales."""
    data = [t.data for t in graph.tensors if t.data is not None and t.data.dtype.name in DTYPES]
    header = {
        "inputs": graph.inputs,
        "outputs": graph.outputs,
        "graphs": 1 + len(graph.others),
        "tensors": [_plain_tensor(tensor) for tensor in graph.tensors],
        "operations": [
            {
                "kind": operation.kind,
                "inputs": operation.inputs,
                "outputs": operation.outputs,
                "options": _plain_options(operation.options),
            }
            for operation in graph.operations
        ],
    }
    scales = np.concatenate([np.zeros(0, np.float32), *(t.scales for t in graph.tensors)])
    zeros = np.concatenate([np.zeros(0, np.int64), *(t.zero_points for t in graph.tensors)])
    return header, [scales, zeros, *map(np.asarray, data)]


def _plain_tensor(tensor: Tensor) -> dict[str, Any]:
    has_data = tensor.data is not None and tensor.data.dtype.name in DTYPES
    return {
        "name": tensor.name[: claims.MAX_TEXT],
        "shape": tensor.shape,
        "dtype": tensor.dtype,
        "scales": [len(tensor.scales), len(tensor.zero_points)],
        "axis": int(tensor.axis),
        "variable": tensor.is_variable,
        "data": has_data,
    }


def _plain_options(options: dict[str, Any]) -> dict[str, Any]:
    """The settings that are numbers: of what replicas know, no operation has others."""
    return {
        name: value if isinstance(value, bool | float) else int(value)
        for name, value in options.items()
        if isinstance(value, bool | int | float | np.integer)
    }


def decode(header: dict[str, Any], arrays: list[NDArray[Any]]) -> Graph:
    """Build the graph again from what a worker has sent, insisting on every type and size.

    Raises
    ------
    ClaimError
        If a value has another type or size than it must.
    EdgeError
        If the parts do not fit together (:func:`helpers.edge.tflite.checks.check_graph`).
    """
    if len(arrays) < 2 or [a.dtype.name for a in arrays[:2]] != ["float32", "int64"]:
        raise ClaimError("The scales and zero points of a graph were expected.")
    tensors = _Tensors(arrays)
    claimed = claims.row(header.get("tensors"), MAX_TENSORS)
    graph = Graph(
        "",
        tuple(tensors.next(index, item) for index, item in enumerate(claimed)),
        tuple(
            _operation(index, item)
            for index, item in enumerate(claims.row(header.get("operations"), MAX_OPERATIONS))
        ),
        _indices(header.get("inputs")),
        _indices(header.get("outputs")),
    )
    check_graph(graph, [graph] * claims.whole(header.get("graphs"), 1, 1000))
    return graph


def _indices(value: Any) -> tuple[int, ...]:
    return tuple(claims.whole(index, -1, MAX_TENSORS) for index in claims.row(value, 1000))


class _Tensors:
    """Hands each tensor the arrays that belong to it, in their order."""

    def __init__(self, arrays: list[NDArray[Any]]) -> None:
        self._scales, self._zeros, *data = arrays
        self._data = iter(data)
        self._at = [0, 0]

    def next(self, index: int, value: Any) -> Tensor:
        item = claims.table(value)
        shape = tuple(claims.whole(n, -1, 2**31) for n in claims.row(item.get("shape"), MAX_RANK))
        dtype = item.get("dtype")
        if not isinstance(dtype, str) or dtype not in BITS:
            raise ClaimError("An element type of TensorFlow Lite was expected.")
        counts = claims.row(item.get("scales"), 2)
        if len(counts) != 2:
            raise ClaimError("The counts of scales and of zero points were expected.")
        scales, zeros = (
            self._take(place, claims.whole(count, 0, 2**24)) for place, count in enumerate(counts)
        )
        return Tensor(
            index, claims.text(item.get("name")), shape, dtype, scales, zeros,
            claims.whole(item.get("axis"), -(2**31), 2**31), claims.flag(item.get("variable")),
            self._constant(shape, dtype) if claims.flag(item.get("data")) else None,
        )  # fmt: skip

    def _take(self, place: int, count: int) -> NDArray[Any]:
        source = (self._scales, self._zeros)[place]
        start, self._at[place] = self._at[place], self._at[place] + count
        if source.ndim != 1 or self._at[place] > len(source):
            raise ClaimError("Fewer scales came than were announced.")
        return source[start : start + count]

    def _constant(self, shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
        array = next(self._data, None)
        if array is None or array.shape != shape or array.dtype != _STORED.get(dtype, dtype):
            raise ClaimError("A constant has another shape or type than was announced.")
        return array


def _operation(index: int, value: Any) -> Operation:
    item = claims.table(value)
    options = claims.table(item.get("options"), 100)
    return Operation(
        index,
        claims.text(item.get("kind")),
        _indices(item.get("inputs")),
        _indices(item.get("outputs")),
        {claims.text(name): _setting(setting) for name, setting in options.items()},
    )


def _setting(value: Any) -> Any:
    return value if type(value) is bool else claims.number(value) if type(value) is float else (
        claims.whole(value, -(2**63), 2**63)
    )  # fmt: skip
