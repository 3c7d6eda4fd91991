"""A runtime in the sandbox, and messages to it: whatever happens inside, the caller gets an answer.

The program inside is :mod:`helpers.audit.worker`. It gets the file's bytes over its pipe, so of the
computer it sees the system's libraries, this Python, and nothing of its user's.
"""

from __future__ import annotations

import functools
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

import helpers
from helpers.audit import claims
from helpers.edge.runtimes import wire
from helpers.errors import (
    AuditError,
    ModelCrashError,
    ModelMemoryError,
    ModelRefusedError,
    ModelTimeoutError,
    SandboxError,
)
from helpers.sandbox import Layers, Limits, Sandbox
from helpers.sandbox.launch import REFUSED
from helpers.sandbox.limits import GB, MB
from helpers.sandbox.process import MEMORY_ENDING

NAMES = {"litert": "LiteRT", "tflite": "TensorFlow", "onnxruntime": "ONNX Runtime"}
MAX_HEADER = 8 * MB  # of one answer
MAX_ANSWER = 256 * MB
# What TensorFlow and ONNX Runtime reserve of addresses and never use.
_RESERVED = 5 * GB
_THREADS = (
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
)  # fmt: skip


@dataclass(frozen=True)
class Budget:
    """What a stranger's file may use.

    Parameters
    ----------
    seconds
        Wall-clock time for one answer: opening the file, or one batch of rows.
    total_seconds
        Wall-clock time of one worker from its start to its end.
    memory
        Bytes that a worker may hold in memory.
    file_bytes
        Size of the file.
    """

    seconds: float = 120.0
    total_seconds: float = 6 * 3600.0
    memory: int = 3 * GB
    file_bytes: int = 256 * MB

    def limits(self) -> Limits:
        """Return the limits of the sandbox; a latency is not to be measured at low priority."""
        return Limits(
            seconds=self.total_seconds, cpu_seconds=int(4 * self.total_seconds),
            memory=self.memory + _RESERVED, group_memory=self.memory, disk=2 * self.file_bytes,
            file_size=2 * self.file_bytes, niceness=0,
        )  # fmt: skip


def find_layers(unsafe: bool = False) -> Layers:
    """Return the layers of the sandbox that this machine can put up.

    Raises
    ------
    SandboxError
        If one is missing and ``unsafe`` does not allow it.
    """
    from helpers.sandbox.probes import refuse_missing

    layers, problems = _available()
    if not unsafe:
        refuse_missing(
            problems,
            "Audit on a Linux machine or virtual machine where `edgesec grade --check-sandbox` "
            "holds, or, only for a file that you have made yourself, without these layers "
            "(unsafe).",
        )
    return layers


@functools.cache
def _available() -> tuple[Layers, dict[str, str]]:
    from helpers.sandbox.probes import available

    return available()


class Cage:
    """A worker in a sandbox.

    Parameters
    ----------
    runtime
        What it loads: ``"litert"``, ``"tflite"`` (TensorFlow's own build, which also serves
        Keras files) or ``"onnxruntime"``.
    budget
        What it may use.
    layers
        What holds it.
    """

    def __init__(self, runtime: str, budget: Budget, layers: Layers) -> None:
        self.runtime, self._budget = runtime, budget
        root = str(Path(helpers.__file__).resolve().parents[1])
        self._box = Sandbox(
            [sys.executable, "-P", "-m", "helpers.audit.worker", runtime],
            limits=budget.limits(),
            layers=layers,
            environment={
                "PYTHONPATH": root,
                "TF_CPP_MIN_LOG_LEVEL": "3",
                "TF_ENABLE_ONEDNN_OPTS": "0",
                **dict.fromkeys(_THREADS, str(min(2, os.cpu_count() or 1))),
            },
        )
        self.is_open = True

    def ask(
        self,
        do: str,
        arrays: Sequence[NDArray[Any]] = (),
        blob: bytes = b"",
        **details: Any,
    ) -> tuple[dict[str, Any], list[NDArray[Any]], bytes]:
        """Send a message and return its answer, of which nothing is believed yet.

        Parameters
        ----------
        do
            What to do.
        arrays, blob, **details
            What travels with it.

        Raises
        ------
        ModelRefusedError
            If the worker says that it cannot, or answers nonsense.
        ModelCrashError, ModelTimeoutError, ModelMemoryError
            If it has ended in one of these ways.
        SandboxError
            If the sandbox cannot be put up.
        """
        if not self.is_open:
            raise AuditError("The worker has ended; open the model again.")
        deadline = time.monotonic() + self._budget.seconds
        try:
            self._box.write(wire.pack({"do": do, **details}, arrays, blob), self._budget.seconds)
            header, answers, content = wire.unpack(
                lambda count: self._box.read(count, deadline - time.monotonic()),
                MAX_HEADER,
                MAX_ANSWER,
            )
        except SandboxError:
            raise self._ended(do, deadline) from None
        except wire.WireError as error:
            self._end()
            raise ModelRefusedError(
                f"During {do!r} the process that runs the file answered {claims.text(str(error))}; "
                "it was ended. A runtime does not do that by itself: treat the file as hostile."
            ) from None
        if "error" in header:
            said = claims.text(header["error"], 500)
            if said.startswith("MemoryError"):
                raise self._memory(do)
            if said.startswith("EdgeError: "):  # our own reader's words
                raise ModelRefusedError(f"Refused: {said.removeprefix('EdgeError: ')}")
            raise ModelRefusedError(f"{NAMES[self.runtime]} refuses to {do} it: {said}")
        return header, answers, content

    def hurry(self, seconds: float) -> bool:
        """Give each answer at most so many seconds; say whether that is less than before."""
        if seconds >= self._budget.seconds:
            return False
        self._budget = replace(self._budget, seconds=max(seconds, 0.1))
        return True

    def close(self) -> None:
        """End the worker; closing twice is fine."""
        self._end()

    def _end(self) -> None:
        if self.is_open:
            self.is_open = False
            self._box.close()

    def _ended(self, do: str, deadline: float) -> AuditError | SandboxError:
        """Say why the worker is gone, and let go of it."""
        how, status = self._box.describe_end(), self._box.exit_status
        self._end()
        said = claims.text(self._box.errors.strip().rpartition("\n")[2])
        if status == REFUSED and not self._box.ending:
            return SandboxError(f"The sandbox cannot be put up: {said}")
        if how.startswith(MEMORY_ENDING) or "bad_alloc" in said:
            return self._memory(do)
        if self._box.ending and (time.monotonic() >= deadline or how.startswith("it ran for")):
            return ModelTimeoutError(
                f"There was no answer to {do!r} within {self._budget.seconds:g} s; the process was "
                "ended. A larger budget of seconds gives it longer; the file may be hostile."
            )
        return ModelCrashError(
            f"During {do!r} the file ended {NAMES[self.runtime]}: {how}. This process is unharmed. "
            f"Do not run the file elsewhere.{f' Its last words: {said}' if said else ''}"
        )

    def _memory(self, do: str) -> ModelMemoryError:
        return ModelMemoryError(
            f"During {do!r} the file took more than {self._budget.memory / GB:g} GB of memory; a "
            "larger budget of memory gives it more."
        )
