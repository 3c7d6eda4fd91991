from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from helpers.edge.artefact import Artefact
from helpers.edge.tensorrt import NO_DEVICE, write_build_script
from helpers.errors import EdgeError

ONNX = Artefact(b"not run here", "onnx", "kws.onnx")


def stand_in(folder: Path, name: str, text: str) -> None:
    """A program of this name, as an NVIDIA machine would have it."""
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def built(script: Path, tools: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", str(script)], capture_output=True, text=True, timeout=30, check=False,
        env={"PATH": f"{tools}:/usr/bin:/bin"},
    )  # fmt: skip


def test_without_a_device_the_script_says_so_and_stops(tmp_path: Path) -> None:
    script = write_build_script(ONNX, tmp_path / "engine")
    if Path("/dev/nvidia0").exists():
        pytest.skip("this machine has an NVIDIA device")
    done = built(script, tmp_path)
    assert done.returncode == NO_DEVICE
    assert "no NVIDIA device is present" in done.stderr


def test_a_device_without_tensorrt_is_told_what_is_missing(tmp_path: Path) -> None:
    script = write_build_script(ONNX, tmp_path / "engine")
    tools = tmp_path / "bin"
    tools.mkdir()
    stand_in(tools, "nvidia-smi", "echo 'GPU 0: a card'")
    done = built(script, tools)
    assert done.returncode == NO_DEVICE
    assert "trtexec is not installed" in done.stderr


@pytest.mark.parametrize(
    ("precision", "flag"), [("fp32", None), ("fp16", "--fp16"), ("int8", "--int8")]
)
def test_with_both_it_asks_trtexec_for_the_engine(
    tmp_path: Path, precision: str, flag: str | None
) -> None:
    script = write_build_script(ONNX, tmp_path / "engine", precision)  # type: ignore[arg-type]
    tools = tmp_path / "bin"
    tools.mkdir()
    stand_in(tools, "nvidia-smi", "echo 'GPU 0: a card'")
    stand_in(tools, "trtexec", 'printf "%s\\n" "$@"')
    done = built(script, tools)
    assert done.returncode == 0
    asked = done.stdout.splitlines()
    assert "--onnx=model.onnx" in asked
    assert f"--saveEngine=model-{precision}.engine" in asked
    given = {option for option in asked if option in ("--fp16", "--int8")}
    assert given == ({flag} if flag else set())
    assert (tmp_path / "engine" / "model.onnx").read_bytes() == ONNX.data


def test_only_onnx_takes_this_path(tmp_path: Path) -> None:
    with pytest.raises(EdgeError, match="takes ONNX"):
        write_build_script(Artefact(b"", "tflite"), tmp_path)
    with pytest.raises(EdgeError, match="precision='int4'"):
        write_build_script(ONNX, tmp_path, "int4")  # type: ignore[arg-type]
