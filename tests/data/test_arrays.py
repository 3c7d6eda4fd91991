"""What is in the cache is either exactly what was put there, or reported as damaged."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from helpers.cli._arrays import load_array
from helpers.data import arrays
from helpers.data.arrays import Arrays
from helpers.errors import DataError


@pytest.fixture
def stored(tmp_path: Path, small_mnist: Arrays) -> Path:
    path = tmp_path / "mnist.npz"
    arrays.write_verified(path, small_mnist, "a test")
    return path


def test_what_is_read_is_what_was_written(stored: Path, small_mnist: Arrays) -> None:
    found, origin = arrays.read_verified(stored)
    assert origin == "a test"
    for key, array in small_mnist.items():
        assert found[key].dtype == array.dtype
        assert np.array_equal(found[key], array)


@settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(share=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255))
def test_a_changed_byte_never_changes_the_data_unnoticed(
    stored: Path, small_mnist: Arrays, share: float, flip: int
) -> None:
    content = bytearray(stored.read_bytes())
    content[int(share * len(content))] ^= flip
    damaged = stored.with_name("damaged.npz")
    damaged.write_bytes(content)
    with contextlib.suppress(DataError):
        # no error: the byte carries no data, such as a date in the archive's directory
        found, origin = arrays.read_verified(damaged)
        assert origin == "a test"
        assert all(np.array_equal(found[key], small_mnist[key]) for key in small_mnist)


def test_a_file_that_now_claims_to_be_encrypted_is_damaged(stored: Path) -> None:
    content = bytearray(stored.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] ^= 1  # the first entry of the archive's directory
    stored.write_bytes(content)
    with pytest.raises(DataError, match=r"mnist\.npz is damaged"):
        arrays.read_verified(stored)


def test_what_is_no_array_of_a_command_is_refused(stored: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.arange(3))
    assert load_array(tmp_path / "x.npy").tolist() == [0, 1, 2]
    cut = tmp_path / "cut.npy"
    for content in (b"", b"\x93NUMPY\x01", b"PK\x03\x04 cut", stored.read_bytes()):
        cut.write_bytes(content)
        with pytest.raises(DataError, match=r"cut\.npy is no \.npy array"):
            load_array(cut)


@pytest.mark.parametrize("kept", [0.0, 0.01, 0.5, 0.99, 0.9999])
def test_a_truncated_file_is_reported_by_name(stored: Path, kept: float) -> None:
    content = stored.read_bytes()
    stored.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(DataError, match=r"mnist\.npz is damaged"):
        arrays.read_verified(stored)


def test_a_changed_pixel_is_reported(stored: Path) -> None:
    content = bytearray(stored.read_bytes())
    content[len(content) // 2] ^= 1
    stored.write_bytes(content)
    with pytest.raises(DataError, match=r"mnist\.npz is damaged"):
        arrays.read_verified(stored)


def test_content_that_was_swapped_for_other_content_is_noticed(
    stored: Path, small_mnist: Arrays
) -> None:
    with np.load(stored) as archive:
        seal = {key: archive[key] for key in ("origin", "sha256")}
    np.savez(stored, **{**small_mnist, "y_test": small_mnist["y_test"][::-1]}, **seal)
    with pytest.raises(DataError, match="does not match its SHA-256"):
        arrays.read_verified(stored)


def test_nothing_pickled_is_ever_loaded(tmp_path: Path, small_mnist: Arrays) -> None:
    path = tmp_path / "pickled.npz"
    np.savez(path, **{**small_mnist, "y_test": np.array([{"any": "object"}] * 10)})
    with pytest.raises(DataError, match="Object arrays cannot be loaded"):
        arrays.read(path)


def test_a_file_that_is_not_an_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "one.npz"
    with path.open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(DataError, match=r"one\.npz is damaged or not a dataset"):
        arrays.read(path)


def test_a_write_that_fails_leaves_the_old_file_and_no_other(
    stored: Path, small_mnist: Arrays, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = stored.read_bytes()

    def full_disk(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        arrays.write_verified(stored, small_mnist, "another test")
    assert stored.read_bytes() == before
    assert list(stored.parent.glob(".*")) == []
