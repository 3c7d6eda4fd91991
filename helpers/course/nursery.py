"""Start notebooks from a process that has imported already what they import.

Many a notebook computes for less time than its imports take: TensorFlow, papermill, IPython. A
nursery imports them once. For each notebook it then forks, and the fork forks once more: one runs
papermill, the other waits and becomes its kernel. Both begin where the imports ended, before
TensorFlow has started a thread, and share the memory of the imports. Linux only.

``python -m helpers.course.nursery SOCKET`` is the nursery; when the other end of its socket is
closed, as by the death of who started it, it and all that it has started end.
"""

from __future__ import annotations

import builtins
import contextlib
import gc
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import SimpleNamespace

import helpers
from helpers._schemas import load_jsonschema
from helpers.course.starting import Ended, Fresh, Process, Starter

# What most notebooks import, and what runs them. The only threads that it starts are OpenBLAS's,
# which a fork starts again.
_IMPORTED = (
    "tensorflow", "tensorflow.keras", "matplotlib.pyplot", "pandas", "scipy.optimize",
    "scipy.stats", "psutil", "ipykernel.kernelapp", "ipykernel.ipkernel", "papermill", "nbclient",
    "jupyter_cache.executors.utils", "myst_nb.core.read",
)  # fmt: skip
# The page's own figures, as a kernel chooses where matplotlib is not imported before it starts.
_INLINE = "module://matplotlib_inline.backend_inline"
_CLOSED_WITHOUT_A_WORD = Ended(-signal.SIGKILL, 0.0, 0.0)
_LARGEST = 1 << 10  # bytes of what is told of a process
_POLL = 0.05  # seconds


@dataclass(frozen=True)
class _Request:
    module: str
    job: str
    folder: str
    environment: dict[str, str]


def opened(environment: Mapping[str, str]) -> contextlib.AbstractContextManager[Starter]:
    """Return a nursery where there can be one, else what starts a new interpreter each time."""
    return Nursery(environment) if sys.platform == "linux" else contextlib.nullcontext(Fresh())


class Nursery:
    """Starts notebooks' processes as forks of one that has done the imports.

    It begins to import when it is first asked for a process.

    Parameters
    ----------
    environment : mapping of str to str
        Of the nursery itself; what is read while importing is read from it.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = {**environment, "MPLBACKEND": _INLINE}
        self._control: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._asking = threading.Lock()

    def start(
        self, module: str, job: Path, folder: Path, environment: Mapping[str, str], log: Path
    ) -> Process:
        """Run a module's ``main(job, parent, kernel)`` in a fork, with a kernel that waits."""
        request = _Request(module, str(job), str(folder), dict(environment))
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        # A file, as an environment can be larger than what a socket takes at once.
        with theirs, log.open("wb") as output, tempfile.TemporaryFile() as asked:
            asked.write(json.dumps(asdict(request)).encode())
            asked.seek(0)
            with self._asking, contextlib.suppress(ConnectionError):  # the nursery was killed
                if self._control is None:
                    self._control = self._begun()
                sent = [each.fileno() for each in (theirs, asked, output)]
                socket.send_fds(self._control, [b"start"], sent)
        return _Fork(ours, log)

    def _begun(self) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(theirs.fileno())],
                # The first folder that it imports from; no notebook would import from its own
                # folder if Python were told here to leave that out (-P).
                cwd=Path(helpers.__file__).parents[1], env=self._environment,
                stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()], start_new_session=True,
            )  # fmt: skip
        return ours

    def close(self) -> None:
        """End the nursery and whatever it has started."""
        if self._control is not None and self._process is not None:
            self._control.close()
            self._process.terminate()
            self._process.wait()

    def __enter__(self) -> Nursery:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Fork:
    """One process that the nursery has forked, which tells over a socket what becomes of it."""

    def __init__(self, told: socket.socket, log: Path) -> None:
        self._told, self._log = told, log
        self._ended: Ended | None = None
        said = told.recv(_LARGEST)  # once the nursery has imported what it imports
        self._pid = int(said) if said else 0
        if not said:
            self._end(said)

    def poll(self) -> Ended | None:
        if self._ended is None and select.select([self._told], [], [], 0)[0]:
            self._end(self._told.recv(_LARGEST))
        return self._ended

    def terminate(self) -> None:
        if self._ended is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGTERM)

    def _end(self, said: bytes) -> None:
        self._told.close()
        if said:
            self._ended = Ended(**json.loads(said))
        else:
            self._ended = _CLOSED_WITHOUT_A_WORD
            with self._log.open("ab") as log:
                log.write(b"the nursery that labs and chapters start from has ended\n")


# --- the nursery's own process ------------------------------------------------------------------


def main(control: int) -> None:
    """Import, then fork for every request until the other end is closed."""
    load_jsonschema()  # nbformat's
    from helpers.course.kernels import WITHOUT_JAX

    exec(WITHOUT_JAX, {})
    gc.set_threshold(20_000, 10, 10)
    with _as_in_a_notebook():
        for name in _IMPORTED:
            importlib.import_module(name)
    gc.collect()
    gc.freeze()  # looking through what was imported would copy its pages in every fork
    nursery = os.getpid()
    request = _serve(socket.socket(fileno=control))
    if request is not None:
        _become(request, nursery)


@contextlib.contextmanager
def _as_in_a_notebook() -> Iterator[None]:
    """Show what is being imported a notebook around it, as it would find in a kernel.

    pandas asks whether there is one, for how many columns it shows; TensorFlow looks for the
    prompt, for how much it logs and where.
    """
    vars(builtins)["get_ipython"] = lambda: SimpleNamespace(kernel=None)
    sys.ps1 = "In : "
    try:
        yield
    finally:
        del vars(builtins)["get_ipython"], sys.ps1


def _serve(control: socket.socket) -> _Request | None:
    """Return, in a fork, what is asked of it; in the nursery None, at its end."""
    running: dict[int, socket.socket] = {}
    while True:
        readable = select.select([control], [], [], _POLL)[0]
        for pid, ended in _ended(running):
            with running.pop(pid) as tell, contextlib.suppress(OSError):  # nobody listens any more
                tell.send(json.dumps(asdict(ended)).encode())
        if not readable:
            continue
        asked, received, *_ = socket.recv_fds(control, _LARGEST, 3)
        if not asked:
            return None
        tell, request, output = socket.socket(fileno=received[0]), *received[1:]
        pid = os.fork()
        if pid == 0:
            for each in (control, tell, *running.values()):
                each.close()
            return _read(request, output)
        os.close(request)
        os.close(output)
        with contextlib.suppress(OSError):
            tell.send(str(pid).encode())
        running[pid] = tell


def _read(request: int, output: int) -> _Request:
    """Write from now on where this request's process writes, and return it."""
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(output)
    with os.fdopen(request) as file:
        return _Request(**json.load(file))


def _ended(running: Iterable[int]) -> Iterator[tuple[int, Ended]]:
    for pid in list(running):
        found, status, usage = os.wait4(pid, os.WNOHANG)
        if found:
            yield pid, Ended.of(status, usage)


def _become(request: _Request, parent: int) -> None:
    """Be what ``python -m module job parent`` would be, with a kernel that waits."""
    from helpers.course.kernels import WaitingKernel, take_path

    os.setsid()
    os.chdir(request.folder)
    take_path(request.environment.get("PYTHONPATH", ""))
    os.environ.clear()
    os.environ.update(request.environment)
    kernel = WaitingKernel.forked()
    importlib.import_module(request.module).main(request.job, parent, kernel)


if __name__ == "__main__":
    main(int(sys.argv[1]))
