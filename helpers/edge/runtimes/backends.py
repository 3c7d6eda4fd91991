"""The runtimes themselves, each behind the same four calls. A worker loads one of them.

Every backend takes and gives numbers in the file's own types; turning real numbers into codes is
the caller's part (:class:`helpers.edge.runtimes.runner.Runner`), so that it is done in one way.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from helpers.edge.artefact import Contract, TensorContract

CONTRACT_KEY = "edgesec.contract"
OpenShape = tuple[int | None, ...]


class Backend(Protocol):
    """One loaded model in one runtime.

    Attributes
    ----------
    contract
        What the model takes and gives, as the runtime states it.
    rows
        Rows that one run takes; 0 if it takes any number.
    """

    contract: Contract
    rows: int

    def put(self, inputs: Sequence[NDArray[Any]]) -> None:
        """Hand over the inputs of one run."""

    def invoke(self) -> None:
        """Run."""

    def take(self) -> list[NDArray[Any]]:
        """Return the outputs of the last run."""

    def reset(self) -> None:
        """Forget what earlier runs left behind."""

    def open_shapes(self) -> tuple[list[OpenShape], list[OpenShape]]:
        """Return the shapes of the inputs and of the outputs; None is a size left open."""


def load(runtime: str, data: bytes, threads: int, sizes: Sequence[int] | None = None) -> Backend:
    """Load a model.

    Parameters
    ----------
    runtime
        ``"litert"``, ``"tflite"``, ``"onnxruntime"`` or ``"executorch"``.
    data
        The model file.
    threads
        Threads of one run.
    sizes
        Of the first input beyond the batch, for a ``.tflite`` file that leaves them open.
    """
    make = load_runtime(runtime)
    if sizes is None or runtime not in ("litert", "tflite"):
        return make(data, threads)
    return make(data, threads, sizes)


def load_runtime(runtime: str) -> Callable[..., Backend]:
    """Import a runtime's library; return what loads a model into it."""
    if runtime == "litert":
        from ai_edge_litert.interpreter import Interpreter as LiteRT

        return partial(_TFLite, LiteRT)
    if runtime == "tflite":
        import tensorflow as tf

        return partial(_TFLite, tf.lite.Interpreter)
    if runtime == "onnxruntime":
        import onnxruntime

        return partial(_OnnxRuntime, onnxruntime)
    from helpers.edge.runtimes.executorch import Program

    return Program


