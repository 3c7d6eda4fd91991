"""A model file and its contract: what goes in, what comes out, in which numbers."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from helpers._files import write_atomically
from helpers.edge.tflite.graph import Graph, Tensor, read_file, read_graph
from helpers.errors import EdgeError

Format = Literal["tflite", "onnx", "pte"]


@dataclass(frozen=True)
class TensorContract:
    """One input or output of a model.

    Attributes
    ----------
    name
        Name.
    shape
        Sizes, batch first.
    dtype
        Type of the numbers that the file takes or gives, such as ``"int8"``.
    scale, zero_point
        ``real = scale * (code - zero_point)``; a scale of 0 says that numbers are taken as given.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: float = 0.0
    zero_point: int = 0

    def encode(self, values: ArrayLike) -> NDArray[Any]:
        """Turn real numbers into the codes the file takes: rounded, and clipped to the type.

        Raises
        ------
        EdgeError
            If a number is NaN where the file takes integers.
        """
        given = np.asarray(values)
        kind = np.dtype(self.dtype)
        if kind.kind not in "iu":
            return np.ascontiguousarray(given, kind)
        if np.isnan(given).any():
            raise EdgeError(f"Input {self.name!r} holds NaN, which {self.dtype} cannot express.")
        codes = given.astype(np.float64)  # worked on in place: smoothing encodes millions of inputs
        if self.scale:
            codes /= self.scale
            codes += self.zero_point
        limits = np.iinfo(kind)
        np.rint(codes, out=codes)
        np.clip(codes, limits.min, limits.max, out=codes)
        return np.ascontiguousarray(codes.astype(kind))

    def decode(self, codes: NDArray[Any]) -> NDArray[Any]:
        """Turn the file's codes into real numbers, float32; without a scale they stay as given."""
        if not self.scale:
            return codes
        return ((codes.astype(np.float64) - self.zero_point) * self.scale).astype(np.float32)


@dataclass(frozen=True)
class Contract:
    """What a model takes and gives.

    Attributes
    ----------
    inputs, outputs
        In the file's order.
    stateful
        Whether an answer depends on what was asked before.
    """

    inputs: tuple[TensorContract, ...]
    outputs: tuple[TensorContract, ...]
    stateful: bool = False

    def to_json(self) -> str:
        """Return the contract as JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Contract:
        """Read a contract that :meth:`to_json` wrote.

        Raises
        ------
        EdgeError
            If the text is no contract.
        """
        try:
            content = json.loads(text)
            sides = [
                tuple(
                    TensorContract(**{**item, "shape": tuple(int(s) for s in item["shape"])})
                    for item in content[side]
                )
                for side in ("inputs", "outputs")
            ]
            return cls(sides[0], sides[1], bool(content["stateful"]))
        except (ValueError, KeyError, TypeError) as error:
            raise EdgeError(f"A model's contract cannot be read: {error!r}.") from error


@dataclass(frozen=True, eq=False)
class Artefact:
    """A model as it is shipped.

    Attributes
    ----------
    data
        The whole file.
    format
        ``"tflite"``, ``"onnx"`` or ``"pte"`` (ExecuTorch).
    name
        Where it came from, for messages.
    """

    data: bytes
    format: Format
    name: str = "model"

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Artefact:
        """Read a model file; its suffix says the format.

        Raises
        ------
        EdgeError
            If the suffix is unknown or the file cannot be read.
        """
        suffix = Path(path).suffix.removeprefix(".").lower()
        if suffix not in get_args(Format):
            raise EdgeError(
                f"{os.fspath(path)!r} must end in one of "
                f"{', '.join('.' + name for name in get_args(Format))}."
            )
        return cls(read_file(path), suffix, str(path))  # type: ignore[arg-type]

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the file, whole or not at all; the format's suffix is added if it is missing.

        Raises
        ------
        EdgeError
            If it cannot be written.
        """
        target = Path(path)
        if target.suffix != f".{self.format}":
            target = target.with_name(f"{target.name}.{self.format}")
        write_atomically(target, self.data, EdgeError)
        return target

    @property
    def num_bytes(self) -> int:
        """Size of the file."""
        return len(self.data)

    def graph(self) -> Graph:
        """Return the graph of a ``.tflite`` file.

        Raises
        ------
        EdgeError
            If the file has another format or is damaged.
        """
        if self.format != "tflite":
            raise EdgeError(f"{self.name} is {self.format}; only a .tflite file can be read so.")
        return read_graph(self.data)


def as_artefact(model: Artefact | str | os.PathLike[str]) -> Artefact:
    """Return an artefact, reading the file if a path is given."""
    return model if isinstance(model, Artefact) else Artefact.read(model)


def contract_of(graph: Graph) -> Contract:
    """Return the contract that a ``.tflite`` graph states."""

    def side(indices: tuple[int, ...]) -> tuple[TensorContract, ...]:
        return tuple(_tensor_contract(graph.tensors[index]) for index in indices)

    return Contract(side(graph.inputs), side(graph.outputs), graph.is_stateful)


def _tensor_contract(tensor: Tensor) -> TensorContract:
    scale, zero = (0.0, 0)
    if len(tensor.scales) == 1 and np.dtype(tensor.dtype).kind in "iu":
        scale, zero = float(tensor.scales[0]), int(tensor.zero_points[0])
    return TensorContract(tensor.name, tensor.shape, tensor.dtype, scale, zero)
