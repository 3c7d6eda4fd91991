"""Open a model file that nobody vouches for: this process copies and hashes it, and no more.

Whatever reads the file, runs it or unpacks it does so in the sandbox, with a limit on time and
memory. What comes back is checked for type and size before it is believed.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from helpers.audit import claims, replicas, timing
from helpers.audit.cage import Budget, Cage, find_layers
from helpers.audit.description import Task, find_task
from helpers.audit.files import Format, detect_format, read_whole
from helpers.audit.rows import Rows
from helpers.audit.session import Incident, Session
from helpers.edge.reading import LayerWeights
from helpers.edge.tflite.graph import Graph
from helpers.errors import (
    AuditError,
    ModelContractError,
    ModelRefusedError,
)

if TYPE_CHECKING:
    import tensorflow as tf

MAX_THREADS = 64


def open_untrusted(
    path: str | os.PathLike[str],
    *,
    float_model: str | os.PathLike[str] | None = None,
    input_shape: Sequence[int] | None = None,
    threads: int = 1,
    budget: Budget | None = None,
    unsafe: bool = False,
) -> UntrustedModel:
    """Open a model file of any origin.

    Parameters
    ----------
    path
        A ``.tflite``, ``.onnx``, ``.keras`` or ``.h5`` file. A Keras file is converted to a float
        ``.tflite`` inside the sandbox, since it may run code of its author when it is loaded; the
        result is then opened in another sandbox.
    float_model
        Another file of the same model, whose weights can be read, for gradients; it is trusted as
        little.
    input_shape
        Sizes of the one input beyond the batch, where the file leaves them open or states no
        shape. Sizes of the output that are open are then read off one run.
    threads
        Threads of one run.
    budget
        What the file may use.
    unsafe
        Whether to go on where the machine cannot put up every layer of the sandbox.

    Returns
    -------
    UntrustedModel
        The open model; close it, or use it as a context manager. It ends at the latest with the
        thread that opened it.

    Raises
    ------
    ModelRefusedError
        If the file is damaged, too large, of another kind, or its runtime refuses it.
    ModelContractError
        If ``input_shape`` contradicts the file, or the float model takes or gives other sizes.
    ModelCrashError, ModelTimeoutError, ModelMemoryError
        If opening it ends the sandboxed process in one of these ways.
    SandboxError
        If a layer of the sandbox is missing here, and ``unsafe`` does not allow it.
    """
    if isinstance(threads, bool) or not 1 <= threads <= MAX_THREADS:
        raise AuditError(f"threads={threads!r} must be a whole number from 1 to {MAX_THREADS}.")
    budget, layers = budget or Budget(), find_layers(unsafe)
    data = read_whole(path, budget.file_bytes)
    sizes = None if input_shape is None else tuple(input_shape)
    start = partial(Cage, budget=budget, layers=layers)
    model = UntrustedModel(data, detect_format(data, path), threads, start, sizes)
    if float_model is not None:
        try:
            model.attach_float(
                open_untrusted(float_model, input_shape=sizes, budget=budget, unsafe=unsafe)
            )
        except BaseException:
            model.close()
            raise
    return model


class UntrustedModel:
    """A model file of any origin, open in a sandbox. Made by :func:`open_untrusted`.

    Attributes
    ----------
    sha256, size_bytes
        Of the file.
    format
        ``"tflite"``, ``"onnx"`` or ``"keras"``.
    contract
        What it takes and gives.
    task
        What it seems to be for.
    description
        What is inside it.
    queries
        Rows that have been asked of it.
    float_model
        The other file of the same model, or None.
    """

    def __init__(
        self,
        data: bytes,
        format: Format,
        threads: int,
        start: Callable[[str], Cage],
        sizes: tuple[int, ...] | None = None,
    ) -> None:
        self.sha256, self.size_bytes = hashlib.sha256(data).hexdigest(), len(data)
        self.format, self.threads = format, threads
        self.queries = 0
        self.float_model: UntrustedModel | None = None
        self._graph: Graph | None = None
        notes: tuple[str, ...] = ()
        if format == "keras":
            data, notes = _convert(data, start("tflite"))
        self._session = _open_session(data, format, threads, start, sizes)
        self._rows = Rows(self._session)
        self.contract = self._session.contract
        said = self._session.description
        self.description = replace(said, notes=(*notes, *said.notes))
        self.task: Task = find_task(self.contract)

    @property
    def incidents(self) -> list[Incident]:
        """What the file has done to the processes that ran it."""
        return self._session.incidents

    def attach_float(self, other: UntrustedModel) -> None:
        """Take another open file of the same model for gradients; it is closed with this one.

        Raises
        ------
        ModelContractError
            If it takes or gives other sizes.
        """
        self.float_model = other
        _require_same_sizes(self, other)

    # ------------------------------------------------------------------ asking

    def predict(self, x: ArrayLike) -> NDArray[np.float32]:
        """Run a classifier on real numbers.

        Parameters
        ----------
        x
            Inputs ``(n, ...)`` in the model's natural units; where the file takes integers they
            are rounded to its codes and clipped to their range.

        Returns
        -------
        numpy.ndarray
            float32 ``(n, classes)``, or ``(n, 1)`` from a file that gives one number for two
            classes; decoded from codes where the file gives integers.

        Raises
        ------
        ModelContractError
            If the model is no classifier, or ``x`` does not fit it.
        ModelCrashError, ModelTimeoutError, ModelMemoryError
            If the file ends its process on these inputs.
        """
        if self.task.kind != "classifier":
            raise ModelContractError(
                f"The model is no classifier that takes rows: {self.task.reason}."
            )
        codes = self.contract.inputs[0].encode(np.asarray(x))
        answers = self.raw_predict([codes])[0]
        if len(answers) != len(codes):
            raise ModelContractError(f"The model gave {len(answers)} rows for {len(codes)}.")
        scores = self.contract.outputs[0].stated.decode(answers)
        return np.asarray(scores, np.float32).reshape(len(codes), -1)

    def raw_predict(self, inputs: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
        """Run any model on the file's own numbers.

        Parameters
        ----------
        inputs
            One array an input, ``(n, ...)``, of the type the contract states. A model with state
            takes the rows as one stream.

        Returns
        -------
        list of numpy.ndarray
            One an output. A model whose batch is fixed is asked batch by batch; the last one is
            filled up with zeros, whose answers are dropped.

        Raises
        ------
        ModelContractError
            If an array does not fit the contract, or an answer does not.
        ModelCrashError, ModelTimeoutError, ModelMemoryError
            If the file ends its process on these inputs.
        """
        answers = self._rows.run(inputs)
        self.queries += len(inputs[0])
        return answers

    def reset(self) -> None:
        """Forget what earlier rows left behind in a model that keeps state."""
        self._session.ask("reset")

    def latency(
        self, runs: int = 100, threads: int | None = None, warm_up: int = 10
    ) -> NDArray[np.float64]:
        """Time single runs on zeros; see :func:`helpers.audit.timing.time_runs`.

        Raises
        ------
        ModelContractError
            As for :meth:`zeros`.
        """
        threads = threads or self.threads
        return timing.time_runs(self._session, self.zeros(), runs, threads, warm_up)

    def peak_memory(self, within: float | None = None) -> timing.PeakMemory:
        """Measure the memory of one run; see :func:`helpers.audit.timing.measure_memory`.

        Raises
        ------
        ModelContractError
            As for :meth:`zeros`.
        """
        return timing.measure_memory(self._session, self.zeros(), within)

    def zeros(self) -> list[NDArray[Any]]:
        """Return the inputs of one run on zeros, as :meth:`raw_predict` takes them.

        Raises
        ------
        ModelContractError
            If an input leaves more sizes open than its batch.
        """
        unknown = [port for port in self.contract.inputs if None in port.shape[1:]]
        if unknown:
            raise ModelContractError(f"Input {unknown[0]} has open sizes: there is no single run.")
        return [port.encode(np.zeros(port.stated.shape)) for port in self.contract.inputs]

    # ------------------------------------------------------------------ reading

    def graph(self) -> Graph:
        """Return the file's operations and constants: read in the sandbox, checked again here.

        Raises
        ------
        ModelContractError
            If the file is no ``.tflite`` (or Keras) file or its graph cannot be read; says why.
        """
        if self._graph is None:
            self._graph = replicas.fetch_graph(self._session)
        return self._graph

    def weights(self) -> list[LayerWeights]:
        """Return the weights; see :func:`helpers.audit.replicas.weights_of`."""
        return replicas.weights_of(self.graph())

    def replica(
        self, rounding: bool = True, *, logits: bool = False, within: float | None = None
    ) -> tf.keras.Model:
        """Return a differentiable model with the file's weights, or with ``float_model``'s.

        It is built here, in TensorFlow, from checked arrays and known operations, and only after
        the same has been done, with a gradient, in the sandbox and has harmed nobody.

        Parameters
        ----------
        rounding, logits
            As :func:`helpers.edge.replica.build_replica`.
        within
            Seconds that trying it in the sandbox may take; None leaves it to the file's budget.

        Returns
        -------
        tf.keras.Model
            Takes real numbers ``(n, ...)``.

        Raises
        ------
        ModelContractError
            If there can be none; says why.
        OutOfTimeError
            If trying it takes longer than ``within``.
        """
        if self.float_model is not None:
            return self.float_model.replica(rounding, logits=logits, within=within)
        return replicas.build(self._session, self.graph(), rounding, logits, within)

    def close(self) -> None:
        """End the worker; closing twice is fine."""
        self._session.close()
        if self.float_model is not None:
            self.float_model.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _convert(data: bytes, cage: Cage) -> tuple[bytes, tuple[str, ...]]:
    """Return a Keras file as a ``.tflite``, and what an auditor should know about it."""
    try:
        suffix = ".h5" if data[:4] == b"\x89HDF" else ".keras"
        # Once its code has run, the process may say anything: what it holds is asked before.
        header, _, _ = cage.ask("find-code", blob=data)
        _, _, converted = cage.ask("convert", blob=data, suffix=suffix)
    finally:
        cage.close()
    if converted[4:8] != b"TFL3":
        raise ModelRefusedError("Converting the Keras file gave no .tflite file.")
    notes = [claims.text(note, 500) for note in claims.row(header.get("notes"), 20)]
    return converted, (*notes, "Converted to a float .tflite for this audit.")


def _open_session(
    data: bytes,
    format: Format,
    threads: int,
    start: Callable[[str], Cage],
    sizes: tuple[int, ...] | None,
) -> Session:
    runtime = "onnxruntime" if format == "onnx" else "litert"
    try:
        return Session(data, runtime, threads, start, sizes)
    except ModelRefusedError as error:
        # LiteRT lacks TensorFlow's own operations; TensorFlow's build has them.
        if "Select TensorFlow op" not in str(error):
            raise
    return Session(data, "tflite", threads, start, sizes)


def _require_same_sizes(model: UntrustedModel, other: UntrustedModel) -> None:
    if (model.task.kind, other.task.kind) != ("classifier", "classifier") or (
        model.contract.inputs[0].shape[1:] != other.contract.inputs[0].shape[1:]
        or model.task.classes != other.task.classes
    ):
        raise ModelContractError(
            f"float_model takes {other.contract.inputs[0]} and gives {other.contract.outputs[0]}; "
            f"the model takes {model.contract.inputs[0]} and gives {model.contract.outputs[0]}."
        )
