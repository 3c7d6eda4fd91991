"""What a model costs on this machine: latency, memory and size, measured, not estimated.

A latency means nothing without its conditions, so a measurement carries them: runtime, threads,
warm-up, and the spread as percentiles. Nothing measured on a desktop says what a device will do: an
int8 model that is slower than float here may be the faster one there.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from helpers.edge._checks import require_whole
from helpers.edge.arena import plan_arena
from helpers.edge.artefact import Artefact, as_artefact
from helpers.edge.macs import count_costs
from helpers.edge.runtimes import Runner, Runtime, choose_runtime, start_worker
from helpers.errors import EdgeError

PERCENTILES = (5, 50, 95, 99)


@dataclass(frozen=True, eq=False)
class Latency:
    """Latency of single inferences.

    Attributes
    ----------
    runtime, threads, warm_up
        Conditions.
    seconds
        One a run, float64 ``(repeats,)``.
    """

    runtime: str
    threads: int
    warm_up: int
    seconds: NDArray[np.float64]

    def percentile(self, share: float) -> float:
        """Return the milliseconds that ``share`` percent of the runs stay below.

        Raises
        ------
        EdgeError
            If the share is not between 0 and 100, or there are no runs.
        """
        if not len(self.seconds) or np.isnan(self.seconds).any():
            raise EdgeError(f"{len(self.seconds)} runs, or one without a time: nothing to sum up.")
        if not 0 <= share <= 100:
            raise EdgeError(f"share={share!r} must lie between 0 and 100.")
        return float(np.percentile(self.seconds, share)) * 1e3

    def __str__(self) -> str:
        parts = ", ".join(f"p{share} {self.percentile(share):.3g}" for share in PERCENTILES)
        return (
            f"{self.runtime}, {self.threads} thread{'s' if self.threads > 1 else ''}, "
            f"{len(self.seconds)} runs after {self.warm_up}: {parts} ms"
        )


@dataclass(frozen=True)
class Memory:
    """Memory of a process that runs one model.

    Attributes
    ----------
    runtime_bytes
        Resident once the runtime is loaded, before the model.
    peak_bytes
        Most that loading the model and running it added to that.
    """

    runtime_bytes: int
    peak_bytes: int


@dataclass(frozen=True)
class Size:
    """What a ``.tflite`` file takes, read from the file.

    Attributes
    ----------
    file_bytes
        The file, as it lies in flash.
    weight_bytes
        Constants in it.
    arena_bytes
        Activations, planned as a microcontroller's runtime plans them.
    state_bytes
        Variables that live between runs.
    macs
        Multiply-accumulates of one inference.
    """

    file_bytes: int
    weight_bytes: int
    arena_bytes: int
    state_bytes: int
    macs: int


def measure_latency(runner: Runner, repeats: int = 200, warm_up: int = 20) -> Latency:
    """Time single inferences on an open model.

    Parameters
    ----------
    runner
        Open model; its runtime and threads are what is measured.
    repeats
        Runs that count.
    warm_up
        Runs before them that do not: the first ones fill caches and start threads.

    Returns
    -------
    Latency
        The time of each run; copying data in and out is left out.

    Raises
    ------
    EdgeError
        If ``repeats`` or ``warm_up`` is out of range, or the runtime fails.
    """
    require_whole("repeats", repeats, at_least=1)
    require_whole("warm_up", warm_up, at_least=0)
    warm_up, repeats = int(warm_up), int(repeats)  # NumPy's are no JSON
    seconds = runner.time(warm_up, repeats)
    return Latency(runner.runtime, runner.threads, warm_up, seconds)


def measure_memory(
    model: Artefact | str | os.PathLike[str], runtime: Runtime | None = None, threads: int = 1
) -> Memory:
    """Measure the memory of a fresh process that loads and runs a model.

    Parameters
    ----------
    model
        Path of a model file, or an artefact.
    runtime, threads
        As :func:`helpers.edge.runtimes.open_model`.

    Returns
    -------
    Memory
        What Linux counts as resident, so shared libraries are in it.

    Raises
    ------
    EdgeError
        If the file is damaged or the runtime fails.
    """
    artefact = as_artefact(model)
    chosen = choose_runtime(artefact, runtime, threads)
    if artefact.format == "tflite":
        artefact.graph()
    worker = start_worker(chosen)
    try:
        worker.ask("load-runtime")
        worker.ask("forget-peak")
        before = worker.ask("memory")[0]
        worker.ask("open", blob=artefact.data, what=artefact.name, threads=threads)
        worker.ask("run-zeros", what=artefact.name)
        after = worker.ask("memory")[0]
    finally:
        worker.close()
    return Memory(int(before["resident"]), max(0, int(after["peak"]) - int(before["resident"])))


def measure_size(model: Artefact | str | os.PathLike[str]) -> Size:
    """Read what a ``.tflite`` file takes; nothing is run.

    Parameters
    ----------
    model
        Path of a ``.tflite`` file, or an artefact.

    Returns
    -------
    Size
        Bytes and multiply-accumulates.

    Raises
    ------
    EdgeError
        If the file is damaged or has another format.
    """
    artefact = as_artefact(model)
    graph = artefact.graph()
    arena, costs = plan_arena(graph), count_costs(graph)
    constants = sum(tensor.num_bytes for tensor in graph.tensors if tensor.data is not None)
    return Size(artefact.num_bytes, constants, arena.planned_bytes, arena.state_bytes, costs.macs)
