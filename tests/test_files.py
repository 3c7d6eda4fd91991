"""Files that are there whole or not at all, and locks."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import IO

import pytest

from helpers._files import take_lock, write_atomically
from helpers.errors import EdgeError


@pytest.mark.parametrize(
    "content", ["né\n", "né\n".encode(), lambda file: file.write(b"n\xc3\xa9\n")]
)
def test_text_bytes_and_what_writes_them_are_the_same_file(content: object, tmp_path: Path) -> None:
    path = tmp_path / "made" / "file.txt"
    write_atomically(path, content)  # type: ignore[arg-type]
    assert path.read_bytes() == b"n\xc3\xa9\n"
    assert list(path.parent.iterdir()) == [path]


def test_a_write_that_fails_leaves_the_old_content_and_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    path.write_text("old")

    def fail(file: IO[bytes]) -> None:
        file.write(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, fail)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_two_threads_that_write_one_file_do_not_meet(tmp_path: Path) -> None:
    path, both = tmp_path / "file.txt", Barrier(2)

    def wait_and_write(text: str) -> None:
        def write(file: IO[bytes]) -> None:
            both.wait(10)
            file.write(text.encode())
            both.wait(10)

        write_atomically(path, write)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(wait_and_write, ("one", "two")))
    assert path.read_text() in ("one", "two")
    assert list(tmp_path.iterdir()) == [path]


def test_a_pipe_is_written_to_and_stays_one(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with ThreadPoolExecutor(1) as pool:
        read = pool.submit(path.read_text)
        write_atomically(path, "through")
        assert path.is_fifo()
        assert read.result(10) == "through"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(EdgeError, match="cannot be written: Is a directory"):
        write_atomically(tmp_path, "text", EdgeError)


def test_a_refusal_without_a_number_keeps_its_words(tmp_path: Path) -> None:
    def fail(file: IO[bytes]) -> None:
        raise OSError("no position in a pipe")

    with pytest.raises(EdgeError, match=r"written: no position in a pipe\."):
        write_atomically(tmp_path / "file", fail, EdgeError)


def test_a_disk_that_refuses_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    path = tmp_path / "file" / "below.txt"
    with pytest.raises(EdgeError, match=r"below.txt cannot be written"):
        write_atomically(path, "text", EdgeError)


def test_a_shared_lock_lets_others_share_and_keeps_the_rest_out(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    first, second = take_lock(path, shared=True), take_lock(path, shared=True)
    assert first is not None
    assert second is not None
    assert take_lock(path) is None
    os.close(first)
    os.close(second)
    assert take_lock(path) is not None
