"""Start a program in a sandbox, talk with it, and end it with everything it started."""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from helpers.errors import SandboxError
from helpers.sandbox import bubblewrap, cgroup
from helpers.sandbox.layers import Layers
from helpers.sandbox.limits import Limits

FOLDER = "/home/sandbox"  # the private folder, as the program sees it
_LAUNCHER = "helpers.sandbox.launch"
_ROOT = Path(__file__).resolve().parents[2]
_POLL = 0.1  # seconds between two looks at memory and clock
MEMORY_ENDING = "its processes used more than"
_KEPT = 16_384  # last bytes of standard error that are kept
# The system's own libraries and programs; what is not there is left out.
_SYSTEM = (
    "/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32",
    "/etc/ld.so.cache", "/etc/alternatives", "/etc/localtime", "/etc/mime.types",
    "/sys/devices/system/cpu",
)  # fmt: skip


class Sandbox:
    """An untrusted program behind closed doors, and the lines it exchanges with us.

    The program reads lines on its standard input and writes lines on its standard output. It
    sees an own small file tree: the system's libraries, this Python, the paths in `readable`, and
    a private folder that vanishes with it. Every other file, the network and all processes
    outside are not there for it. It ends at the latest with the thread that started it.

    Parameters
    ----------
    command : sequence of str
        The program and its arguments; the program is an absolute path.
    readable : sequence of path
        Files and folders it may read beside the system's and Python's own.
    limits : Limits
        What it may use.
    layers : Layers, optional
        What holds it; by default all layers.
    environment : mapping, optional
        Variables beside the few that every program here gets.

    Raises
    ------
    SandboxError
        If `readable` has a path that does not exist or that the program could not read.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        readable: Sequence[str | os.PathLike[str]] = (),
        limits: Limits | None = None,
        layers: Layers | None = None,
        environment: dict[str, str] | None = None,
    ) -> None:
        self.limits, self.layers = limits or Limits(), layers or Layers()
        self.ending = ""  # why it was ended from outside, if it was
        self._kept, self._pending = b"", bytearray()
        given = _resolved(readable)
        self._group = cgroup.group(self.limits)
        self._outside = None if self.layers.namespaces else tempfile.mkdtemp(prefix="sandbox-")
        try:
            self._process = self._start(command, given, environment or {})
        except BaseException:  # nobody will close what was never whole
            if self._outside:
                shutil.rmtree(self._outside, ignore_errors=True)
            raise
        if self._group:
            for one in (self._process.pid, *descendants(self._process.pid)):
                self._group.add(one)
        self._closed = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()

    def _start(
        self, command: Sequence[str], readable: list[str], environment: dict[str, str]
    ) -> subprocess.Popen[bytes]:
        folder = self._outside or FOLDER
        policy = {
            **self.limits.policy(),
            **self.layers.policy(),
            "command": list(command),
            "readable": [*_SYSTEM, *python_paths(), *readable],
            "folder": folder,
            "parent": os.getpid(),
            "environment": {
                "PATH": "/usr/bin:/bin",
                "HOME": folder,
                "TMPDIR": folder,
                "LANG": "C.UTF-8",
                "PYTHONDONTWRITEBYTECODE": "1",
                **environment,
            },
        }
        launcher = [sys.executable, "-P", "-S", "-m", _LAUNCHER, json.dumps(policy)]
        if self.layers.namespaces and self.layers.bubblewrap:
            launcher = bubblewrap.wrapped(launcher, policy)
        process = subprocess.Popen(
            launcher,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={"PYTHONPATH": str(_ROOT), "PATH": "/usr/bin:/bin"},
            cwd="/",
            start_new_session=True,
        )
        for stream in (process.stdin, process.stdout, process.stderr):
            assert stream is not None
            os.set_blocking(stream.fileno(), False)
        return process

    # ------------------------------------------------------------------ talking

    def send(self, line: bytes, seconds: float) -> None:
        """Write one line; the program has so long to take it.

        Raises
        ------
        SandboxError
            If it has ended or does not read.
        """
        self.write(line + b"\n", seconds)

    def write(self, content: bytes, seconds: float) -> None:
        """Write bytes as they are; the program has so long to take them.

        Raises
        ------
        SandboxError
            If it has ended or does not read.
        """
        assert self._process.stdin is not None
        pipe, rest = self._process.stdin.fileno(), memoryview(content)
        deadline = time.monotonic() + seconds
        while rest:
            self._wait([], [pipe], deadline)
            with contextlib.suppress(BlockingIOError):
                try:
                    rest = rest[os.write(pipe, rest[: 1 << 16]) :]
                except BrokenPipeError:
                    raise SandboxError(self.describe_end()) from None

    def read(self, count: int, seconds: float) -> bytes:
        """Return exactly so many bytes of what it writes.

        Raises
        ------
        SandboxError
            If it ends, or does not write that many in time.
        """
        deadline = time.monotonic() + seconds
        while len(self._pending) < count:
            self._fill(deadline)
        content = bytes(memoryview(self._pending)[:count])
        del self._pending[:count]
        return content

    def receive(self, seconds: float, max_bytes: int) -> bytes:
        """Return the next line it writes, without the newline.

        Raises
        ------
        SandboxError
            If it ends, writes no line in time, or writes one that is too long.
        """
        deadline, searched = time.monotonic() + seconds, 0
        while True:
            end = self._pending.find(b"\n", searched)
            if 0 <= end <= max_bytes:
                line = bytes(self._pending[:end])
                del self._pending[: end + 1]
                return line
            searched = len(self._pending)
            if end > max_bytes or searched > max_bytes:
                self.end("it wrote more than one message may hold")
                raise SandboxError(self.describe_end())
            self._fill(deadline)

    def _fill(self, deadline: float) -> None:
        """Wait for the program to write something, and keep it."""
        assert self._process.stdout is not None
        pipe = self._process.stdout.fileno()
        self._wait([pipe], [], deadline)
        with contextlib.suppress(BlockingIOError):
            chunk = os.read(pipe, 1 << 18)
            if not chunk:
                raise SandboxError(self.describe_end())
            self._pending += chunk

    def _wait(self, readers: list[int], writers: list[int], deadline: float) -> None:
        rest = deadline - time.monotonic()
        if rest <= 0 or not any(select.select(readers, writers, [], rest)):
            self.end("it did not answer in time")
            raise SandboxError(self.describe_end())

    # ------------------------------------------------------------------ ending

    def describe_end(self) -> str:
        """Say how the program ended; wait for it, since its pipes are closed."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(1)
        code = self._process.poll()
        if self.ending:
            return self.ending
        if code is None:
            self.end("it closed its pipe and stayed")
            return self.ending
        if code > 128 or code < 0:
            number = code - 128 if code > 0 else -code
            with contextlib.suppress(ValueError):
                return f"it was ended by {signal.Signals(number).name}"
        return f"it ended by itself with exit status {code}"

    @property
    def exit_status(self) -> int | None:
        """The exit status of the program, 128 + the signal that ended it, or None."""
        return self._process.poll()

    @property
    def errors(self) -> str:
        """The last of what it wrote on standard error."""
        return self._kept.decode("utf-8", "replace")

    def end(self, why: str = "it was no longer needed") -> None:
        """End the program and everything it has started, now."""
        self.ending = self.ending or why
        for process in descendants(self._process.pid):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(process, signal.SIGKILL)
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._outside:  # without process namespaces, something may have been born meanwhile
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def close(self) -> None:
        """End the program and forget it."""
        self._closed.set()
        if self._process.poll() is None:
            self.end()
        self._watcher.join()
        if self._group:
            self._group.close()
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            assert stream is not None
            with contextlib.suppress(OSError):
                stream.close()
        if self._outside:
            shutil.rmtree(self._outside, ignore_errors=True)

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ------------------------------------------------------------------ watching

    def _watch(self) -> None:
        """Keep the limits that the kernel does not keep for a group of processes."""
        assert self._process.stderr is not None
        errors, started, written = self._process.stderr.fileno(), time.monotonic(), 0
        looked = 0.0
        while not self._closed.is_set():
            if select.select([errors], [], [], _POLL)[0]:
                chunk = os.read(errors, 1 << 16)
                written += len(chunk)
                self._kept = (self._kept + chunk)[-_KEPT:]
                if not chunk:
                    self._closed.wait(_POLL)
            if time.monotonic() - looked < _POLL:
                continue
            looked = time.monotonic()
            try:
                why = self._overrun(looked - started, written)
            except Exception as error:  # unwatched, nothing would hold it
                why = f"it could not be watched ({type(error).__name__})"
            if why:
                self.end(why)
                return

    def _overrun(self, seconds: float, written: int) -> str:
        if self._process.poll() is not None:
            return ""
        if seconds > self.limits.seconds:
            return f"it ran for more than {self.limits.seconds:g} s"
        if written > self.limits.output:
            return f"it wrote more than {self.limits.output:,} bytes to standard error"
        inside = descendants(self._process.pid)
        if len(inside) > self.limits.processes + 2:  # where the kernel does not count for us
            return f"it started more than {self.limits.processes} processes"
        if sum(map(_descriptors, inside)) > self.limits.group_files:
            return f"its processes held more than {self.limits.group_files:,} files open"
        used = sum(map(_memory, inside))
        if used > self.limits.group_memory:
            return f"{MEMORY_ENDING} {self.limits.group_memory / 2**20:,.0f} MB"
        return ""


