"""A stranger's file on the disk: its bytes are copied, and its first ones say the format."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Literal

from helpers.errors import ModelRefusedError

Format = Literal["tflite", "onnx", "keras"]


def read_whole(path: str | os.PathLike[str], limit: int) -> bytes:
    """Return the bytes of a regular file.

    Raises
    ------
    ModelRefusedError
        If it cannot be read, is no regular file, or is larger than allowed.
    """
    name = os.fspath(path)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a pipe would wait for ever
        with os.fdopen(descriptor, "rb") as file:
            about = os.fstat(file.fileno())
            if not stat.S_ISREG(about.st_mode):
                raise ModelRefusedError(f"{name!r} is no regular file; an audit takes one file.")
            data = file.read(limit + 1)
    except OSError as error:
        raise ModelRefusedError(f"{name!r} cannot be read: {error.strerror}.") from error
    if len(data) > limit:
        raise ModelRefusedError(
            f"{name!r} has {about.st_size:,} bytes; at most {limit:,} are read. A larger budget of "
            "file_bytes takes it."
        )
    return data


def detect_format(data: bytes, path: str | os.PathLike[str]) -> Format:
    """Return the format of a file, from its first bytes where they tell.

    Raises
    ------
    ModelRefusedError
        If it is none that an audit reads.
    """
    suffix = Path(path).suffix.lower()
    if data[4:8] == b"TFL3":
        return "tflite"
    if data[:8] == b"\x89HDF\r\n\x1a\n" or (data[:4] == b"PK\x03\x04" and suffix == ".keras"):
        return "keras"
    if suffix == ".onnx":
        return "onnx"
    raise ModelRefusedError(
        f"{os.fspath(path)!r} begins with {data[:8]!r} and ends in {suffix!r}: an audit takes a "
        ".tflite, .onnx, .keras or .h5 file. A bundle (.task, .zip) has to be unpacked first."
    )
