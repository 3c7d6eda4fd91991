"""TensorRT, as a documented path: a script that builds the engine on the NVIDIA device itself.

An engine is built for one GPU and one TensorRT version and runs nowhere else, so it cannot be made
here and shipped. What can be shipped is the ONNX file and the script that this module writes. The
script says what is missing and stops where there is no NVIDIA device. It has not been run on one
by this project.
"""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Literal, get_args

from helpers._files import write_atomically
from helpers.edge._checks import require_choice
from helpers.edge.artefact import Artefact
from helpers.errors import EdgeError

EnginePrecision = Literal["fp32", "fp16", "int8"]

_SCRIPT = """#!/bin/sh
# Builds a TensorRT engine from {onnx} on the device it will run on, and times it.
set -eu
cd "$(dirname "$0")"
onnx={onnx}
engine={engine}

stop() {{ echo "build: $1" >&2; exit {code}; }}

# A Jetson has no nvidia-smi and names itself in the device tree; other machines have it.
if [ -r /proc/device-tree/model ] && tr -d '\\0' < /proc/device-tree/model | grep -qi jetson; then
    tr -d '\\0' < /proc/device-tree/model; echo
elif command -v nvidia-smi > /dev/null 2>&1 && nvidia-smi -L 2> /dev/null | grep -q GPU; then
    nvidia-smi -L
else
    stop "no NVIDIA device is present on this machine; run this script on the device itself."
fi

trtexec=$(command -v trtexec || echo /usr/src/tensorrt/bin/trtexec)
[ -x "$trtexec" ] || stop "trtexec is not installed; it comes with TensorRT (on a Jetson, JetPack)."
[ -f "$onnx" ] || stop "$onnx is not beside this script."

# Warm-up in milliseconds. Older trtexec, as on a Jetson Nano, reads a single percentile.
exec "$trtexec" --onnx="$onnx" --saveEngine="$engine" {flags} \\
    --warmUp=500 --iterations=200 --percentile=99
"""
NO_DEVICE = 3
_FLAGS = {"fp32": "", "fp16": "--fp16", "int8": "--int8"}


def write_build_script(
    artefact: Artefact, folder: str | os.PathLike[str], precision: EnginePrecision = "fp16"
) -> Path:
    """Write an ONNX file and the script that builds its TensorRT engine.

    Parameters
    ----------
    artefact
        An ONNX model. For ``"int8"``, one that was converted from an int8 ``.tflite``: its
        quantisation is in the graph, so TensorRT needs no calibration of its own.
    folder
        Where both go; made if missing.
    precision
        ``"fp32"``, ``"fp16"`` or ``"int8"``. A Jetson Nano has no int8 path: take ``"fp16"``.

    Returns
    -------
    Path
        The script. It exits with code 3 where no NVIDIA device is present.

    Raises
    ------
    EdgeError
        If the artefact is not ONNX, the precision is unknown, or the folder cannot be written.
    """
    if artefact.format != "onnx":
        raise EdgeError(f"{artefact.name} is .{artefact.format}; TensorRT's path takes ONNX.")
    require_choice("precision", precision, get_args(EnginePrecision))
    script = Path(folder) / "build_engine.sh"
    text = _SCRIPT.format(
        onnx=shlex.quote("model.onnx"),
        engine=shlex.quote(f"model-{precision}.engine"),
        flags=_FLAGS[precision],
        code=NO_DEVICE,
    )
    artefact.save(script.with_name("model.onnx"))
    write_atomically(script, text, EdgeError)
    script.chmod(0o755)
    return script
