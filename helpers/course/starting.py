"""Start one notebook's process, and learn how it ended and what it took."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class Ended:
    """How a process ended; its time and memory count what it started, where that has ended too.

    Attributes
    ----------
    code
        Its exit code, or minus the signal that ended it.
    cpu_seconds, peak_memory_mb
        What it took; the memory is the largest that one of its processes held.
    """

    code: int
    cpu_seconds: float
    peak_memory_mb: float

    @classmethod
    def of(cls, status: int, usage: object) -> Ended:
        """Read what ``os.wait4`` returns."""
        seconds = getattr(usage, "ru_utime", 0.0) + getattr(usage, "ru_stime", 0.0)
        memory = getattr(usage, "ru_maxrss", 0) / 1024
        return cls(os.waitstatus_to_exitcode(status), round(seconds, 2), round(memory, 1))


class Process(Protocol):
    """A process that runs one job."""

    def poll(self) -> Ended | None:
        """Return how it ended, or None while it runs."""

    def terminate(self) -> None:
        """Ask it to end."""


class Starter(Protocol):
    """Starts processes; each is a session of its own, whose output goes to a file."""

    def start(
        self, module: str, job: Path, folder: Path, environment: Mapping[str, str], log: Path
    ) -> Process:
        """Run ``python -m module job parent`` in a folder; the last is the process's parent."""


class Fresh:
    """Starts a new interpreter for each: what it takes is what it takes on a learner's machine."""

    def start(
        self, module: str, job: Path, folder: Path, environment: Mapping[str, str], log: Path
    ) -> Process:
        """Run ``python -m module job parent`` in a folder; the last is the process's parent."""
        # A file and not a pipe: a process that a notebook leaves behind cannot hold the run up.
        with log.open("wb") as output:
            started = subprocess.Popen(
                [sys.executable, "-m", module, str(job), str(os.getpid())],
                cwd=folder, env=dict(environment), stdin=subprocess.DEVNULL, stdout=output,
                stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        return _Child(started)


class _Child:
    def __init__(self, started: subprocess.Popen[bytes]) -> None:
        self._started = started
        self._ended: Ended | None = None

    def poll(self) -> Ended | None:
        if self._ended is None:
            pid, status, usage = os.wait4(self._started.pid, os.WNOHANG)
            if pid:
                self._ended = Ended.of(status, usage)
                self._started.returncode = self._ended.code
        return self._ended

    def terminate(self) -> None:
        if self._ended is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._started.pid, signal.SIGTERM)