@dataclass(frozen=True)
class Finished:
    """How a program ended in its sandbox, and the first of what it wrote."""

    status: int | None
    output: bytes
    errors: str
    ending: str


def run(command: Sequence[str], *, max_bytes: int = 1 << 20, **options: object) -> Finished:
    """Run a program in a sandbox to its end; the options are those of :class:`Sandbox`."""
    with Sandbox(command, **options) as box:  # type: ignore[arg-type]
        output = b"\n".join([*_lines(box, max_bytes), *filter(None, [bytes(box._pending)])])
        with contextlib.suppress(subprocess.TimeoutExpired):
            box._process.wait(1)
        box._closed.set()
        box._watcher.join()
        return Finished(box.exit_status, output, box.errors, box.ending)


def _lines(box: Sandbox, max_bytes: int) -> Iterator[bytes]:
    with contextlib.suppress(SandboxError):
        while True:
            yield box.receive(box.limits.seconds + 5, max_bytes)


def descendants(process: int) -> list[int]:
    """Return the ids of all processes below one, children before grandchildren."""
    found, waiting = [], [process]
    while waiting:
        for task in _tasks(waiting.pop(0)):
            with contextlib.suppress(OSError):
                children = [int(word) for word in (task / "children").read_text().split()]
                found += children
                waiting += children
    return found


