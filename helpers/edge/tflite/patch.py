"""New values for the constants of a ``.tflite`` file; everything else stays byte for byte."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from helpers.edge.tflite.graph import read_graph
from helpers.errors import EdgeError


def replace_constants(data: bytes, values: Mapping[int, NDArray[Any]]) -> bytes:
    """Write new values over some constants of a model's first graph.

    Parameters
    ----------
    data
        The whole ``.tflite`` file.
    values
        Tensor index to its new value, of the stored shape and type.

    Returns
    -------
    bytes
        The new file, of the same size.

    Raises
    ------
    EdgeError
        If the file is damaged, or a tensor is no constant, has another shape or type, is packed
        below 8 bits, or shares its buffer with a tensor that is not replaced.
    """
    from ai_edge_litert import schema_py_generated as schema

    graph = read_graph(data)
    model = schema.Model.GetRootAs(data, 0)
    stored = model.Subgraphs(0)
    numbers = [stored.Tensors(index).Buffer() for index in range(stored.TensorsLength())]
    patched = bytearray(data)
    for index, value in values.items():
        old = graph.tensors[index].data
        name = f"Tensor {index} ({graph.tensors[index].name!r})"
        if old is None or old.shape != value.shape or old.dtype != value.dtype:
            raise EdgeError(f"{name} is no constant of shape {value.shape} and type {value.dtype}.")
        if old.nbytes != graph.tensors[index].num_bytes:
            raise EdgeError(f"{name} is packed below 8 bits: it cannot be replaced in place.")
        sharing = {other for other, number in enumerate(numbers) if number == numbers[index]}
        if not sharing <= set(values):
            raise EdgeError(f"{name} shares its buffer with tensors {sorted(sharing - {index})}.")
        buffer = model.Buffers(numbers[index])
        inside = buffer._tab
        start = buffer.Offset() if buffer.Size() else inside.Vector(inside.Offset(4))
        patched[start : start + old.nbytes] = np.ascontiguousarray(value).tobytes()
    return bytes(patched)
