"""The process that runs a model file: started by :mod:`helpers.edge.runtimes.process`.

It answers one message at a time over a socket that it inherits. It limits its own memory and the
size of any file it writes before it loads a runtime. That keeps a damaged file from taking the
caller along; it is no cage for an attacker who has found a way to run code through a runtime.
"""

from __future__ import annotations

import resource
import socket
import sys
from collections.abc import Callable
from typing import IO, Any

import numpy as np

from helpers.edge.runtimes import wire
from helpers.edge.runtimes.backends import (
    Backend,
    describe_memory,
    forget_peak_memory,
    load,
    load_runtime,
    run_rows,
    time_runs,
)

MAX_WRITTEN = 2**28  # tf2onnx reads a .tflite from a file


def main() -> None:
    """Serve the socket named on the command line until the other side closes it."""
    runtime, descriptor, memory_limit = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    _limit(memory_limit)
    with socket.socket(fileno=descriptor) as connection, connection.makefile("rb") as incoming:
        Server(runtime, incoming, connection.sendall).serve()


def _limit(memory_limit: int) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (MAX_WRITTEN, MAX_WRITTEN))
    resource.setrlimit(resource.RLIMIT_AS, (memory_limit, memory_limit))


class Server:
    """Answers messages about one model, one after the other.

    Parameters
    ----------
    runtime
        Runtime to load, such as ``"litert"``.
    incoming
        Where messages are read from.
    write
        What sends an answer.
    """

    def __init__(self, runtime: str, incoming: IO[bytes], write: Callable[[bytes], object]) -> None:
        self._runtime, self._incoming, self._write = runtime, incoming, write
        self._backend: Backend | None = None

    def serve(self) -> None:
        """Answer until the other side closes."""
        while True:
            try:
                header, arrays, blob = wire.unpack(self._read)
            except EOFError:
                return
            try:
                answer = self.answer(header, arrays, blob)
            # Whatever a runtime raises on a bad file becomes an answer, not the worker's end.
            except Exception as error:
                answer = wire.pack({"error": f"{type(error).__name__}: {error}"[:2000]})
            self._write(answer)

    def _read(self, count: int) -> bytes:
        content = self._incoming.read(count)
        if len(content) < count:
            raise EOFError
        return content

    def answer(self, header: dict[str, Any], arrays: list[Any], blob: bytes) -> bytes:
        """Do what a message asks, and return the answer to send."""
        do = header["do"]
        if do == "open":
            self._backend = None
            self._backend = load(self._runtime, blob, header["threads"])
            return wire.pack({"contract": self._backend.contract.to_json()})
        if do == "load-runtime":
            load_runtime(self._runtime)
            return wire.pack({})
        if do == "memory":
            return wire.pack(describe_memory())
        if do == "forget-peak":
            forget_peak_memory()
            return wire.pack({})
        if do == "to-onnx":
            from helpers.edge.convert import tflite_to_onnx

            return wire.pack({}, blob=tflite_to_onnx(blob, header["contract"]))
        if do == "to-executorch":
            from helpers.edge.runtimes.executorch import export

            return wire.pack({}, blob=export(header["graph"], arrays))
        if self._backend is None:
            raise RuntimeError("no model is open")
        if do == "run":
            return wire.pack({}, run_rows(self._backend, arrays))
        if do == "run-zeros":
            run_rows(
                self._backend, [c.encode(np.zeros(c.shape)) for c in self._backend.contract.inputs]
            )
            return wire.pack({})
        if do == "time":
            timed = time_runs(self._backend, arrays, header["warm_up"], header["repeats"])
            return wire.pack({}, [timed])
        if do == "reset":
            self._backend.reset()
            return wire.pack({})
        raise ValueError(f"unknown message {do!r}")
