"""A temporary consortium leaves no private key behind, however its process ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from helpers.federated.deployment import Consortium, DeploymentError
from helpers.federated.deployment.scratch import SweptFolder

SECONDS = 60.0
FOUND = (
    "import sys; from helpers.federated.deployment import Consortium; "
    "consortium = Consortium(clients=1); print(consortium.layout.root, flush=True); "
    "sys.stdin.readline()"
)


def gone(folder: Path) -> bool:
    deadline = time.monotonic() + SECONDS
    while folder.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    return not folder.exists()


@pytest.mark.parametrize("ending", ["its last line", "SIGTERM", "SIGKILL of its whole group"])
def test_the_folder_goes_with_the_process(ending: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", FOUND], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        start_new_session=True,
    ) as process:  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        folder = Path(process.stdout.readline().rstrip("\n"))
        assert (folder / "ca" / "root.key").exists()
        if ending == "its last line":
            process.stdin.write("\n")
            process.stdin.flush()
        elif ending == "SIGTERM":
            process.terminate()
        else:
            os.killpg(process.pid, signal.SIGKILL)
        assert gone(folder)


def test_stopping_deletes_the_folder_and_ends_the_process_that_watched() -> None:
    consortium = Consortium(clients=1)
    assert (consortium.layout.ca / "root.key").exists()
    consortium.stop()
    assert not consortium.layout.root.exists()
    consortium.stop()
    folder = SweptFolder("scratch-")
    folder.cleanup()
    assert folder._sweeper.returncode == 0


def test_a_founding_that_fails_leaves_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(DeploymentError, match="must be an address"):
        Consortium(server_names=("a b",))
    assert list(tmp_path.iterdir()) == []
