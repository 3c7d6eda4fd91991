"""Open a model file that nobody vouches for: this process copies and hashes it, and no more.

Whatever reads the file, runs it or unpacks it does so in the sandbox, with a limit on time and
memory. What comes back is checked for type and size before it is believed.
"""

from __future__ import annotations

import hashlib
import math
import os
import stat
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from helpers.audit import claims, graphs
from helpers.audit.cage import Budget, Cage, find_layers
from helpers.audit.description import (
    Description,
    ModelContract,
    Port,
    Task,
    find_task,
    read_contract,
    read_description,
)
from helpers.edge.reading import LayerWeights, read_weights
from helpers.edge.tflite.graph import Graph
from helpers.errors import (
    AuditError,
    EdgeError,
    ModelContractError,
    ModelCrashError,
    ModelMemoryError,
    ModelRefusedError,
    ModelTimeoutError,
)

if TYPE_CHECKING:
    import tensorflow as tf

Format = Literal["tflite", "onnx", "keras"]

MAX_THREADS = 64
MAX_RUNS = 1_000_000
MAX_ROW_BYTES = 2**28  # of activations of one row in a replica
MESSAGE_BYTES, MESSAGE_SECONDS = 2**25, 2.0  # what one message to the worker aims at, at most
_FIRST_ROWS = 8
_RESTARTS = 1
_FAILURES = (ModelCrashError, ModelTimeoutError, ModelMemoryError)


@dataclass(frozen=True)
class Incident:
    """Something the file did to the process that ran it: a finding in itself.

    Attributes
    ----------
    kind
        ``"crash"``, ``"time-out"`` or ``"memory"``.
    during
        What was being done.
    detail
        What happened, in a sentence.
    """

    kind: str
    during: str
    detail: str


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


def read_whole(path: str | os.PathLike[str], limit: int) -> bytes:
    """Return the bytes of a regular file.

    Raises
    ------
    ModelRefusedError
        If it cannot be read, is no regular file, or is larger than allowed.
    """
    name = os.fspath(path)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a pipe would wait for ever
        with os.fdopen(descriptor, "rb") as file:
            about = os.fstat(file.fileno())
            if not stat.S_ISREG(about.st_mode):
                raise ModelRefusedError(f"{name!r} is no regular file; an audit takes one file.")
            data = file.read(limit + 1)
    except OSError as error:
        raise ModelRefusedError(f"{name!r} cannot be read: {error.strerror}.") from error
    if len(data) > limit:
        raise ModelRefusedError(
            f"{name!r} has {about.st_size:,} bytes; at most {limit:,} are read. A larger budget of "
            "file_bytes takes it."
        )
    return data


