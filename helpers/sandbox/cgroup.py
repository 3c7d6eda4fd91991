"""One more cap over all processes of a sandbox, kept by the kernel: a cgroup of version 2.

It can be put up where this process may make groups below its own, as under
``systemd-run --user --scope -p Delegate=yes`` or in a container that was given its subtree. Unlike
a sum over processes it counts memory that belongs to none of them, such as what lies in sockets
and pipes. Elsewhere that sum is all there is. https://docs.kernel.org/admin-guide/cgroup-v2.html
"""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from pathlib import Path

from helpers.sandbox.limits import Limits

_NEEDED = ("memory", "pids")
_OWN = "edgesec"  # where this process goes: a group with limits for its children holds no process
_OUTSIDE = 3  # processes of the sandbox itself


class NoGroupError(Exception):
    """No group can be made here; the message says why."""


def own_group() -> Path:
    """Return the folder of the group that this process is in.

    Raises
    ------
    NoGroupError
        If there is no cgroup of version 2.
    """
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
        mounts = [line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    except OSError as error:
        raise NoGroupError(f"{error.strerror}") from None
    paths = [line.removeprefix("0::/") for line in lines if line.startswith("0::/")]
    roots = [words[4] for words in mounts if words[words.index("-") + 1] == "cgroup2"]
    if not paths or not roots:
        raise NoGroupError("this machine has no cgroup v2")
    return Path(roots[0]) / paths[0]


def delegated(own: Path, process: int) -> Path:
    """Return the folder in which groups with limits may be made, and make it ready for them.

    Raises
    ------
    NoGroupError
        If the kernel, or whoever started this process, does not allow it.
    """
    top = own.parent if own.name == _OWN else own
    try:
        missing = sorted(set(_NEEDED) - set((top / "cgroup.controllers").read_text().split()))
        if missing:
            raise NoGroupError(f"its cgroup v2 has no control over {' and '.join(missing)}")
        if own != top:
            return top
        others = [n for n in (top / "cgroup.procs").read_text().split() if int(n) != process]
        if others:
            raise NoGroupError(
                "its cgroup v2 holds other processes too; start it in one of its own"
            )
        (top / _OWN).mkdir(exist_ok=True)
        (top / _OWN / "cgroup.procs").write_text(str(process))
        (top / "cgroup.subtree_control").write_text(" ".join(f"+{name}" for name in _NEEDED))
    except OSError as error:
        raise NoGroupError(f"its cgroup v2 is not its own: {error.strerror}") from None
    return top


class Group:
    """A group below a delegated one, with limits for all processes in it together.

    Raises
    ------
    NoGroupError
        If it cannot be made.
    """

    def __init__(self, top: Path, limits: Limits) -> None:
        self.folder = top / f"sandbox-{os.getpid()}-{secrets.token_hex(4)}"
        files = limits.disk + limits.shared_memory  # which lie in memory, and are charged to it
        try:
            self.folder.mkdir()
            self._write("memory.max", limits.group_memory + files)
            self._write("pids.max", limits.processes + _OUTSIDE)
            for name, value in (("memory.swap.max", 0), ("memory.oom.group", 1)):
                with contextlib.suppress(OSError):  # where the kernel does not have it
                    self._write(name, value)
        except OSError as error:
            self.close()
            raise NoGroupError(f"no cgroup v2 with limits: {error.strerror}") from None

    def _write(self, name: str, value: int) -> None:
        (self.folder / name).write_text(str(value))

    def add(self, process: int) -> None:
        """Move a process into the group; what it starts from now on is in it too."""
        with contextlib.suppress(OSError):  # it has ended
            self._write("cgroup.procs", process)

    def close(self) -> None:
        """End whatever is in the group, and remove it."""
        with contextlib.suppress(OSError):
            self._write("cgroup.kill", 1)
        for _ in range(50):
            try:
                self.folder.rmdir()
            except FileNotFoundError:
                return
            except OSError:  # until the kernel has ended them
                time.sleep(0.02)


def group(limits: Limits) -> Group | None:
    """Return a new group with these limits, or None where none can be made."""
    try:
        return Group(delegated(own_group(), os.getpid()), limits)
    except NoGroupError:
        return None


def problem(limits: Limits) -> str:
    """Say why no group can be made here, by trying; nothing where one can."""
    try:
        Group(delegated(own_group(), os.getpid()), limits).close()
    except NoGroupError as error:
        return str(error)
    return ""
