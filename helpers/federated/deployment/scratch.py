"""A temporary folder for keys and sockets, which does not outlive the process that made it."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
import weakref
from pathlib import Path

_SWEEPER = Path(__file__).parent / "processes" / "sweeper.py"
_SECONDS = 10.0


class SweptFolder(tempfile.TemporaryDirectory[str]):
    """A temporary folder that is deleted when this process ends, even by ``SIGKILL``.

    A killed process cannot tidy up. A small one beside it does: it waits until the other end of a
    pipe closes, which the system sees to, and deletes the folder. It is in a session of its own,
    so that what ends this process's group does not end it.

    Parameters
    ----------
    prefix
        What the folder's name begins with.
    """

    def __init__(self, prefix: str) -> None:
        super().__init__(prefix=prefix, ignore_cleanup_errors=True)
        self._sweeper = subprocess.Popen(
            [sys.executable, "-I", "-S", str(_SWEEPER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,
            text=True,
        )
        assert self._sweeper.stdin is not None
        self._sweeper.stdin.write(f"{self.name}\n")
        self._sweeper.stdin.flush()
        self._dismiss = weakref.finalize(self, _dismiss, self._sweeper)

    def cleanup(self) -> None:
        """Delete the folder now. Safe to call twice."""
        super().cleanup()
        self._dismiss()


def _dismiss(sweeper: subprocess.Popen[str]) -> None:
    assert sweeper.stdin is not None
    with contextlib.suppress(OSError):  # it is gone
        sweeper.stdin.close()
    with contextlib.suppress(subprocess.TimeoutExpired):
        sweeper.wait(_SECONDS)
