"""One way to run a model file, whichever runtime runs it.

:func:`open_model` returns a :class:`~helpers.edge.runtimes.runner.Runner` with ``predict``. Files
are read and checked first, and run in a process of their own, unless told otherwise.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Literal

from helpers.edge.artefact import Artefact, Format, as_artefact, contract_of
from helpers.edge.runtimes.process import MEMORY_LIMIT, Worker
from helpers.edge.runtimes.runner import Engine, LocalEngine, RemoteEngine, Runner
from helpers.errors import EdgeError

Runtime = Literal["litert", "tflite", "onnxruntime", "executorch"]

FORMATS: dict[str, Format] = {
    "litert": "tflite",
    "tflite": "tflite",
    "onnxruntime": "onnx",
    "executorch": "pte",
}
MAX_THREADS = 64


def open_model(
    model: Artefact | str | os.PathLike[str],
    runtime: Runtime | None = None,
    *,
    threads: int = 1,
    isolated: bool = True,
    timeout: float = 120.0,
    memory_limit: int = MEMORY_LIMIT,
) -> Runner:
    """Open a model file in a runtime.

    A ``.tflite`` file is first read in Python, and refused if an offset, a size or an index in it
    is impossible: TensorFlow Lite itself would crash on many of those. What passes is opened in a
    worker process, so a crash, a hang or a flood of memory ends the worker and becomes an error
    here. The worker is no cage against code that a hostile file might manage to run: for a file
    from somebody you do not trust there is :mod:`helpers.audit.model`, which opens it in a sandbox.

    Parameters
    ----------
    model
        Path of a ``.tflite``, ``.onnx`` or ``.pte`` file, or an artefact.
    runtime
        ``"litert"``, ``"tflite"`` (TensorFlow's own build), ``"onnxruntime"`` or ``"executorch"``.
        None takes the first that reads the format.
    threads
        Threads of one run.
    isolated
        Whether to run in a worker process. False is quicker to start, and only for files that you
        have made yourself: a bug met in the runtime then ends this process.
    timeout
        Seconds that the worker may take for one answer.
    memory_limit
        Bytes of address space that the worker may use.

    Returns
    -------
    Runner
        The open model; close it, or use it as a context manager.

    Raises
    ------
    EdgeError
        If the file is damaged, the runtime does not read its format or refuses it, crashes, or
        takes too long.
    """
    artefact = as_artefact(model)
    chosen = choose_runtime(artefact, runtime, threads)
    if chosen == "executorch" and not isolated:
        raise EdgeError("ExecuTorch lives in an environment of its own: it needs isolated=True.")
    contract = contract_of(artefact.graph()) if artefact.format == "tflite" else None
    engine: Engine
    if isolated:
        worker = start_worker(chosen, timeout, memory_limit)
        engine = RemoteEngine(artefact, worker, threads)
    else:
        engine = LocalEngine(artefact, chosen, threads)
    # Only the file knows whether it keeps state; only the runtime knows the rest for sure.
    stateful = contract is not None and contract.stateful
    return Runner(engine, chosen, replace(engine.contract, stateful=stateful), threads)


def start_worker(runtime: str, timeout: float = 120.0, memory_limit: int = MEMORY_LIMIT) -> Worker:
    """Start a worker for a runtime, in the environment that the runtime lives in."""
    if runtime != "executorch":
        return Worker(runtime, None, timeout, memory_limit)
    from helpers.edge.runtimes.executorch_install import python

    return Worker(runtime, python(), timeout, memory_limit)


def choose_runtime(artefact: Artefact, runtime: str | None, threads: int) -> str:
    """Return the runtime for a file, the first that reads its format if none is asked for.

    Raises
    ------
    EdgeError
        If the runtime is unknown or reads another format, or ``threads`` is out of range.
    """
    chosen = runtime or next(name for name, f in FORMATS.items() if f == artefact.format)
    if chosen not in FORMATS:
        raise EdgeError(
            f"runtime={chosen!r} is not known: choose one of {', '.join(FORMATS)}. For TensorRT "
            "see `edgesec edge tensorrt`."
        )
    if FORMATS[chosen] != artefact.format:
        raise EdgeError(
            f"{chosen} reads .{FORMATS[chosen]} files; {artefact.name} is .{artefact.format}."
        )
    if isinstance(threads, bool) or not 1 <= threads <= MAX_THREADS:
        raise EdgeError(f"threads={threads!r} must be a whole number from 1 to {MAX_THREADS}.")
    return chosen