def _tasks(process: int) -> list[Path]:
    try:
        return list(Path(f"/proc/{process}/task").iterdir())
    except OSError:
        return []


def _descriptors(process: int) -> int:
    try:
        return len(os.listdir(f"/proc/{process}/fd"))  # noqa: PTH208
    except OSError:
        return 0


def _memory(process: int) -> int:
    """Return the bytes of memory that a process holds and that no file backs."""
    kilobytes = 0
    with contextlib.suppress(OSError):
        # The program chooses its name, which stands here too, in any bytes: the kernel keeps only
        # line feeds out of it.
        for line in Path(f"/proc/{process}/status").read_bytes().split(b"\n"):
            if line.startswith((b"RssAnon:", b"RssShmem:", b"VmSwap:")):
                kilobytes += int(line.split()[1])
    return 1024 * kilobytes


def python_paths() -> list[str]:
    """Return the folders of this Python and its packages, and of the package ``helpers``."""
    prefixes = {Path(prefix).resolve() for prefix in (sys.prefix, sys.base_prefix)}
    prefixes |= {Path(sys.executable).parent.parent}
    return sorted({*map(str, prefixes), str(_ROOT / "helpers")})


def _resolved(paths: Sequence[str | os.PathLike[str]]) -> list[str]:
    resolved = [Path(path).resolve() for path in paths]
    for path in resolved:
        if not path.exists():
            raise SandboxError(f"{path} does not exist, so it cannot be given to a sandbox")
        needed = 0o5 if path.is_dir() else 0o4
        if os.geteuid() == 0 and path.stat().st_mode & needed != needed:
            raise SandboxError(
                f"{path} is for its owner alone, and started by root the sandbox runs as nobody: "
                "make it readable for all, or work as an ordinary user"
            )
    return [str(path) for path in resolved]
