"""Peers that run as processes of their own, in an environment of their own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


class PeerError(RuntimeError):
    """A peer failed or did not end in time; the message says which."""


def run_peer(
    python: str | Path,
    script: Path,
    arguments: Sequence[str],
    timeout: float,
    environment: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Run a peer script and return the JSON object on its last line.

    Parameters
    ----------
    python
        Interpreter of the peer's environment.
    script
        The peer.
    arguments
        Its arguments.
    timeout
        Seconds after which it is killed with everything it started.
    environment
        Variables added to this process's own.

    Raises
    ------
    PeerError
        If it fails or takes too long.
    """
    process = subprocess.Popen(
        [str(python), str(script), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **(environment or {})},
        start_new_session=True,
    )
    try:
        output, errors = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired as error:
        raise PeerError(f"hung: not done after {timeout:.0f} s") from error
    finally:
        # Also on success: what a peer started must not outlive it.
        _kill_group(process)
    if process.returncode != 0:
        last = (errors.strip() or "no message").splitlines()[-1]
        raise PeerError(f"failed with exit status {process.returncode}: {last}")
    result: dict[str, Any] = json.loads(output.strip().splitlines()[-1])
    return result


def _kill_group(process: subprocess.Popen[str]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    process.wait()