def detect_format(data: bytes, path: str | os.PathLike[str]) -> Format:
    """Return the format of a file, from its first bytes where they tell.

    Raises
    ------
    ModelRefusedError
        If it is none that an audit reads.
    """
    suffix = Path(path).suffix.lower()
    if data[4:8] == b"TFL3":
        return "tflite"
    if data[:8] == b"\x89HDF\r\n\x1a\n" or (data[:4] == b"PK\x03\x04" and suffix == ".keras"):
        return "keras"
    if suffix == ".onnx":
        return "onnx"
    raise ModelRefusedError(
        f"{os.fspath(path)!r} begins with {data[:8]!r} and ends in {suffix!r}: an audit takes a "
        ".tflite, .onnx, .keras or .h5 file. A bundle (.task, .zip) has to be unpacked first."
    )


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
    incidents
        What it has done to the processes that ran it.
    float_model
        The other file of the same model, or None.
    """

    def __init__(
        self, data: bytes, format: Format, threads: int, start: Callable[[str], Cage]
    ) -> None:
        self.sha256, self.size_bytes = hashlib.sha256(data).hexdigest(), len(data)
        self.format, self.threads = format, threads
        self.queries, self.incidents = 0, list[Incident]()
        self.float_model: UntrustedModel | None = None
        self._start, self._pace = start, _FIRST_ROWS
        self._restarts, self._graph = _RESTARTS, cast("Graph | None", None)
        notes: list[str] = []
        if format == "keras":
            data, notes = self._convert(data)
        self._data = data
        self._runtime = "onnxruntime" if format == "onnx" else "litert"
        self._cage: Cage | None = None
        try:
            self.contract, self.description = self._open(notes)
        except ModelRefusedError as error:
            # LiteRT lacks TensorFlow's own operations; TensorFlow's build has them.
            if "Select TensorFlow op" not in str(error):
                raise
            self._runtime = "tflite"
            self.contract, self.description = self._open(notes)
        self.task: Task = find_task(self.contract)

    def _convert(self, data: bytes) -> tuple[bytes, list[str]]:
        suffix = ".h5" if data[:4] == b"\x89HDF" else ".keras"
        cage = self._start("tflite")
        try:
            header, _, converted = cage.ask("convert", blob=data, suffix=suffix)
        finally:
            cage.close()
        if converted[4:8] != b"TFL3":
            raise ModelRefusedError("Converting the Keras file gave no .tflite file.")
        notes = [claims.text(note, 500) for note in claims.row(header.get("notes"), 20)]
        return converted, [*notes, "Converted to a float .tflite for this audit."]

    def _open(self, notes: Sequence[str] = ()) -> tuple[ModelContract, Description]:
        cage = self._start(self._runtime)
        try:
            header, _, _ = cage.ask("open", blob=self._data, threads=self.threads)
            contract = read_contract(header.get("contract"))
            description = read_description(header.get("description"), self._runtime)
        except BaseException:
            cage.close()
            raise
        self._cage = cage
        return contract, replace(description, notes=(*notes, *description.notes))

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
        arrays = [
            _fit(port, array) for port, array in zip(self._ports(inputs), inputs, strict=True)
        ]
        counts = {len(array) for array in arrays}
        if len(counts) != 1 or not max(counts):
            raise ModelContractError(
                f"Inputs of {sorted(counts)} rows must agree, with at least 1."
            )
        total, rows, parts, start = counts.pop(), self._batch, [], 0
        most = self._most_rows()
        while start < total:
            step = min(most, self._pace) // rows * rows or rows
            began = time.monotonic()
            parts.append(self._run([array[start : start + step] for array in arrays], rows))
            start += step
            # The next message holds what takes a second or two, so that each is answered in time.
            took = max(time.monotonic() - began, 1e-3)
            self._pace = max(1, min(8 * self._pace, int(step * MESSAGE_SECONDS / took)))
        self.queries += total
        if any(len({answer.shape[1:] for answer in side}) > 1 for side in zip(*parts, strict=True)):
            raise ModelContractError("Answers to some rows have another shape than to others.")
        return [np.concatenate(side) for side in zip(*parts, strict=True)]

    def _ports(self, inputs: Sequence[Any]) -> tuple[Port, ...]:
        wanted = self.contract.inputs
        if len(inputs) != len(wanted):
            raise ModelContractError(
                f"The model takes {len(wanted)} inputs ({', '.join(map(str, wanted))}), not "
                f"{len(inputs)}."
            )
        return wanted

    def _most_rows(self) -> int:
        """Rows whose inputs and answers fit into a message."""
        row_bytes = [
            sum(math.prod(port.stated.shape[1:]) * 8 for port in side)
            for side in (self.contract.inputs, self.contract.outputs)
        ]
        return max(1, MESSAGE_BYTES // max(1, *row_bytes))

    @property
    def _batch(self) -> int:
        sizes = [port.shape[0] for port in self.contract.inputs if port.shape]
        return next((size for size in sizes if size), 1)

    def _run(self, arrays: list[NDArray[Any]], rows: int) -> list[NDArray[Any]]:
        count = len(arrays[0])
        missing = -count % rows
        if missing:
            arrays = [
                np.concatenate([a, np.zeros((missing, *a.shape[1:]), a.dtype)]) for a in arrays
            ]
        _, answers, _ = self._ask("run", arrays)
        if len(answers) != len(self.contract.outputs):
            raise ModelContractError(
                f"The model gave {len(answers)} outputs; its contract has "
                f"{len(self.contract.outputs)}."
            )
        for port, answer in zip(self.contract.outputs, answers, strict=True):
            sizes = zip(port.shape[1:], answer.shape[1:], strict=False)
            fits = answer.ndim == len(port.shape) > 0 and all(s in (None, n) for s, n in sizes)
            if answer.dtype.name != port.dtype or not fits:
                raise ModelContractError(
                    f"Output {port} came as {answer.dtype} of shape {answer.shape}."
                )
        # Outputs whose first size is no batch are kept as they are.
        return [answer[:count] if len(answer) == count + missing else answer for answer in answers]

    def reset(self) -> None:
        """Forget what earlier rows left behind in a model that keeps state."""
        self._ask("reset")

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
        _, answers, _ = self._ask(
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
        cage = self._start(self._runtime)
        try:
            header, _, _ = cage.ask(
                "peak-memory", self.zeros(), blob=self._data, threads=self.threads
            )
        except _FAILURES as error:
            self._record("peak-memory", error)
            raise
        finally:
            cage.close()
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
            header, arrays, _ = self._ask("graph")
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
        computed = sum(4 * t.size // max(1, *t.shape[:1]) for t in graph.tensors if t.data is None)
        if computed > MAX_ROW_BYTES:
            raise ModelContractError(
                f"A replica would take {computed:,} bytes a row; at most {MAX_ROW_BYTES:,} are "
                "allowed."
            )
        header, arrays = graphs.encode(graph)
        cage = self._start("tflite")
        try:
            cage.ask("rehearse", arrays, graph=header, rounding=rounding, logits=logits)
        except ModelRefusedError as error:
            raise ModelContractError(f"No replica: {error}") from error
        except _FAILURES as error:
            self._record("rehearse", error)
            raise
        finally:
            cage.close()
        from helpers.edge.replica import build_replica

        try:
            return build_replica(graph, rounding, logits=logits)
        except (EdgeError, ValueError, TypeError) as error:  # as in the rehearsal, if ever
            raise ModelContractError(f"No replica: {error}") from error

    # ------------------------------------------------------------------ the process

    def _ask(
        self, do: str, arrays: Sequence[NDArray[Any]] = (), **details: Any
    ) -> tuple[dict[str, Any], list[NDArray[Any]], bytes]:
        """Ask the worker; after a crash ask a new one, once."""
        if self._cage is None or not self._cage.is_open:
            self._restart()
        assert self._cage is not None
        try:
            return self._cage.ask(do, arrays, **details)
        except _FAILURES as error:
            self._record(do, error)
            # What a model with state was told before is lost with its process.
            lost = not self._restarts or (do == "run" and self.contract.stateful)
            if lost or not isinstance(error, ModelCrashError):
                raise
        return self._ask(do, arrays, **details)

    def _restart(self) -> None:
        if not self._restarts:
            raise ModelCrashError(
                f"The file has ended its process {len(self.incidents)} times; it is not run again."
            )
        self._restarts -= 1
        contract, _ = self._open()
        if contract != self.contract:
            self.close()
            raise ModelRefusedError("The file states another contract each time it is opened.")

    def _record(self, during: str, error: AuditError) -> None:
        kinds = {
            ModelCrashError: "crash",
            ModelTimeoutError: "time-out",
            ModelMemoryError: "memory",
        }
        self.incidents.append(Incident(kinds[type(error)], during, str(error)))

    def close(self) -> None:
        """End the worker; closing twice is fine."""
        self._restarts = 0
        if self._cage is not None:
            self._cage.close()
        if self.float_model is not None:
            self.float_model.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _fit(port: Port, array: NDArray[Any]) -> NDArray[Any]:
    given = np.ascontiguousarray(array)
    if not port.shape:
        raise ModelContractError(f"Input {port} has no batch: the audit asks models row by row.")
    sizes = zip(port.shape[1:], given.shape[1:], strict=False)
    fits = given.ndim == len(port.shape) and all(size in (None, got) for size, got in sizes)
    if given.dtype.name != port.dtype or not fits:
        raise ModelContractError(
            f"Input {port} does not take {given.dtype} of shape {given.shape}."
        )
    return given


def _require_same_sizes(model: UntrustedModel, other: UntrustedModel) -> None:
    if (model.task.kind, other.task.kind) != ("classifier", "classifier") or (
        model.contract.inputs[0].shape[1:] != other.contract.inputs[0].shape[1:]
        or model.task.classes != other.task.classes
    ):
        raise ModelContractError(
            f"float_model takes {other.contract.inputs[0]} and gives {other.contract.outputs[0]}; "
            f"the model takes {model.contract.inputs[0]} and gives {model.contract.outputs[0]}."
        )
