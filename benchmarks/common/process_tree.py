"""CPU time and memory of a command and of everything that it starts, seen from outside.

A process that is killed reports to nobody what it used, and both a sandbox and a notebook's kernel
end that way. So the tree is looked at a few times a second, and the last look at each process
counts. What a process uses after that, less than one interval, is missed.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from helpers.sandbox.process import descendants

INTERVAL = 0.05  # seconds
_TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Used:
    """What a command used.

    Attributes
    ----------
    cpu_seconds, seconds
        Processor time of all its processes, and time by the clock.
    peak_megabytes
        The most that they held together in memory that no file backs.
    processes
        How many there were.
    status
        Exit status of the command; None where it was killed for taking too long.
    """

    cpu_seconds: float
    seconds: float
    peak_megabytes: float
    processes: int
    status: int | None


def run(command: Sequence[str], timeout: float, cwd: Path, environment: Mapping[str, str]) -> Used:
    """Run a command to its end, or for so many seconds, and say what it used."""
    started, cpu, peak, status = time.perf_counter(), dict[tuple[int, str], float](), 0, None
    process = subprocess.Popen(
        command, cwd=cwd, env={**os.environ, **environment}, start_new_session=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        while status is None and time.perf_counter() - started < timeout:
            tree = [process.pid, *descendants(process.pid)]
            for one in tree:
                cpu.update(_cpu(one))
            peak = max(peak, sum(map(_memory, tree)))
            time.sleep(INTERVAL)
            status = process.poll()
    finally:  # what was measured must not outlive the measurement
        for one in descendants(process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(one, signal.SIGKILL)
        process.kill()
        process.wait()
    seconds = time.perf_counter() - started
    return Used(sum(cpu.values()), seconds, peak / 2**20, len(cpu), status)


def _cpu(process: int) -> dict[tuple[int, str], float]:
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return {}
    return {(process, fields[19]): (int(fields[11]) + int(fields[12])) / _TICK}  # start time


def _memory(process: int) -> int:
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0
    return 1024 * sum(int(s.split()[1]) for s in lines if s.startswith(("RssAnon:", "RssShmem:")))
