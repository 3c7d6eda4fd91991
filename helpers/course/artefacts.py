"""The things a learner keeps: a model, a certificate, a report, written to a folder."""

from __future__ import annotations

import io
import json
import tempfile
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from helpers._files import write_atomically
from helpers.course.wire import plain
from helpers.errors import CourseError


def writable_folder(wanted: Path) -> Path:
    """Return `wanted`, made if need be, or a temporary folder where it cannot be written."""
    try:
        wanted.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=wanted):
            return wanted
    except OSError:
        return Path(tempfile.mkdtemp(prefix=f"{wanted.name}-"))


def write(folder: Path, name: str, value: Any) -> Path:
    """Write one artefact and return where it lies.

    Text and bytes are written as they are, one array as ``.npy``, a dict or list of arrays as
    ``.npz``, other plain data as ``.json``. The suffix is added where `name` lacks it. A file is
    complete or absent, never half written.

    Raises
    ------
    CourseError
        If the name is not a bare file name, the value cannot be written, or the disk refuses.
    """
    if not isinstance(name, str) or name in ("", ".", "..") or PurePath(name).name != name:
        raise CourseError(f"{name!r} is not a file name; give one such as 'model.npz'")
    suffix, content = _content(plain(value))
    path = folder / (name if name.endswith(suffix) else name + suffix)
    write_atomically(path, content, CourseError)
    return path


def _content(value: Any) -> tuple[str, bytes]:
    if isinstance(value, str):
        return "", value.encode("utf-8", "replace")
    if isinstance(value, bytes):
        return "", value
    stream = io.BytesIO()
    if isinstance(value, np.ndarray):
        np.save(stream, value, allow_pickle=False)
        return ".npy", stream.getvalue()
    arrays = value if isinstance(value, dict) else {}
    if isinstance(value, list | tuple):
        arrays = {f"arr_{number}": item for number, item in enumerate(value)}
    if arrays and all(isinstance(item, np.ndarray) for item in arrays.values()):
        np.savez(stream, **{str(key): item for key, item in arrays.items()})
        return ".npz", stream.getvalue()
    try:
        return ".json", (json.dumps(value, indent=2, default=_json_array) + "\n").encode()
    except TypeError as error:
        raise CourseError(f"this value cannot be written as JSON: {error}") from None


def _json_array(value: Any) -> Any:
    if isinstance(value, np.ndarray) and value.dtype.kind != "c":
        return value.tolist()
    raise TypeError(f"it holds {type(value).__name__}")
