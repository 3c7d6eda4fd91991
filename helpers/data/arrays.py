"""The four arrays of a dataset on disk: read and checked, written whole or not at all."""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from pathlib import Path

import numpy as np

from helpers._files import write_atomically
from helpers.errors import DataError

Arrays = dict[str, np.ndarray]
KEYS = ("x_train", "y_train", "x_test", "y_test")
SITES = ("site_train", "site_test")  # where a dataset says which place a row comes from
VALIDATION = ("x_validation", "y_validation")  # where a dataset has a third part
OPTIONAL = (*VALIDATION, *SITES)

# What numpy raises on an .npz that is truncated, altered, or none at all.
DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    ValueError,
    KeyError,
    EOFError,
    RuntimeError,  # an unknown compression; a member that now claims to be encrypted
    OSError,
    AttributeError,  # a bare .npy has no archive to close
    TypeError,
)


def read(path: Path, extra: tuple[str, ...] = ()) -> Arrays:
    """Read the arrays named in `KEYS` and `extra`, those `OPTIONAL` if there, nothing pickled.

    Raises
    ------
    DataError
        If the file is damaged or lacks one of the arrays.
    """
    return read_named(path, (*KEYS, *extra), OPTIONAL)


def read_named(path: Path, keys: tuple[str, ...], optional: tuple[str, ...] = ()) -> Arrays:
    """Read the arrays named in `keys`, and those in `optional` if there, nothing pickled.

    Raises
    ------
    DataError
        If the file is damaged or lacks one of the arrays.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {key: archive[key] for key in (*keys, *(k for k in optional if k in archive))}
    except DAMAGE as error:
        raise DataError(
            f"{path} is damaged or not a dataset ({error}); it must be an .npz file with the "
            f"arrays {', '.join(keys)}. Replace or remove it."
        ) from error


def check(arrays: Arrays, image_shape: tuple[int, ...], num_classes: int, where: str) -> None:
    """Check raw images (uint8) and labels (integers) of an image dataset.

    Raises
    ------
    DataError
        Naming `where`, the array and what it should be.
    """
    spare = ("validation",) if VALIDATION[0] in arrays else ()
    for part in ("train", "test", *spare):
        x, y = arrays[f"x_{part}"], arrays[f"y_{part}"]
        if x.dtype != np.uint8 or x.shape[1:] != image_shape or len(x) == 0:
            raise DataError(
                f"{where}: x_{part} is {x.dtype} {x.shape}; expected uint8 "
                f"(n, {', '.join(map(str, image_shape))}) with n > 0."
            )
        if y.dtype.kind not in "iu" or y.shape != (len(x),):
            raise DataError(
                f"{where}: y_{part} is {y.dtype} {y.shape}; expected integers ({len(x)},)."
            )
        if y.min() < 0 or y.max() >= num_classes:
            raise DataError(
                f"{where}: y_{part} spans {y.min()}..{y.max()}; expected 0..{num_classes - 1}."
            )


def check_table(
    arrays: Arrays, num_features: int, num_classes: int, num_sites: int, where: str
) -> None:
    """Check a raw table (float32), its labels and the site of each row (integers).

    Raises
    ------
    DataError
        Naming `where`, the array and what it should be.
    """
    for part in ("train", "test"):
        x = arrays[f"x_{part}"]
        if x.dtype != np.float32 or x.shape[1:] != (num_features,) or len(x) == 0:
            raise DataError(
                f"{where}: x_{part} is {x.dtype} {x.shape}; expected float32 (n, {num_features}) "
                "with n > 0."
            )
        for key, count in ((f"y_{part}", num_classes), (f"site_{part}", num_sites)):
            values = arrays.get(key, np.array([]))
            if values.dtype.kind not in "iu" or values.shape != (len(x),):
                raise DataError(
                    f"{where}: {key} is {values.dtype} {values.shape}; expected integers "
                    f"({len(x)},)."
                )
            if values.min() < 0 or values.max() >= count:
                raise DataError(
                    f"{where}: {key} spans {values.min()}..{values.max()}; expected 0..{count - 1}."
                )


def check_audio(arrays: Arrays, clip_samples: int, num_classes: int, where: str) -> None:
    """Check raw sound (int16) and labels (integers) of clips of one length.

    Raises
    ------
    DataError
        Naming `where`, the array and what it should be.
    """
    parts = ("train", "validation", "test") if VALIDATION[0] in arrays else ("train", "test")
    for part in parts:
        x, y = arrays[f"x_{part}"], arrays.get(f"y_{part}", np.array([]))
        if x.dtype != np.int16 or x.shape[1:] != (clip_samples,) or len(x) == 0:
            raise DataError(
                f"{where}: x_{part} is {x.dtype} {x.shape}; expected int16 (n, {clip_samples}) "
                "with n > 0."
            )
        if y.dtype.kind not in "iu" or y.shape != (len(x),):
            raise DataError(
                f"{where}: y_{part} is {y.dtype} {y.shape}; expected integers ({len(x)},)."
            )
        if y.min() < 0 or y.max() >= num_classes:
            raise DataError(
                f"{where}: y_{part} spans {y.min()}..{y.max()}; expected 0..{num_classes - 1}."
            )


def digest(arrays: Arrays, origin: str) -> str:
    """Return the SHA-256 over names, dtypes, shapes and bytes of the arrays, and `origin`."""
    total = hashlib.sha256(origin.encode())
    for key in _stored(arrays):
        array = np.ascontiguousarray(arrays[key])
        total.update(f"{key} {array.dtype.str} {array.shape}".encode())
        total.update(array.data)
    return total.hexdigest()


def write_verified(path: Path, arrays: Arrays, origin: str) -> None:
    """Write the arrays with their digest inside; a kill at any moment leaves no half file.

    The digest finds damage, not malice: whoever can write the cache can also recompute it.
    """
    stored = {key: arrays[key] for key in _stored(arrays)}
    stored |= {"origin": np.array(origin), "sha256": np.array(digest(arrays, origin))}
    write_atomically(path, lambda file: np.savez(file, **stored))


def read_verified(path: Path) -> tuple[Arrays, str]:
    """Read what :func:`write_verified` wrote: the arrays and their origin.

    Raises
    ------
    DataError
        If the file is damaged or its content is not what was written.
    """
    arrays = read(path, extra=("origin", "sha256"))
    origin, expected = str(arrays.pop("origin")), str(arrays.pop("sha256"))
    if digest(arrays, origin) != expected:
        raise DataError(f"{path} is damaged: its content does not match its SHA-256.")
    return arrays, origin


def _stored(arrays: Arrays) -> list[str]:
    return [key for key in (*KEYS, *OPTIONAL) if key in arrays]
