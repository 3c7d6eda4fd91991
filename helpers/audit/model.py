"""Open a model file that nobody vouches for: this process copies and hashes it, and no more.

Whatever reads the file, runs it or unpacks it does so in the sandbox, with a limit on time and
memory. What comes back is checked for type and size before it is believed.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from helpers.audit import claims, graphs
from helpers.audit.cage import Budget, Cage, find_layers
from helpers.audit.description import Task, find_task
from helpers.audit.files import Format, detect_format, read_whole
from helpers.audit.rows import Rows
from helpers.audit.session import Incident, Session
from helpers.edge.reading import LayerWeights, read_weights
from helpers.edge.tflite.graph import Graph, Tensor
from helpers.errors import (
    AuditError,
    EdgeError,
    ModelContractError,
    ModelRefusedError,
)

if TYPE_CHECKING:
    import tensorflow as tf

MAX_THREADS = 64
MAX_RUNS = 1_000_000
MAX_ROW_BYTES = 2**28  # of activations of one row in a replica


@dataclass(frozen=True)
class PeakMemory:
    """Memory of a process that loads and runs the model once.

    Attributes
    ----------
    runtime_bytes
        Resident once the runtime is loaded, before the model.
    model_bytes
        Most that loading the model and one run added to that, with the pages of the runtime's
        code that they use.
    """

    runtime_bytes: int
    model_bytes: int


def open_untrusted(
    path: str | os.PathLike[str],
    *,
    float_model: str | os.PathLike[str] | None = None,
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
    ModelCrashError, ModelTimeoutError, ModelMemoryError
        If opening it ends the sandboxed process in one of these ways.
    SandboxError
        If a layer of the sandbox is missing here, and ``unsafe`` does not allow it.
    """
    if isinstance(threads, bool) or not 1 <= threads <= MAX_THREADS:
        raise AuditError(f"threads={threads!r} must be a whole number from 1 to {MAX_THREADS}.")
    budget, layers = budget or Budget(), find_layers(unsafe)
    data = read_whole(path, budget.file_bytes)
    model = UntrustedModel(
        data, detect_format(data, path), threads, partial(Cage, budget=budget, layers=layers)
    )
    if float_model is not None:
        try:
            model.float_model = open_untrusted(float_model, budget=budget, unsafe=unsafe)
            _require_same_sizes(model, model.float_model)
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
        self, data: bytes, format: Format, threads: int, start: Callable[[str], Cage]
    ) -> None:
        self.sha256, self.size_bytes = hashlib.sha256(data).hexdigest(), len(data)
        self.format, self.threads = format, threads
        self.queries = 0
        self.float_model: UntrustedModel | None = None
        self._graph: Graph | None = None
        notes: tuple[str, ...] = ()
        if format == "keras":
            data, notes = _convert(data, start("tflite"))
        self._session = _open_session(data, format, threads, start)
        self._rows = Rows(self._session)
        self.contract = self._session.contract
        said = self._session.description
        self.description = replace(said, notes=(*notes, *said.notes))
        self.task: Task = find_task(self.contract)

    @property
    def incidents(self) -> list[Incident]:
        """What the file has done to the processes that ran it."""
        return self._session.incidents

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
            float32 ``(n, classes)``, decoded from codes where the file gives integers.

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
        return np.asarray(scores, np.float32).reshape(len(codes), self.task.classes)

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
        """Time single runs on zeros inside the sandbox; the pipe and copying are left out.

        Parameters
        ----------
        runs, warm_up
            Runs that count, and runs before them that do not.
        threads
            Threads of one run; None takes those of the open model.

        Returns
        -------
        numpy.ndarray
            Seconds of each run, float64 ``(runs,)``.
        """
        for name, value, least in (("runs", runs, 1), ("warm_up", warm_up, 0)):
            if isinstance(value, bool) or not least <= value <= MAX_RUNS:
                raise AuditError(f"{name}={value!r} must lie between {least} and {MAX_RUNS:,}.")
        _, answers, _ = self._session.ask(
            "time", self.zeros(), threads=threads or self.threads, warm_up=warm_up, repeats=runs
        )
        if len(answers) != 1 or answers[0].shape != (runs,) or answers[0].dtype != np.float64:
            raise ModelRefusedError("The process that runs the file did not answer with latencies.")
        if not (np.isfinite(answers[0]).all() and (answers[0] >= 0).all()):
            raise ModelRefusedError("The process that runs the file answered impossible latencies.")
        return answers[0]

    def peak_memory(self) -> PeakMemory:
        """Measure the memory of a fresh process that loads the model and runs it once.

        Returns
        -------
        PeakMemory
            What Linux counts as resident, so shared libraries are in it.
        """
        header, _, _ = self._session.ask_apart(
            "peak-memory", self.zeros(), blob=self._session.data, threads=self.threads
        )
        return PeakMemory(*(claims.whole(header.get(name)) for name in ("runtime", "model")))

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
            if self.format == "onnx":
                raise ModelContractError(
                    "The weights of an .onnx file are not read back into a replica; give a .tflite "
                    "or Keras file of the same model as float_model."
                )
            if self.description.unreadable:
                raise ModelContractError(self.description.unreadable)
            header, arrays, _ = self._session.ask("graph")
            try:
                self._graph = graphs.decode(header, arrays)
            except EdgeError as error:
                raise ModelContractError(f"The graph does not fit together: {error}") from error
        return self._graph

    def weights(self) -> list[LayerWeights]:
        """Return the weights in Keras's layout, in the order in which the layers run.

        Raises
        ------
        ModelContractError
            If they cannot be read; says why.
        """
        graph = self.graph()
        try:
            return read_weights(graph)
        # The parts fit together, but a stranger has chosen them.
        except Exception as error:
            raise ModelContractError(f"The weights cannot be read: {error}") from error

    def replica(self, rounding: bool = True, *, logits: bool = False) -> tf.keras.Model:
        """Return a differentiable model with the file's weights, or with ``float_model``'s.

        It is built here, in TensorFlow, from checked arrays and known operations, and only after
        the same has been done, with a gradient, in the sandbox and has harmed nobody.

        Parameters
        ----------
        rounding, logits
            As :func:`helpers.edge.replica.build_replica`.

        Returns
        -------
        tf.keras.Model
            Takes real numbers ``(n, ...)``.

        Raises
        ------
        ModelContractError
            If there can be none; says why.
        """
        if self.float_model is not None:
            return self.float_model.replica(rounding, logits=logits)
        graph = self.graph()
        if graph.is_stateful or len(graph.inputs) != 1:
            raise ModelContractError(
                f"No replica: the model has {len(graph.inputs)} inputs and "
                f"{'keeps' if graph.is_stateful else 'keeps no'} state between runs; a replica is "
                "a function of one input."
            )
        computed = sum(_row_bytes(tensor) for tensor in graph.tensors if tensor.data is None)
        if computed > MAX_ROW_BYTES:
            raise ModelContractError(
                f"A replica would take {computed:,} bytes a row; at most {MAX_ROW_BYTES:,} are "
                "allowed."
            )
        header, arrays = graphs.encode(graph)
        try:
            self._session.ask_apart(
                "rehearse", arrays, "tflite", graph=header, rounding=rounding, logits=logits
            )
        except ModelRefusedError as error:
            raise ModelContractError(f"No replica: {error}") from error
        from helpers.edge.replica import build_replica

        try:
            return build_replica(graph, rounding, logits=logits)
        except Exception as error:  # it was built before, in the sandbox; a stranger made it
            raise ModelContractError(f"No replica: {error}") from error

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
    data: bytes, format: Format, threads: int, start: Callable[[str], Cage]
) -> Session:
    try:
        return Session(data, "onnxruntime" if format == "onnx" else "litert", threads, start)
    except ModelRefusedError as error:
        # LiteRT lacks TensorFlow's own operations; TensorFlow's build has them.
        if "Select TensorFlow op" not in str(error):
            raise
    return Session(data, "tflite", threads, start)


def _row_bytes(tensor: Tensor) -> int:
    """Bytes of one row of an activation in float32."""
    rows = tensor.shape[0] if tensor.shape else 1
    return 4 * tensor.size // max(1, rows)


def _require_same_sizes(model: UntrustedModel, other: UntrustedModel) -> None:
    if (model.task.kind, other.task.kind) != ("classifier", "classifier") or (
        model.contract.inputs[0].shape[1:] != other.contract.inputs[0].shape[1:]
        or model.task.classes != other.task.classes
    ):
        raise ModelContractError(
            f"float_model takes {other.contract.inputs[0]} and gives {other.contract.outputs[0]}; "
            f"the model takes {model.contract.inputs[0]} and gives {model.contract.outputs[0]}."
        )
