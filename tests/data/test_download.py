"""A download is verified, resumes after a break, and says clearly why it cannot go on."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from helpers.data.download import fetch_file
from helpers.data.entry import FileSpec
from helpers.errors import DataError

if TYPE_CHECKING:
    from tests.data.conftest import Server

    Serve = Callable[..., Server]

CONTENT = np.random.default_rng(0).bytes(1_000_000)


def fetch(spec: FileSpec, folder: Path) -> bytes:
    return fetch_file(spec, folder, progress=False).read_bytes()


def test_what_arrives_is_what_was_sent(serve: Serve, tmp_path: Path) -> None:
    server = serve(CONTENT)
    assert fetch(server.spec(), tmp_path) == CONTENT
    assert [path.name for path in tmp_path.iterdir()] == ["file.bin"]


def test_a_good_copy_is_not_fetched_again(serve: Serve, tmp_path: Path) -> None:
    server = serve(CONTENT)
    fetch(server.spec(), tmp_path)
    fetch(server.spec(), tmp_path)
    assert len(server.requests) == 1


def test_an_interrupted_download_resumes_where_it_stopped(serve: Serve, tmp_path: Path) -> None:
    server = serve(CONTENT, cut_after=150_000)
    with pytest.raises(DataError, match=r"closed before the end.*bytes are kept"):
        fetch(server.spec(), tmp_path)
    kept = (tmp_path / "file.bin.part").stat().st_size
    assert 150_000 < kept < 450_001  # three attempts, each from where the last one stopped

    server.cut_after = None
    server.requests.clear()
    assert fetch(server.spec(), tmp_path) == CONTENT
    assert server.requests == [("/file.bin", kept, len(CONTENT) - kept)]


def test_a_file_without_end_is_broken_off(serve: Serve, tmp_path: Path) -> None:
    server = serve(CONTENT)
    with pytest.raises(DataError, match=r"goes on beyond twice the 9 bytes.*another network"):
        fetch(server.spec(content=b"something"), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_one_break_is_healed_within_the_same_call(serve: Serve, tmp_path: Path) -> None:
    server = serve(CONTENT, cut_after=600_000)
    assert fetch(server.spec(), tmp_path) == CONTENT
    assert len(server.requests) == 2


def test_a_server_without_ranges_is_asked_for_everything(serve: Serve, tmp_path: Path) -> None:
    server = serve(CONTENT, understands_ranges=False)
    (tmp_path / "file.bin.part").write_bytes(CONTENT[:300_000])
    assert fetch(server.spec(), tmp_path) == CONTENT
    assert server.bytes_sent == len(CONTENT)


@pytest.mark.parametrize("kept", [b"x" * 1_000, b"x" * 2_000_000], ids=["shorter", "longer"])
def test_a_part_that_is_not_a_beginning_of_the_file_is_dropped(
    serve: Serve, tmp_path: Path, kept: bytes
) -> None:
    server = serve(CONTENT)
    (tmp_path / "file.bin.part").write_bytes(kept)
    assert fetch(server.spec(), tmp_path) == CONTENT


def test_wrong_bytes_are_refused_and_removed(serve: Serve, tmp_path: Path) -> None:
    altered = bytearray(CONTENT)
    altered[500_000] ^= 1
    server = serve(bytes(altered))
    with pytest.raises(DataError, match="not the pinned file"):
        fetch(server.spec(content=CONTENT), tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("size", [0, 1, 999_999])
def test_a_truncated_copy_is_fetched_again(serve: Serve, tmp_path: Path, size: int) -> None:
    server = serve(CONTENT)
    (tmp_path / "file.bin").write_bytes(CONTENT[:size])
    assert fetch(server.spec(), tmp_path) == CONTENT


def test_no_connection_is_said_with_address_and_folder(tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound but not listening: connections are refused
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/file.bin"
        with pytest.raises(DataError, match="no connection") as caught:
            fetch(FileSpec(url, "0" * 64, "file.bin", 1), tmp_path)
    assert url in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_a_missing_file_is_not_asked_for_twice(serve: Serve, tmp_path: Path) -> None:
    server = serve(CONTENT, status=404)
    with pytest.raises(DataError, match="404"):
        fetch(server.spec(), tmp_path)
    assert len(server.requests) == 1
