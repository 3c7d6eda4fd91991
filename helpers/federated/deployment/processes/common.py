"""What every process of a deployment does first: die with its parent, and stay small."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import sys
import time
from pathlib import Path

from helpers._files import take_lock

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
PARENT_VARIABLE = "EDGESEC_PARENT"
# Flower imports these where it finds them; nothing here needs them.
_NOT_NEEDED = ("tensorflow", "torch", "jax", "ray", "pandas", "typer.rich_utils")


def stay_small() -> None:
    """Make the heavy libraries unimportable, and Flower keep quiet; call before importing flwr.

    ``import flwr`` imports TensorFlow where it is installed (about 600 MB in each process).

    Raises
    ------
    RuntimeError
        If one of them is loaded already.
    """
    os.environ["FLWR_TELEMETRY_ENABLED"] = "0"
    for name in _NOT_NEEDED:
        if name in sys.modules:
            raise RuntimeError(f"{name} is loaded already: call stay_small() first.")
        sys.modules[name] = None  # type: ignore[assignment]


def die_with_parent() -> None:
    """Have the system end this process when its supervisor ends, however that happens.

    Does nothing where no supervisor started it: on a real host a service manager does this.
    """
    parent = int(os.environ.get(PARENT_VARIABLE, "0"))
    if not parent:
        return
    with contextlib.suppress(OSError, AttributeError):  # not Linux
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before the line above
        os._exit(1)


def work_alone(path: Path) -> None:
    """End this process where another of its kind works on the same state."""
    if take_lock(path) is None:
        sys.exit(f"Another process holds {path}: end that one first.")


def free_ports(count: int) -> list[int]:
    """Return ports that are free on the loopback interface, all different."""
    with contextlib.ExitStack() as stack:
        opened = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
        for one in opened:
            stack.enter_context(one)
        return [one.getsockname()[1] for one in opened]


class Pace:
    """Waits between two looks for work: short after there was some, longer the longer not.

    Looking ten times a second costs a node little; many idle nodes would keep the server busy.
    """

    def __init__(self, shortest: float = 0.05, longest: float = 1.0) -> None:
        self._shortest, self._longest = shortest, longest
        self._next = shortest

    def worked(self) -> None:
        """Note that there was work."""
        self._next = self._shortest

    def wait(self) -> None:
        """Wait, and longer next time."""
        time.sleep(self._next)
        self._next = min(1.25 * self._next, self._longest)


def poll_quickly() -> None:
    """Shorten the first wait of Flower's own retries.

    A message is announced before its parts have arrived. Who asks for the parts too early waits a
    second, then two, then four; here 20 ms first and half a second at most.
    """
    from flwr.common import inflatable_utils

    for pull in (inflatable_utils.pull_objects, inflatable_utils.pull_and_inflate_object_from_tree):
        (pull.__kwdefaults__ or {}).update(initial_backoff=0.02, backoff_cap=0.5)
