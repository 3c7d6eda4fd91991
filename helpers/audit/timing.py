"""What one run takes in time and memory, measured inside the sandbox."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from helpers.audit import claims
from helpers.audit.session import Session
from helpers.errors import AuditError, ModelRefusedError

MAX_RUNS = 1_000_000


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


def time_runs(
    session: Session, inputs: Sequence[NDArray[Any]], runs: int, threads: int, warm_up: int
) -> NDArray[np.float64]:
    """Time single runs on the same inputs; the pipe and copying are left out.

    Parameters
    ----------
    session
        The open model.
    inputs
        Of one run, in the file's own numbers.
    runs, warm_up
        Runs that count, and runs before them that do not.
    threads
        Threads of one run.

    Returns
    -------
    numpy.ndarray
        Seconds of each run, float64 ``(runs,)``.

    Raises
    ------
    AuditError
        If a count is out of its range.
    ModelRefusedError
        If the process answers no such seconds.
    """
    for name, value, least in (("runs", runs, 1), ("warm_up", warm_up, 0)):
        if isinstance(value, bool) or not least <= value <= MAX_RUNS:
            raise AuditError(f"{name}={value!r} must lie between {least} and {MAX_RUNS:,}.")
    _, answers, _ = session.ask("time", inputs, threads=threads, warm_up=warm_up, repeats=runs)
    if len(answers) != 1 or answers[0].shape != (runs,) or answers[0].dtype != np.float64:
        raise ModelRefusedError("The process that runs the file did not answer with latencies.")
    if not (np.isfinite(answers[0]).all() and (answers[0] >= 0).all()):
        raise ModelRefusedError("The process that runs the file answered impossible latencies.")
    return answers[0]


def measure_memory(
    session: Session, inputs: Sequence[NDArray[Any]], within: float | None = None
) -> PeakMemory:
    """Measure the memory of a fresh process that loads the model and runs it once.

    Parameters
    ----------
    session
        The open model.
    inputs
        Of one run, in the file's own numbers.
    within
        Seconds it may take; None leaves it to the budget of the file.

    Returns
    -------
    PeakMemory
        What Linux counts as resident, so shared libraries are in it.
    """
    header, _, _ = session.ask_apart(
        "peak-memory", inputs, within=within, blob=session.data, threads=session.threads
    )
    return PeakMemory(*(claims.whole(header.get(name)) for name in ("runtime", "model")))
