"""A cache of its own for every test, and a small HTTP server that can misbehave."""

from __future__ import annotations

import hashlib
import io
import os
import struct
import tarfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from helpers.data import catalog
from helpers.data.arrays import Arrays
from helpers.data.entry import FileSpec

_REAL_LOCAL_COPIES = os.environ.get("EDGESEC_DATA")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache folder of this test alone; no local copies."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("EDGESEC_CACHE", str(folder))
    monkeypatch.delenv("EDGESEC_DATA", raising=False)
    return folder


@pytest.fixture
def real_copies(monkeypatch: pytest.MonkeyPatch) -> Path:
    """The developer's folder of full datasets, when EDGESEC_DATA names one."""
    if not _REAL_LOCAL_COPIES:
        pytest.skip("EDGESEC_DATA is not set: no local copies of full datasets to try")
    monkeypatch.setenv("EDGESEC_DATA", _REAL_LOCAL_COPIES)
    return Path(_REAL_LOCAL_COPIES)


@dataclass
class Server:
    """Serves `content` at every path; `requests` holds (path, first byte, bytes sent) of each."""

    content: bytes
    understands_ranges: bool = True
    cut_after: int | None = None  # close the connection after so many bytes of a reply
    status: int = 200
    url: str = ""
    requests: list[tuple[str, int, int]] = field(default_factory=list)

    @property
    def bytes_sent(self) -> int:
        return sum(sent for _, _, sent in self.requests)

    def spec(self, name: str = "file.bin", content: bytes | None = None) -> FileSpec:
        expected = self.content if content is None else content
        return FileSpec(
            f"{self.url}/{name}", hashlib.sha256(expected).hexdigest(), name, len(expected)
        )


class _Handler(BaseHTTPRequestHandler):
    behaviour: Server

    def do_GET(self) -> None:
        server = self.behaviour
        total, start = len(server.content), 0
        asked = self.headers.get("Range")
        if server.status != 200:
            server.requests.append((self.path, 0, 0))
            self._head(server.status, 0)
            return
        if asked and server.understands_ranges:
            start = int(asked.removeprefix("bytes=").split("-")[0])
        # noted before anything is sent: a test may look as soon as it has its answer
        body = server.content[start:][: server.cut_after]
        server.requests.append((self.path, start, len(body)))
        if not asked or not server.understands_ranges:
            self._head(200, total)
        elif start >= total:
            self._head(416, 0)
        else:
            self._head(206, total - start, f"bytes {start}-{total - 1}/{total}")
        self.wfile.write(body)

    def _head(self, status: int, length: int, content_range: str | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        if content_range:
            self.send_header("Content-Range", content_range)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: the tests read `Server.requests`."""


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    """Start servers on the loopback interface; they stop with the test."""
    running: list[tuple[ThreadingHTTPServer, threading.Thread]] = []

    def start(content: bytes, **behaviour: object) -> Server:
        server = Server(content, **behaviour)  # type: ignore[arg-type]
        handler = type("Handler", (_Handler,), {"behaviour": server})
        http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        server.url = f"http://127.0.0.1:{http.server_port}"
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        running.append((http, thread))
        return server

    yield start
    for http, thread in running:
        http.shutdown()
        thread.join()
        http.server_close()


@pytest.fixture
def small_mnist() -> Arrays:
    """Forty images in MNIST's format, standing for the whole dataset."""
    rng = np.random.default_rng(7)
    return {
        "x_train": rng.integers(0, 256, (30, 28, 28), dtype=np.uint8),
        "y_train": rng.integers(0, 10, 30, dtype=np.uint8),
        "x_test": rng.integers(0, 256, (10, 28, 28), dtype=np.uint8),
        "y_test": rng.integers(0, 10, 10, dtype=np.uint8),
    }


@pytest.fixture
def hosted_mnist(
    serve: Callable[..., Server], small_mnist: Arrays, monkeypatch: pytest.MonkeyPatch
) -> Server:
    """A server that hosts `small_mnist`, and a catalogue that takes it for all of MNIST."""
    file = io.BytesIO()
    np.savez(file, **small_mnist)
    server = serve(file.getvalue())
    entry = replace(
        catalog.ENTRIES["mnist"],
        full_counts=(30, 10),
        files=(server.spec("mnist-keras.npz"),),
        npm=None,
    )
    monkeypatch.setitem(catalog.ENTRIES, "mnist", entry)
    return server


@pytest.fixture(scope="session")
def encode_idx() -> Callable[[np.ndarray], bytes]:
    """An encoder of IDX, written from the specification that came with the MNIST files."""

    def encode(array: np.ndarray) -> bytes:
        header = struct.pack(">HBB", 0, 8, array.ndim)
        return header + b"".join(struct.pack(">I", n) for n in array.shape) + array.tobytes()

    return encode


@pytest.fixture(scope="session")
def write_tar() -> Callable[[Path, dict[str, bytes]], Path]:
    """A writer of gzipped archives from names and contents, wherever the names point."""

    def write(path: Path, members: dict[str, bytes]) -> Path:
        with tarfile.open(path, "w:gz") as archive:
            for name, content in members.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
        return path

    return write
