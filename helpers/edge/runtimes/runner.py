"""One ``predict`` for every runtime."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from helpers.edge.artefact import Artefact, Contract
from helpers.edge.quiet import quiet
from helpers.edge.runtimes.backends import load, run_rows, time_runs
from helpers.edge.runtimes.process import Worker
from helpers.errors import EdgeError


class Engine(Protocol):
    """A loaded model, in this process or in another."""

    contract: Contract

    def run(self, inputs: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
        """Run any number of rows of codes, ``(rows, ...)`` for each input."""

    def time(
        self, inputs: Sequence[NDArray[Any]], warm_up: int, repeats: int
    ) -> NDArray[np.float64]:
        """Return the seconds of each run, ``(repeats,)``."""

    def reset(self) -> None:
        """Forget earlier runs."""

    def close(self) -> None:
        """Free what the model holds."""


class RemoteEngine(Engine):
    """A model in a worker process; the caller outlives whatever the file does to the runtime."""

    def __init__(self, artefact: Artefact, worker: Worker, threads: int) -> None:
        self._worker, self._name = worker, artefact.name
        try:
            header, _, _ = worker.ask(
                "open", blob=artefact.data, what=artefact.name, threads=threads
            )
            self.contract = Contract.from_json(str(header.get("contract")))
        except EdgeError:
            worker.close()
            raise

    def run(self, inputs: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
        """Run any number of rows of codes."""
        return self._worker.ask("run", inputs, what=self._name)[1]

    def time(
        self, inputs: Sequence[NDArray[Any]], warm_up: int, repeats: int
    ) -> NDArray[np.float64]:
        """Return the seconds of each of some runs."""
        _, answers, _ = self._worker.ask(
            "time", inputs, what=self._name, warm_up=warm_up, repeats=repeats
        )
        return np.asarray(answers[0])

    def reset(self) -> None:
        """Forget earlier runs."""
        self._worker.ask("reset", what=self._name)

    def close(self) -> None:
        """End the worker."""
        self._worker.close()


class LocalEngine(Engine):
    """A model in this process: quicker to start, and only for files of one's own making.

    Raises
    ------
    EdgeError
        If the runtime refuses the file.
    """

    def __init__(self, artefact: Artefact, runtime: str, threads: int) -> None:
        try:
            with quiet():
                self._backend = load(runtime, artefact.data, threads)
        except (ValueError, RuntimeError) as error:
            raise EdgeError(f"{runtime} refuses {artefact.name}: {error}") from error
        self.contract = self._backend.contract

    def run(self, inputs: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
        """Run any number of rows of codes."""
        return run_rows(self._backend, inputs)

    def time(
        self, inputs: Sequence[NDArray[Any]], warm_up: int, repeats: int
    ) -> NDArray[np.float64]:
        """Return the seconds of each of some runs."""
        return time_runs(self._backend, inputs, warm_up, repeats)

    def reset(self) -> None:
        """Forget earlier runs."""
        self._backend.reset()

    def close(self) -> None:
        """Nothing to end: the model goes with this object."""


class Runner:
    """A model that is open in a runtime. Made by :func:`helpers.edge.runtimes.open_model`.

    Attributes
    ----------
    runtime
        Name of the runtime.
    contract
        What the model takes and gives.
    threads
        Threads of one run.
    """

    def __init__(self, engine: Engine, runtime: str, contract: Contract, threads: int) -> None:
        self._engine = engine
        self.runtime, self.contract, self.threads = runtime, contract, threads

    def predict(self, *inputs: ArrayLike) -> Any:
        """Run the model on real numbers.

        Where the file takes integers, inputs are rounded to its codes and clipped to their range;
        where it gives integers, outputs come back as ``scale * (code - zero point)``.

        Parameters
        ----------
        *inputs
            One array an input of the model, ``(n, ...)`` with the input's sizes after the first.
            A model that keeps state takes the rows as one stream, in their order.

        Returns
        -------
        numpy.ndarray
            float32 ``(n, ...)``; a tuple of them if the model has several outputs.

        Raises
        ------
        EdgeError
            If an input does not fit the contract, or the runtime fails on it.
        """
        codes = [c.encode(x) for c, x in zip(self.contract.inputs, self._fit(inputs), strict=True)]
        answers = self._engine.run(codes)
        outputs = tuple(
            contract.decode(answer)
            for contract, answer in zip(self.contract.outputs, answers, strict=True)
        )
        return outputs[0] if len(outputs) == 1 else outputs

    def run_codes(self, *inputs: ArrayLike) -> tuple[NDArray[Any], ...]:
        """Run the model on the file's own numbers, without any conversion.

        Raises
        ------
        EdgeError
            If an input has another type or shape than the file's, or the runtime fails on it.
        """
        arrays = self._fit(inputs)
        for contract, array in zip(self.contract.inputs, arrays, strict=True):
            if array.dtype != contract.dtype:
                raise EdgeError(
                    f"Input {contract.name!r} takes {contract.dtype}, not {array.dtype}; predict() "
                    "takes real numbers."
                )
        return tuple(self._engine.run([np.ascontiguousarray(array) for array in arrays]))

    def time(self, warm_up: int, repeats: int) -> NDArray[np.float64]:
        """Return the seconds of single runs on zeros, ``(repeats,)``, after ``warm_up`` others."""
        zeros = [c.encode(np.zeros(c.shape)) for c in self.contract.inputs]
        return self._engine.time(zeros, warm_up, repeats)

    def reset(self) -> None:
        """Forget what earlier rows left behind in a model that keeps state."""
        self._engine.reset()

    def close(self) -> None:
        """Free the model; closing twice is fine."""
        self._engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _fit(self, inputs: Sequence[ArrayLike]) -> list[NDArray[Any]]:
        wanted = self.contract.inputs
        if len(inputs) != len(wanted):
            raise EdgeError(
                f"The model takes {len(wanted)} inputs ({', '.join(c.name for c in wanted)}), "
                f"not {len(inputs)}."
            )
        arrays = [np.asarray(given) for given in inputs]
        for contract, array in zip(wanted, arrays, strict=True):
            rows = contract.shape[0] if contract.shape else 1
            if array.ndim != len(contract.shape) or array.shape[1:] != contract.shape[1:]:
                raise EdgeError(
                    f"Input {contract.name!r} of shape {array.shape} must be (n, "
                    f"{', '.join(map(str, contract.shape[1:]))})."
                )
            if not len(array) or len(array) % rows:
                raise EdgeError(
                    f"Input {contract.name!r} has {len(array)} rows; the model takes a multiple "
                    f"of {rows}, at least one."
                )
            if array.dtype.kind not in "fiub":
                raise EdgeError(f"Input {contract.name!r} of type {array.dtype} is not numeric.")
        if len({len(array) for array in arrays}) > 1:
            raise EdgeError(f"Inputs of shapes {[a.shape for a in arrays]} differ in their rows.")
        return arrays
