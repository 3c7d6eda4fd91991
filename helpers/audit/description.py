"""What a model file is: its contract, the task it seems to serve, and what is inside it.

All of it is said by a worker in the sandbox; :func:`read_contract` and :func:`read_description`
turn what it said into these dataclasses, or refuse it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from helpers.audit import claims
from helpers.edge.artefact import TensorContract
from helpers.edge.runtimes.wire import DTYPES
from helpers.errors import EdgeError, ModelContractError

MAX_PORTS = 64
MAX_ELEMENTS = 2**25  # of one input or output
_REAL = ("float16", "float32", "float64", "int8", "uint8", "int16", "uint16")


@dataclass(frozen=True)
class Port:
    """One input or output of a model.

    Attributes
    ----------
    name
        Name, safe to show.
    shape
        Sizes, batch first; None is a size that the file leaves open.
    dtype
        Type of the numbers that the file takes or gives.
    scale, zero_point
        ``real = scale * (code - zero_point)``; a scale of 0 says that numbers are taken as given.
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: str
    scale: float = 0.0
    zero_point: int = 0

    @property
    def stated(self) -> TensorContract:
        """The same with 1 where a size is open; it encodes and decodes."""
        sizes = tuple(1 if size is None else size for size in self.shape)
        return TensorContract(self.name, sizes, self.dtype, self.scale, self.zero_point)

    @property
    def range(self) -> tuple[float, float] | None:
        """Smallest and largest real number that it can express; None for floating point."""
        if self.dtype not in _REAL or np.dtype(self.dtype).kind == "f":
            return None
        limits, scale = np.iinfo(self.dtype), self.scale or 1.0
        return (limits.min - self.zero_point) * scale, (limits.max - self.zero_point) * scale

    def encode(self, values: ArrayLike) -> NDArray[Any]:
        """Turn real numbers into the codes that the file takes.

        Raises
        ------
        ModelContractError
            If the file takes no numbers, or a number is NaN where it takes integers.
        """
        if self.dtype not in DTYPES:
            raise ModelContractError(f"{self} takes no numbers.")
        try:
            return self.stated.encode(values)
        except EdgeError as error:
            raise ModelContractError(str(error)) from error

    def __str__(self) -> str:
        sizes = " x ".join("?" if size is None else str(size) for size in self.shape)
        scale = f", scale {self.scale:.3g}, zero point {self.zero_point}" if self.scale else ""
        return f"{self.name} ({sizes}, {self.dtype}{scale})"


@dataclass(frozen=True)
class ModelContract:
    """What a model takes and gives.

    Attributes
    ----------
    inputs, outputs
        In the file's order.
    stateful
        Whether an answer depends on what was asked before.
    """

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    stateful: bool


def fit_input(contract: ModelContract, sizes: tuple[int, ...]) -> ModelContract:
    """Return a contract whose one input has the given sizes beyond the batch.

    Raises
    ------
    ModelContractError
        If there are more inputs, or a size contradicts what the file states.
    """
    if len(contract.inputs) != 1:
        raise ModelContractError(
            f"The model takes {len(contract.inputs)} inputs; a shape can be given for one."
        )
    port = contract.inputs[0]
    known = port.shape[1:] if port.shape else (None,) * len(sizes)
    agrees = len(known) == len(sizes) and all(
        stated in (None, size) for stated, size in zip(known, sizes, strict=True)
    )
    if not agrees or not sizes or min(sizes) < 1 or prod(sizes) > MAX_ELEMENTS:
        raise ModelContractError(
            f"The input is {port}; it cannot have the sizes {', '.join(map(str, sizes))} after "
            "the batch. Leave the batch out, and keep the sizes that the file states."
        )
    batch = port.shape[0] if port.shape else None
    return replace(contract, inputs=(replace(port, shape=(batch, *sizes)),))


def fill_outputs(contract: ModelContract, answered: Sequence[tuple[int, ...]]) -> ModelContract:
    """Return a contract whose open output sizes are those of one run's answers."""
    batch = contract.inputs[0].shape[0]
    filled = []
    for port, shape in zip(contract.outputs, answered, strict=True):
        stated = port.shape or (batch, *[None] * (len(shape) - 1))
        if len(stated) == len(shape):
            open_beyond = zip(stated[1:], shape[1:], strict=True)
            stated = (stated[0], *(got if size is None else size for size, got in open_beyond))
        filled.append(replace(port, shape=stated))
    return replace(contract, outputs=tuple(filled))


@dataclass(frozen=True)
class Task:
    """What a model seems to be for.

    Attributes
    ----------
    kind
        ``"classifier"``: one input of real numbers, one score for each of two or more classes or
        one for two; ``"other"``: anything else.
    classes
        Number of classes; 0 if it is no classifier.
    reason
        Why the audit cannot attack it, for a report; empty for a classifier.
    """

    kind: str
    classes: int
    reason: str = ""


def find_task(contract: ModelContract) -> Task:
    """Return the task that a contract allows."""
    reason = _why_not(contract)
    if reason:
        return Task("other", 0, reason)
    return Task("classifier", max(2, prod(contract.outputs[0].stated.shape[1:])))


