"""What whoever may read a process's memory finds there: the models that it runs.

A sealed file is decrypted before a runtime can use it. From then on the model lies in ordinary
memory, and a debugger, a core dump or code running as the same user reads it back. This is that
attack, on Linux, for models in the format of TensorFlow Lite.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from helpers.edge.tflite.structure import IDENTIFIER, check_structure
from helpers.errors import EdgeError

MAX_REGION = 2**28  # bytes of memory searched at once; larger regions are reservations of a runtime
_IDENTIFIER_AT = 4  # where a FlatBuffer keeps its identifier


def carve_models(pid: int) -> list[bytes]:
    """Read the ``.tflite`` models out of the memory of a running process.

    The memory that the process can write is searched for the format's identifier. What follows it
    is kept if it is a well-formed file, cut off where its last part ends.

    Parameters
    ----------
    pid
        Process of the same user, or any for an administrator. Where the system lets a process read
        its children alone (Yama, the default of several distributions), it must be a child.

    Returns
    -------
    list of bytes
        The models, each once, in the order of their addresses.

    Raises
    ------
    EdgeError
        If there is no such process, or its memory may not be read.
    """
    found: dict[bytes, None] = {}
    try:
        for region in _regions(pid):
            found.update(dict.fromkeys(carve(region)))
    except OSError as refused:
        raise EdgeError(
            f"The memory of process {pid} cannot be read: {refused.strerror}. It must run, belong "
            "to you, and may have to be a child of this process."
        ) from refused
    return list(found)


def carve(memory: bytes) -> Iterator[bytes]:
    """Find the ``.tflite`` models in a piece of memory.

    Parameters
    ----------
    memory
        Any bytes.

    Yields
    ------
    bytes
        A well-formed model, cut off where its last part ends.
    """
    at = memory.find(IDENTIFIER)
    while at >= 0:
        start = at - _IDENTIFIER_AT
        if start >= 0 and _is_whole(memory[start:]):
            yield _shortest(memory[start:])
        at = memory.find(IDENTIFIER, at + 1)


def _regions(pid: int) -> Iterator[bytes]:
    """Read the private memory that a process can write, a mapping at a time."""
    folder = Path(f"/proc/{pid}")
    with (folder / "mem").open("rb", buffering=0) as memory:
        for line in (folder / "maps").read_text().splitlines():
            span, rights = line.split()[:2]
            start, end = (int(edge, 16) for edge in span.split("-"))
            if rights.startswith("rw") and end - start <= MAX_REGION:
                memory.seek(start)
                yield memory.read(end - start)


def _is_whole(content: bytes) -> bool:
    try:
        check_structure(content)
    except EdgeError:
        return False
    return True


def _shortest(content: bytes) -> bytes:
    """Cut a model off behind its last part: the shortest beginning that is well-formed."""
    short, long = 0, len(content)  # too short, long enough
    while long - short > 1:
        middle = (short + long) // 2
        if _is_whole(content[:middle]):
            long = middle
        else:
            short = middle
    return content[:long]
