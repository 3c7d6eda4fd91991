"""A ``.tflite`` file as tensors and operations, each checked against the others.

Nothing here runs a model. :func:`read_graph` returns plain dataclasses over NumPy arrays, so that
weights, operation counts, memory plans and replicas can be made from a file whose runtime one would
rather not start.
"""

from __future__ import annotations

import math
import os
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from helpers.edge.tflite.checks import check_graph
from helpers.edge.tflite.structure import check_structure
from helpers.errors import EdgeError

# TensorFlow Lite's element types: (name, bits an element); None where an element has no fixed size.
ELEMENT_TYPES: dict[int, tuple[str, int | None]] = {
    0: ("float32", 32), 1: ("float16", 16), 2: ("int32", 32), 3: ("uint8", 8), 4: ("int64", 64),
    5: ("string", None), 6: ("bool", 8), 7: ("int16", 16), 8: ("complex64", 64), 9: ("int8", 8),
    10: ("float64", 64), 11: ("complex128", 128), 12: ("uint64", 64), 13: ("resource", None),
    14: ("variant", None), 15: ("uint32", 32), 16: ("uint16", 16), 17: ("int4", 4),
    18: ("bfloat16", 16), 19: ("int2", 2), 20: ("uint4", 4),
}  # fmt: skip
BITS: dict[str, int | None] = dict(ELEMENT_TYPES.values())


@dataclass(frozen=True, eq=False)
class Tensor:
    """One tensor of a graph.

    Attributes
    ----------
    index, name
        Its place in the graph, and the name it was given.
    shape
        Sizes; a dimension that may change when the model runs is stored as 1, as in the file.
    dtype
        Element type, such as ``"int8"``; ``"resource"`` is a handle on a variable.
    scales, zero_points
        Quantisation, float32 and int64, ``(1,)`` or one a channel; empty if not quantised.
    axis
        Dimension that per-channel scales belong to.
    is_variable
        Whether it keeps its value between two runs.
    data
        Value of a constant, in its own type (packed types as int8 or uint8); None otherwise.
    """

    index: int
    name: str
    shape: tuple[int, ...]
    dtype: str
    scales: NDArray[np.float32]
    zero_points: NDArray[np.int64]
    axis: int
    is_variable: bool
    data: NDArray[Any] | None

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def num_bytes(self) -> int:
        """Bytes of its value in memory; 0 for types without a fixed size."""
        return (self.size * (BITS[self.dtype] or 0) + 7) // 8

    def real_values(self) -> NDArray[np.float32]:
        """Return a constant as real numbers: ``(code - zero point) * scale``.

        Raises
        ------
        EdgeError
            If the tensor is no numeric constant.
        """
        if self.data is None or self.data.dtype.kind not in "fiu":
            raise EdgeError(f"Tensor {self.index} ({self.name!r}) is no numeric constant.")
        if not len(self.scales):
            return self.data.astype(np.float32)
        along = [1] * len(self.shape)
        if len(self.scales) > 1:
            along[self.axis] = -1
        centred = self.data.astype(np.float64) - self.zero_points.reshape(along)
        return np.asarray(centred * self.scales.reshape(along).astype(np.float64), np.float32)