def run_rows(backend: Backend, inputs: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
    """Run any number of rows, a batch of the model's own size at a time, in their order."""
    total = len(inputs[0])
    step = backend.rows or total
    answers = []
    for start in range(0, total, step):
        backend.put([array[start : start + step] for array in inputs])
        backend.invoke()
        answers.append(backend.take())
    return [np.concatenate(parts) for parts in zip(*answers, strict=True)]


def time_runs(
    backend: Backend, inputs: Sequence[NDArray[Any]], warm_up: int, repeats: int
) -> NDArray[np.float64]:
    """Return the seconds of each run, float64 ``(repeats,)``; copying in and out is left out."""
    backend.put(inputs)
    for _ in range(warm_up):
        backend.invoke()
    seconds = np.empty(repeats)
    for index in range(repeats):
        start = time.perf_counter_ns()
        backend.invoke()
        seconds[index] = (time.perf_counter_ns() - start) * 1e-9
    return seconds


class _TFLite:
    """TensorFlow Lite and LiteRT: the same interface, two builds years apart."""

    def __init__(
        self, interpreter: Any, data: bytes, threads: int, sizes: Sequence[int] | None = None
    ) -> None:
        self._make = lambda: interpreter(model_content=data, num_threads=threads)
        self._sizes = sizes
        self.reset()
        inputs, outputs = self._engine.get_input_details(), self._engine.get_output_details()
        self._inputs = [item["index"] for item in inputs]
        self._outputs = [item["index"] for item in outputs]
        self.contract = Contract(
            tuple(map(_tflite_contract, inputs)), tuple(map(_tflite_contract, outputs))
        )
        shape = self.contract.inputs[0].shape
        self.rows = shape[0] if shape else 1

    def reset(self) -> None:
        # Resource variables have no reset of their own, so the interpreter is made anew.
        self._engine = self._make()
        if self._sizes is not None:
            first = self._engine.get_input_details()[0]
            whole = [*first["shape"][:1], *self._sizes]
            self._engine.resize_tensor_input(first["index"], whole, strict=True)
        self._engine.allocate_tensors()

    def put(self, inputs: Sequence[NDArray[Any]]) -> None:
        for index, array in zip(self._inputs, inputs, strict=True):
            self._engine.set_tensor(index, array)

    def invoke(self) -> None:
        self._engine.invoke()

    def take(self) -> list[NDArray[Any]]:
        return [self._engine.get_tensor(index) for index in self._outputs]

    def open_shapes(self) -> tuple[list[OpenShape], list[OpenShape]]:
        def sizes(item: dict[str, Any]) -> OpenShape:
            stated = item["shape_signature"] if len(item["shape_signature"]) else item["shape"]
            return tuple(int(size) if size >= 0 else None for size in stated)

        details = self._engine.get_input_details(), self._engine.get_output_details()
        return list(map(sizes, details[0])), list(map(sizes, details[1]))


def _tflite_contract(item: dict[str, Any]) -> TensorContract:
    scale, zero = item["quantization"]
    shape = tuple(int(size) for size in item["shape"])
    return TensorContract(
        item["name"], shape, np.dtype(item["dtype"]).name, float(scale), int(zero)
    )


class _OnnxRuntime:
    def __init__(self, onnxruntime: Any, data: bytes, threads: int) -> None:
        onnxruntime.set_default_logger_severity(3)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            data, options, providers=["CPUExecutionProvider"]
        )
        self._feed: dict[str, NDArray[Any]] = {}
        self._answer: list[NDArray[Any]] = []
        self.contract = self._read_contract()
        first = self._session.get_inputs()[0].shape
        self.rows = first[0] if first and isinstance(first[0], int) else 0

    def _read_contract(self) -> Contract:
        """Return the contract the converter stored, or what the graph states without scales."""
        stored = self._session.get_modelmeta().custom_metadata_map.get(CONTRACT_KEY)
        if stored is not None:
            return Contract.from_json(stored)
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        return Contract(tuple(map(_onnx_contract, inputs)), tuple(map(_onnx_contract, outputs)))

    def put(self, inputs: Sequence[NDArray[Any]]) -> None:
        names = [item.name for item in self._session.get_inputs()]
        self._feed = dict(zip(names, inputs, strict=True))

    def invoke(self) -> None:
        self._answer = self._session.run(None, self._feed)

    def take(self) -> list[NDArray[Any]]:
        return self._answer

    def open_shapes(self) -> tuple[list[OpenShape], list[OpenShape]]:
        def sizes(item: Any) -> OpenShape:
            return tuple(
                size if isinstance(size, int) and size >= 0 else None for size in item.shape
            )

        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        return list(map(sizes, inputs)), list(map(sizes, outputs))

    def reset(self) -> None:
        """Nothing to forget: a session keeps no state."""


_ONNX_TYPES = {
    "tensor(float)": "float32",
    "tensor(double)": "float64",
    "tensor(float16)": "float16",
}


def _onnx_contract(item: Any) -> TensorContract:
    kind = _ONNX_TYPES.get(item.type, item.type.removeprefix("tensor(").removesuffix(")"))
    # A size that is left open is a name or None; one row then stands for it.
    shape = tuple(size if isinstance(size, int) else 1 for size in item.shape)
    return TensorContract(item.name, shape, kind)


def describe_memory() -> dict[str, int]:
    """Return this process's resident memory and its peak in bytes, as Linux counts them."""
    found = {}
    with open("/proc/self/status", encoding="ascii") as status:  # noqa: PTH123  a kernel file
        for line in status:
            if line.startswith(("VmRSS:", "VmHWM:")):
                found[line[:5]] = int(line.split()[1]) * 1024
    return {"resident": found["VmRSS"], "peak": found["VmHWM"]}


def forget_peak_memory() -> None:
    """Start the count of peak memory afresh from what is resident now."""
    with open("/proc/self/clear_refs", "w", encoding="ascii") as reset:  # noqa: PTH123
        reset.write("5")
