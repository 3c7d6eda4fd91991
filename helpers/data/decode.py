"""Turn the published files of a dataset into its arrays.

Archives are never unpacked to disk: the members we know by name are read, so no path inside an
archive can lead anywhere. Nothing is unpickled.
"""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from helpers.data import (
    arrays,
    free_spoken_digits,
    google_speech,
    lesions_photographs,
    uci_heart,
)
from helpers.data.arrays import Arrays
from helpers.errors import DataError

_IDX_UINT8 = 0x08
_CIFAR_RECORD = 1 + 32 * 32 * 3  # bytes: a label, then the red, green and blue planes


def idx(content: bytes) -> np.ndarray:
    """Decode one uint8 array in the IDX format of the MNIST files.

    Two zero bytes, a type code, the number of dimensions, each dimension as a big-endian int32,
    then the values in row-major order.

    Raises
    ------
    DataError
        If the header or the length is not that of a uint8 IDX file.
    """
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] != _IDX_UINT8:
        raise DataError(f"Not an IDX file of uint8: it starts with {content[:4].hex()!r}.")
    ndim = content[3]
    start = 4 + 4 * ndim
    if len(content) < start:
        raise DataError(f"The IDX file ends inside its header ({len(content)} bytes).")
    shape = tuple(int(size) for size in np.frombuffer(content, ">i4", ndim, offset=4))
    expected = int(np.prod(shape, dtype=np.int64))
    if len(content) - start != expected:
        raise DataError(
            f"The IDX file holds {len(content) - start:,} values but its header says {shape}."
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def cifar_records(content: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Decode one batch of CIFAR-10's binary version: images ``(n, 32, 32, 3)``, labels ``(n,)``.

    Raises
    ------
    DataError
        If the length is not a whole number of records.
    """
    if not content or len(content) % _CIFAR_RECORD:
        raise DataError(
            f"A CIFAR-10 batch holds {len(content):,} bytes, not a multiple of {_CIFAR_RECORD}."
        )
    records = np.frombuffer(content, np.uint8).reshape(-1, _CIFAR_RECORD)
    planes = records[:, 1:].reshape(-1, 3, 32, 32)
    return planes.transpose(0, 2, 3, 1), records[:, 0]


def image_sheet(content: bytes) -> np.ndarray:
    """Decode a PNG sheet, one flattened 32 x 32 RGB image a row: uint8 ``(n, 32, 32, 3)``.

    Raises
    ------
    DataError
        If it is not a readable PNG of that layout.
    """
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content), formats=["PNG"]) as sheet:
            pixels = np.asarray(sheet)
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(f"A sheet of images is not a readable PNG: {error}.") from error
    if pixels.ndim != 3 or pixels.shape[1:] != (32 * 32, 3):
        raise DataError(
            f"A sheet of images has shape {pixels.shape}; expected (n, 1024, 3), a row an image."
        )
    return pixels.reshape(-1, 32, 32, 3)


def _members(path: Path, names: list[str]) -> list[bytes]:
    contents = []
    try:
        with tarfile.open(path) as archive:
            for name in names:
                file = archive.extractfile(name)
                if file is None:
                    raise DataError(f"{path} has no regular file {name!r}.")
                contents.append(file.read())
    except (tarfile.TarError, KeyError, EOFError, OSError) as error:
        raise DataError(f"{path} is not the archive we expect: {error}.") from error
    return contents


def _keras_mnist(paths: list[Path]) -> Arrays:
    return arrays.read(paths[0])


def _fashion_mnist(paths: list[Path]) -> Arrays:
    """Decode the four gzipped IDX files, in the order of the catalogue."""
    keys = ("x_train", "y_train", "x_test", "y_test")
    return {
        key: idx(gzip.decompress(path.read_bytes())) for key, path in zip(keys, paths, strict=True)
    }


def _cifar_binary(paths: list[Path]) -> Arrays:
    names = [f"cifar-10-batches-bin/data_batch_{batch}.bin" for batch in range(1, 6)]
    batches = [
        cifar_records(content)
        for content in _members(paths[0], [*names, "cifar-10-batches-bin/test_batch.bin"])
    ]
    x_test, y_test = batches.pop()
    return {
        "x_train": np.concatenate([x for x, _ in batches]),
        "y_train": np.concatenate([y for _, y in batches]),
        "x_test": np.ascontiguousarray(x_test),
        "y_test": y_test,
    }


def _npm_mnist(tarball: Path) -> Arrays:
    names = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
    contents = _members(tarball, [f"package/data/{name}-ubyte" for name in names])
    keys = ("x_train", "y_train", "x_test", "y_test")
    return {key: idx(content) for key, content in zip(keys, contents, strict=True)}


def _npm_cifar10(tarball: Path) -> Arrays:
    # "lables" is how the package spells its own file names
    names = [*(f"data_batch_{batch}.png" for batch in range(1, 6)), "test_batch.png"]
    names += ["train_lables.json", "test_lables.json"]
    *train, test, y_train, y_test = _members(tarball, [f"package/{name}" for name in names])
    return {
        "x_train": np.concatenate([image_sheet(content) for content in train]),
        "y_train": np.array(json.loads(y_train), np.uint8),
        "x_test": image_sheet(test),
        "y_test": np.array(json.loads(y_test), np.uint8),
    }


def _medmnist(paths: list[Path]) -> Arrays:
    """Rename the arrays of MedMNIST; its labels are columns."""
    names = {"train": "train", "validation": "val", "test": "test"}
    keys = tuple(f"{name}_{kind}" for name in names.values() for kind in ("images", "labels"))
    stored = arrays.read_named(paths[0], keys)
    read = {f"x_{part}": stored[f"{name}_images"] for part, name in names.items()}
    return read | {f"y_{part}": stored[f"{name}_labels"].ravel() for part, name in names.items()}


DOWNLOADED: dict[str, Callable[[list[Path]], Arrays]] = {
    "mnist": _keras_mnist,
    "fashion_mnist": _fashion_mnist,
    "cifar10": _cifar_binary,
    "heart_disease": uci_heart.decode,
    "derma_mnist": _medmnist,
    "speech_commands": google_speech.read_archive,
}
FROM_FOLDER: dict[str, Callable[[Path], Arrays]] = {
    "spoken_digits": free_spoken_digits.read_folder,
    "ph2": lesions_photographs.read_folder,
}
FROM_NPM: dict[str, Callable[[Path], Arrays]] = {"mnist": _npm_mnist, "cifar10": _npm_cifar10}