@dataclass(frozen=True)
class Operation:
    """One operation of a graph.

    Attributes
    ----------
    index
        Its place in the order of execution.
    kind
        Builtin name, such as ``"CONV_2D"``, or ``"CUSTOM:"`` and the name of a custom operation.
    inputs, outputs
        Tensor indices; -1 is an optional input that is absent.
    options
        Settings as stored, under the schema's names, such as ``strideH``.
    """

    index: int
    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Graph:
    """One subgraph of a model; the first is what a runtime runs.

    Attributes
    ----------
    name
        Name, often empty.
    tensors, operations
        All of them, in the file's order.
    inputs, outputs
        Tensor indices.
    others
        The model's further subgraphs: initialisers, branches, bodies of loops.
    """

    name: str
    tensors: tuple[Tensor, ...]
    operations: tuple[Operation, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    others: tuple[Graph, ...] = ()

    @property
    def is_stateful(self) -> bool:
        """Whether a run depends on the runs before it."""
        kinds = {operation.kind for operation in self.operations}
        return "VAR_HANDLE" in kinds or any(tensor.is_variable for tensor in self.tensors)

    @property
    def producers(self) -> dict[int, Operation]:
        """The operation that writes each tensor that one writes."""
        return {out: operation for operation in self.operations for out in operation.outputs}


def read_file(source: str | os.PathLike[str] | bytes) -> bytes:
    """Return the bytes of a model file.

    Raises
    ------
    EdgeError
        If the file cannot be read.
    """
    if isinstance(source, bytes):
        return source
    try:
        return Path(source).read_bytes()
    except OSError as refused:
        raise EdgeError(f"{os.fspath(source)!r} cannot be read: {refused.strerror}.") from refused


def read_graph(source: str | os.PathLike[str] | bytes) -> Graph:
    """Read a ``.tflite`` file that may be damaged or hostile; nothing in it is run.

    Parameters
    ----------
    source
        Path of the file, or its bytes.

    Returns
    -------
    Graph
        The graph that a runtime would run.

    Raises
    ------
    EdgeError
        If the file cannot be read, is damaged, or its parts do not fit together.
    """
    data = read_file(source)
    check_structure(data)
    try:
        graphs = _Reader(data).graphs()
    # The structure is sound, so what is left here is a value out of range, met while reading it.
    except (struct.error, IndexError, ValueError, TypeError, UnicodeDecodeError) as error:
        raise EdgeError(f"The .tflite file is damaged: {error}.") from error
    for graph in graphs:
        check_graph(graph, graphs)
    main = graphs[0]
    return Graph(main.name, main.tensors, main.operations, main.inputs, main.outputs, graphs[1:])


class _Reader:
    """Turns the generated reader classes of the schema into our dataclasses."""

    def __init__(self, data: bytes) -> None:
        from ai_edge_litert import schema_py_generated as schema

        self._schema, self._data = schema, data
        self._model = schema.Model.GetRootAs(data, 0)
        kinds = vars(schema.BuiltinOperator).items()
        self._kinds = {number: name for name, number in kinds if isinstance(number, int)}

    def graphs(self) -> tuple[Graph, ...]:
        if self._model.Version() != 3:
            raise EdgeError(
                f"The .tflite file has schema version {self._model.Version()}; only 3 is known."
            )
        count = self._model.SubgraphsLength()
        if not count:
            raise EdgeError("The .tflite file holds no graph.")
        return tuple(self._graph(self._model.Subgraphs(index)) for index in range(count))

    def _graph(self, stored: Any) -> Graph:
        tensors = [self._tensor(i, stored.Tensors(i)) for i in range(stored.TensorsLength())]
        operations = [
            self._operation(i, stored.Operators(i)) for i in range(stored.OperatorsLength())
        ]
        return Graph(
            _text(stored.Name()),
            tuple(tensors),
            tuple(operations),
            _whole(stored.InputsAsNumpy()),
            _whole(stored.OutputsAsNumpy()),
        )

    def _tensor(self, index: int, stored: Any) -> Tensor:
        name, shape = _text(stored.Name()), _whole(stored.ShapeAsNumpy())
        if stored.Type() not in ELEMENT_TYPES:
            raise EdgeError(f"Tensor {index} ({name!r}) has the unknown type {stored.Type()}.")
        dtype, _ = ELEMENT_TYPES[stored.Type()]
        quantised = stored.Quantization()
        scales, zeros, axis = np.zeros(0, np.float32), np.zeros(0, np.int64), 0
        if quantised is not None and quantised.ScaleLength():
            if quantised.DetailsType():
                raise EdgeError(f"Tensor {index} ({name!r}) has block-wise scales: not supported.")
            scales = np.array(quantised.ScaleAsNumpy(), np.float32)
            # A file may leave zero points out: they are then zero.
            zeros = np.zeros(len(scales), np.int64)
            if quantised.ZeroPointLength():
                zeros = np.array(quantised.ZeroPointAsNumpy(), np.int64)
            axis = quantised.QuantizedDimension()
        raw = self._buffer(index, stored)
        if raw is None and 0 in shape and BITS[dtype]:
            raw = np.zeros(0, np.uint8)  # a constant without elements needs no buffer
        return Tensor(
            index, name, shape, dtype, scales, zeros, axis, bool(stored.IsVariable()),
            None if raw is None else _decode(raw, shape, dtype, f"Tensor {index} ({name!r})"),
        )  # fmt: skip

    def _buffer(self, index: int, stored: Any) -> NDArray[np.uint8] | None:
        number = stored.Buffer()
        if number >= self._model.BuffersLength():
            raise EdgeError(
                f"Tensor {index} points at buffer {number} of {self._model.BuffersLength()}."
            )
        if stored.Sparsity() is not None:
            raise EdgeError(f"Tensor {index} is stored sparse: not supported.")
        buffer = self._model.Buffers(number)
        if buffer.Size():
            start, end = buffer.Offset(), buffer.Offset() + buffer.Size()
            if end > len(self._data):
                raise EdgeError(f"Buffer {number} ends at byte {end:,}, outside the file.")
            return np.frombuffer(self._data, np.uint8)[start:end]
        return np.asarray(buffer.DataAsNumpy()) if buffer.DataLength() else None

    def _operation(self, index: int, stored: Any) -> Operation:
        number = stored.OpcodeIndex()
        if number >= self._model.OperatorCodesLength():
            raise EdgeError(f"Operation {index} points at operator code {number}, which is absent.")
        code = self._model.OperatorCodes(number)
        # Codes above 127 did not fit the first version of the schema; the larger one counts.
        builtin = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        kind = self._kinds.get(builtin)
        if kind is None:
            raise EdgeError(f"Operation {index} has the unknown builtin code {builtin}.")
        if kind == "CUSTOM":
            kind = f"CUSTOM:{_text(code.CustomCode())}"
        options = self._schema.BuiltinOptionsCreator(
            stored.BuiltinOptionsType(), stored.BuiltinOptions()
        )
        return Operation(
            index,
            kind,
            _whole(stored.InputsAsNumpy()),
            _whole(stored.OutputsAsNumpy()),
            {} if options is None else dict(vars(options)),
        )


def _text(value: bytes | None) -> str:
    return (value or b"").decode("utf-8", errors="replace")


def _whole(values: Any) -> tuple[int, ...]:
    """Integers of a vector; an absent one reads as 0 in the generated classes."""
    return tuple(int(value) for value in values) if isinstance(values, np.ndarray) else ()


def _decode(
    raw: NDArray[np.uint8], shape: tuple[int, ...], dtype: str, what: str
) -> NDArray[Any] | None:
    bits = BITS[dtype]
    if bits is None:
        return None
    if min(shape, default=1) < 0:
        raise EdgeError(f"{what} is a constant of shape {shape}.")
    count = math.prod(shape)
    if len(raw) != (count * bits + 7) // 8:
        raise EdgeError(
            f"{what} of shape {shape} and type {dtype} needs {(count * bits + 7) // 8:,} bytes; "
            f"its buffer has {len(raw):,}."
        )
    content = raw.tobytes()
    if bits < 8:
        return _unpack(raw, count, bits, signed=dtype.startswith("int")).reshape(shape)
    if dtype == "bfloat16":
        wide = np.frombuffer(content, "<u2").astype(np.uint32) << 16
        return wide.view(np.float32).reshape(shape)
    return np.frombuffer(content, np.dtype(dtype).newbyteorder("<")).reshape(shape)


def _unpack(raw: NDArray[np.uint8], count: int, bits: int, signed: bool) -> NDArray[Any]:
    """Split bytes into values of 4 or 2 bits, the lowest bits first."""
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    codes = ((raw[:, None] >> shifts) & (2**bits - 1)).reshape(-1)[:count].astype(np.uint8)
    if not signed:
        return codes
    half = 2 ** (bits - 1)
    return (codes.astype(np.int8) ^ half) - np.int8(half)