def _why_not(contract: ModelContract) -> str:
    if contract.stateful:
        return (
            "it keeps state between runs (streaming audio, say): an answer depends on everything "
            "asked before, so no single input can be attacked"
        )
    if len(contract.inputs) != 1:
        return f"it takes {len(contract.inputs)} inputs; the attacks change one"
    if len(contract.outputs) != 1:
        return (
            f"it gives {len(contract.outputs)} outputs (boxes and scores of a detector, or a class "
            "beside its scores); the attacks need one score a class, so export the scores alone"
        )
    given, answer = contract.inputs[0], contract.outputs[0]
    if given.dtype not in _REAL:
        return f"its input {given} holds no signal but indices or flags, which cannot be nudged"
    if len(given.shape) < 2 or None in given.shape[1:]:
        return (
            f"its input {given} has open sizes beyond the batch, or no batch at all; if you know "
            "them, say --input-shape"
        )
    if answer.dtype not in _REAL:
        return f"its output {answer} holds no scores"
    sizes = answer.shape[1:]
    if None in sizes or not answer.shape:
        return (
            f"its output {answer} has open sizes beyond the batch; --input-shape with the input's "
            "sizes lets one run tell them"
        )
    if answer.shape[0] != given.shape[0]:
        return f"its output {answer} is not one row for each row of the input {given}"
    if sorted(size or 1 for size in sizes)[:-1] != [1] * (len(sizes) - 1):
        return f"its output {answer} is a map, not one score a class (a segmentation, say)"
    return ""


@dataclass(frozen=True)
class Description:
    """What is inside a model file, as the process in the sandbox says.

    Attributes
    ----------
    runtime
        What runs it.
    operators
        Operation to how often it occurs.
    custom_operators
        Those of them that no standard defines: custom, Flex and foreign domains.
    parameters, weight_bytes
        Real-valued constants: how many, and their size as stored.
    weight_types, activation_types
        Element type to number of parameters, and to number of tensors that a run computes.
    per_channel
        Whether a weight has one scale for each channel.
    macs, arena_bytes, state_bytes
        Multiply-accumulates of a run, planned working memory, variables; None where not known.
    metadata
        Texts the file carries, shortened and safe to show.
    notes
        What an auditor should know, such as code inside the file.
    unreadable
        Why its graph cannot be read, which leaves only questions to the running model; empty if
        it can.
    """

    runtime: str
    operators: dict[str, int]
    custom_operators: tuple[str, ...]
    parameters: int
    weight_bytes: int
    weight_types: dict[str, int]
    activation_types: dict[str, int]
    per_channel: bool
    macs: int | None
    arena_bytes: int | None
    state_bytes: int | None
    metadata: dict[str, str]
    notes: tuple[str, ...]
    unreadable: str = ""

    @property
    def quantisation(self) -> str:
        """The numbers it stores and computes with, in words."""
        if not self.weight_types:
            return "unknown"
        biases = {"int32", "int64"} if len(self.weight_types) > 1 else set()
        weights = _by_size({k: n for k, n in self.weight_types.items() if k not in biases})
        channels = ", one scale a channel" if self.per_channel else ""
        computed = _by_size(self.activation_types) or "unknown"
        return f"weights {weights}{channels}; activations {computed}"


def _by_size(counts: dict[str, int]) -> str:
    return ", ".join(sorted(counts, key=lambda kind: -counts[kind]))


def read_contract(claim: Any) -> ModelContract:
    """Return the contract that a worker claims.

    Raises
    ------
    ClaimError
        If it is no contract.
    """
    said = claims.table(claim)
    inputs, outputs = (
        tuple(_port(item) for item in claims.row(said.get(side), MAX_PORTS))
        for side in ("inputs", "outputs")
    )
    return ModelContract(inputs, outputs, claims.flag(said.get("stateful")))


def _port(claim: Any) -> Port:
    said = claims.table(claim)
    sizes = claims.row(said.get("shape"), 16)
    shape = tuple(None if size is None else claims.whole(size, 0, 2**31) for size in sizes)
    dtype = claims.text(said.get("dtype"), 40)
    scale = claims.number(said.get("scale"))
    zero = claims.whole(said.get("zero_point"), -(2**31), 2**31)
    if prod(size or 1 for size in shape) > MAX_ELEMENTS:
        raise claims.ClaimError(f"An input or output of more than {MAX_ELEMENTS:,} numbers.")
    if not 0 <= scale < 1e30:
        raise claims.ClaimError(f"A scale of {scale!r} was claimed.")
    return Port(claims.text(said.get("name")), shape, dtype, scale, zero)


def read_description(claim: Any, runtime: str) -> Description:
    """Return the description that a worker claims.

    Raises
    ------
    ClaimError
        If it is no description.
    """
    said = claims.table(claim)
    metadata = claims.table(said.get("metadata"), 100).items()
    return Description(
        runtime=runtime,
        operators=_counts(said.get("operators")),
        custom_operators=_texts(said.get("custom_operators")),
        parameters=claims.whole(said.get("parameters")),
        weight_bytes=claims.whole(said.get("weight_bytes")),
        weight_types=_counts(said.get("weight_types")),
        activation_types=_counts(said.get("activation_types")),
        per_channel=claims.flag(said.get("per_channel")),
        macs=_maybe(said.get("macs")),
        arena_bytes=_maybe(said.get("arena_bytes")),
        state_bytes=_maybe(said.get("state_bytes")),
        metadata={claims.text(name): claims.text(value, 500) for name, value in metadata},
        notes=_texts(said.get("notes"), 500),
        unreadable=claims.text(said.get("unreadable"), 500),
    )


def _counts(claim: Any) -> dict[str, int]:
    return {claims.text(name): claims.whole(n) for name, n in claims.table(claim).items()}


def _texts(claim: Any, most: int = claims.MAX_TEXT) -> tuple[str, ...]:
    return tuple(claims.text(item, most) for item in claims.row(claim, 200))


def _maybe(claim: Any) -> int | None:
    return None if claim is None else claims.whole(claim)
