"""However an audit ends, it leaves its report and nothing else: no process, no file in /tmp."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from helpers.audit import schema
from helpers.cli._signals import ended_by_signals
from helpers.cli.audit import INTERRUPTED
from helpers.sandbox.process import descendants
from tests.audit.conftest import CLASSES, onnx_classifier, onnx_looping


def start(folder: Path, model: bytes, *options: str) -> subprocess.Popen[str]:
    (folder / "m.onnx").write_bytes(model)
    (folder / "tmp").mkdir()
    command = [sys.executable, "-m", "helpers", "audit", "m.onnx", "--out", "out", *options]
    environment = {**os.environ, "TMPDIR": str(folder / "tmp"), "MPLCONFIGDIR": str(folder)}
    environment["PYTHONPATH"] = str(Path(__file__).resolve().parents[2])
    return subprocess.Popen(
        command, cwd=folder, env=environment, text=True, stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )  # fmt: skip


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_audit_that_is_interrupted_leaves_its_report_and_nothing_else(
    tmp_path: Path, number: signal.Signals
) -> None:
    """Each answer of this file takes about a second, so it is in the middle of one."""
    x = np.zeros((200, CLASSES), np.float32)
    np.savez(tmp_path / "d.npz", x=x, y=np.zeros(len(x), int))
    process = start(tmp_path, onnx_looping(1_000_000), "--data", "d.npz", "--budget", "1h")
    report = tmp_path / "out" / "audit.json"
    deadline = time.monotonic() + 90
    while not report.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(0.5)
    children = descendants(process.pid)
    assert children
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == INTERRUPTED, errors
    assert "what was done is kept" in errors
    assert not list((tmp_path / "tmp").iterdir())
    assert not [child for child in children if Path(f"/proc/{child}/cmdline").exists()]
    assert not schema.read(report)["complete"]
    assert "This audit was interrupted" in (tmp_path / "out" / "audit.html").read_text()


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    """As under ``nohup``; and afterwards all is as before."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN), signal.getsignal(signal.SIGTERM)
    try:
        with ended_by_signals():
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGTERM)
        assert signal.getsignal(signal.SIGTERM) == before[1]
    finally:
        signal.signal(signal.SIGHUP, before[0])


def test_an_audit_that_ends_by_itself_leaves_nothing_else(
    tmp_path: Path, weights: np.ndarray
) -> None:
    process = start(tmp_path, onnx_classifier(weights), "--budget", "30s", "--quiet")
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert not output
    assert not list((tmp_path / "tmp").iterdir())
    assert schema.read(tmp_path / "out" / "audit.json")["complete"]
