"""Models that live in the test's own process, and a clock that a test turns by hand."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from helpers.audit.bench import Bench, Settings
from helpers.audit.data import AuditData, Examples
from helpers.audit.description import Description, ModelContract, Port, Task
from helpers.audit.model import UntrustedModel
from helpers.audit.session import Incident
from helpers.errors import ModelContractError

CLASSES = 3


class Clock:
    """Seconds that pass only when somebody says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class PlainModel:
    """A linear classifier with softmax; each row that it is asked takes some time of a clock."""

    def __init__(self, shape: tuple[int, ...], clock: Clock | None = None, cost: float = 0.0):
        weights = np.random.default_rng(0).normal(size=(int(np.prod(shape)), CLASSES))
        self._weights = weights.astype(np.float32)
        self._clock, self._cost = clock, cost
        self.sha256, self.size_bytes, self.format = hashlib.sha256(b"plain").hexdigest(), 5, "onnx"
        self.contract = ModelContract(
            (Port("x", (None, *shape), "float32"),), (Port("y", (None, CLASSES), "float32"),), False
        )
        self.task = Task("classifier", CLASSES)
        self.description = Description(
            "none", {"DENSE": 1}, (), weights.size, 4 * weights.size, {"float32": weights.size},
            {"float32": 2}, False, weights.size, None, None, {}, (),
        )  # fmt: skip
        self.queries, self.incidents = 0, list[Incident]()
        self.float_model = None

    def predict(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        self.queries += len(x)
        if self._clock is not None:
            self._clock.now += self._cost * len(x)
        scores = np.exp(x.reshape(len(x), -1) @ self._weights)
        return np.asarray(scores / scores.sum(axis=1, keepdims=True), np.float32)

    def latency(self, runs: int, threads: int, warm_up: int = 0) -> NDArray[np.float64]:
        return np.full(runs, 1e-3)

    def peak_memory(self, within: float | None = None) -> Any:
        raise ModelContractError("a model in this process has no memory of its own")

    def graph(self) -> Any:
        raise ModelContractError("there is no graph")

    def replica(
        self, rounding: bool = True, *, logits: bool = False, within: float | None = None
    ) -> Any:
        raise ModelContractError("there is no replica")


def bench(
    shape: tuple[int, ...] = (12,),
    count: int = 200,
    clock: Clock | None = None,
    cost: float = 0.0,
    span: tuple[float, float] | None = None,
    **settings: Any,
) -> Bench:
    """A model and examples that it mostly gets right."""
    model = PlainModel(shape, clock, cost)
    x = np.random.default_rng(1).random((count, *shape), np.float32)
    y = model.predict(x).argmax(axis=1)
    y[::10] = (y[::10] + 1) % CLASSES
    model.queries = 0
    if clock is not None:
        clock.now = 1000.0
    data = AuditData("plain.npz", hashlib.sha256(b"data").hexdigest(), Examples(x, y), span=span)
    return Bench(
        Path("plain.onnx"), cast(UntrustedModel, model), data, Settings(**settings)
    )  # fmt: skip
