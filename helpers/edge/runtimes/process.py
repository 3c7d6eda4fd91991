"""A worker process seen from the caller: whatever happens to it, the caller gets an error.

TensorFlow Lite, LiteRT and ONNX Runtime are native code: a file that reaches a bug in them can
crash, hang or eat the memory of the process it is opened in. So files are opened in a process of
their own, with a time limit on every answer and a limit on memory. It is an ordinary process, so
that it works on every system and in an environment of its own, as ExecuTorch needs. The same
program runs in the sandbox of grading for files of strangers (:mod:`helpers.audit.cage`).
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from helpers.edge.runtimes import wire
from helpers.errors import EdgeError

PACKAGE = Path(__file__).resolve().parents[2]
# Only `helpers` comes from here: the folder around it may be another environment's site-packages,
# whose NumPy a worker in an environment of its own must not see.
_START = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location(
    "helpers", {init!r}, submodule_search_locations=[{package!r}])
sys.modules["helpers"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(sys.modules["helpers"])
from helpers.edge.runtimes.worker import main
main()
"""
# TensorFlow reserves about 3 GB of addresses that it never uses.
MEMORY_LIMIT = 6 * 2**30
_KEPT_VARIABLES = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH")
_KEPT_PREFIXES = ("OPENBLAS_", "OMP_")


class Worker:
    """One worker process.

    Parameters
    ----------
    runtime
        Runtime it loads, such as ``"litert"``.
    python
        Interpreter to start it with; None takes this one.
    timeout
        Seconds that an answer may take.
    memory_limit
        Bytes of address space it may use.
    """

    def __init__(
        self,
        runtime: str,
        python: str | os.PathLike[str] | None = None,
        timeout: float = 120.0,
        memory_limit: int = MEMORY_LIMIT,
    ) -> None:
        self.runtime, self.timeout = runtime, timeout
        ours, theirs = socket.socketpair()
        # The log is deleted with its last handle: nothing is left behind by a kill.
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  lives as long as the worker
        with theirs:
            self._process = subprocess.Popen(
                [
                    os.fspath(python or sys.executable), "-I", "-c",
                    _START.format(init=str(PACKAGE / "__init__.py"), package=str(PACKAGE)),
                    runtime, str(theirs.fileno()), str(memory_limit),
                ],
                stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log,
                pass_fds=[theirs.fileno()], env=_environment(), start_new_session=True,
            )  # fmt: skip
        self._socket = ours
        self._end = weakref.finalize(self, _end, self._process, ours)

    def ask(
        self,
        do: str,
        arrays: Sequence[NDArray[Any]] = (),
        blob: bytes = b"",
        what: str = "the model",
        **details: Any,
    ) -> tuple[dict[str, Any], list[NDArray[Any]], bytes]:
        """Send a message and return its answer.

        Parameters
        ----------
        do
            What to do.
        arrays, blob, **details
            What travels with it.
        what
            What is being worked on, for messages.

        Raises
        ------
        EdgeError
            If the worker refuses, crashes, takes too long, or answers nonsense; in the last three
            cases it is ended.
        """
        if not self._end.alive:
            raise EdgeError(f"The worker of {self.runtime} has ended; open the model again.")
        deadline = time.monotonic() + self.timeout
        try:
            self._socket.settimeout(self.timeout)
            self._socket.sendall(wire.pack({"do": do, **details}, arrays, blob))
            header, answers, content = wire.unpack(lambda count: self._read(count, deadline))
        except TimeoutError:
            self.close()
            raise EdgeError(
                f"{self.runtime} gave no answer within {self.timeout:g} s to {do!r} on {what}: "
                "it was ended. The file may be hostile; a larger timeout gives it longer."
            ) from None
        except (EOFError, OSError):
            raise EdgeError(self._last_words(do, what)) from None
        except wire.WireError as error:
            self.close()
            raise EdgeError(f"{self.runtime} answered {error} on {what}: it was ended.") from None
        if "error" in header:
            raise EdgeError(f"{self.runtime} refuses {what}: {header['error']}")
        return header, answers, content

    def close(self) -> None:
        """End the process; closing twice is fine."""
        self._end()

    def _read(self, count: int, deadline: float) -> bytes:
        parts = bytearray()
        while len(parts) < count:
            self._socket.settimeout(max(0.001, deadline - time.monotonic()))
            part = self._socket.recv(min(count - len(parts), 2**20))
            if not part:
                raise EOFError
            parts += part
        return bytes(parts)

    def _last_words(self, do: str, what: str) -> str:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(5)
        code = self._process.returncode
        self.close()
        how = f"ended with code {code}"
        if code is not None and code < 0:
            how = f"crashed with {signal.Signals(-code).name}"
        self._log.seek(0)
        lines = self._log.read()[-4000:].decode(errors="replace").strip().splitlines()
        said = f" Its last line: {lines[-1][:300]}" if lines else ""
        return (
            f"{self.runtime} {how} during {do!r} on {what}; this process is unharmed. Do not run "
            f"the file elsewhere.{said}"
        )


def _end(process: subprocess.Popen[bytes], connection: socket.socket) -> None:
    connection.close()
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _environment() -> dict[str, str]:
    """The little a runtime needs of our environment; what may be secret stays here."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in _KEPT_VARIABLES or name.startswith(_KEPT_PREFIXES)
    }
    return {**kept, "TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "0"}
