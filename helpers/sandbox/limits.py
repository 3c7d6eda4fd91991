"""What an untrusted program may use."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from helpers.errors import SandboxError

MB, GB = 2**20, 2**30


@dataclass(frozen=True)
class Limits:
    """What an untrusted program may use. The defaults let TensorFlow train a small model.

    Parameters
    ----------
    seconds : float
        Wall-clock time from start to end.
    cpu_seconds : int
        Processor time of one process.
    memory : int
        Bytes of address space of one process; TensorFlow needs 4 GB of it, most of it unused.
    group_memory : int
        Bytes that all its processes together may hold in memory.
    processes : int
        Processes and threads together.
    disk, shared_memory : int
        Bytes in the private folder and in ``/dev/shm``.
    file_size : int
        Bytes of one file.
    open_files, group_files : int
        File descriptors of one process, and of all its processes together: what lies in a socket
        is memory that belongs to no process.
    output : int
        Bytes on standard error.
    niceness : int
        How far it steps back behind other programs, 0 to 19.

    Raises
    ------
    SandboxError
        If a limit other than ``niceness`` is not positive.
    """

    seconds: float = 600.0
    cpu_seconds: int = 1200
    memory: int = 4 * GB
    group_memory: int = 3 * GB
    processes: int = 256
    disk: int = 256 * MB
    shared_memory: int = 64 * MB
    file_size: int = 128 * MB
    open_files: int = 256
    group_files: int = 2048
    output: int = 32 * MB
    niceness: int = 5

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not value > 0 and name != "niceness":
                raise SandboxError(f"limit {name} is {value}; it must be more than 0")

    def policy(self) -> dict[str, Any]:
        """Return the limits as plain data."""
        return asdict(self)
