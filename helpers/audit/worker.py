"""Inside the sandbox: read a model file, run it, and say what it is. Nothing here is trusted.

Runs as ``python -P -m helpers.audit.worker RUNTIME`` with messages of
:mod:`helpers.edge.runtimes.wire` on its standard input and output. It answers what the worker of
:mod:`helpers.edge.runtimes` answers, and beyond that ``open`` with a description, ``graph``,
``find-code`` and ``convert`` (a Keras file, whose code may run here), ``rehearse`` and
``peak-memory``.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from helpers.audit import graphs, inspection
from helpers.edge.runtimes import wire
from helpers.edge.runtimes.backends import describe_memory, load, load_runtime, run_rows, time_runs
from helpers.edge.runtimes.worker import Server
from helpers.edge.tflite.graph import Graph, read_graph
from helpers.errors import EdgeError


class AuditServer(Server):
    """Answers messages about one file that nobody vouches for."""

    _data = b""
    _graph: Graph | None = None
    _sizes: list[int] | None = None

    def answer(self, header: dict[str, Any], arrays: list[Any], blob: bytes) -> bytes:
        """Do what a message asks, and return the answer to send."""
        actions = {
            "open": self._open,
            "time": self._time,
            "graph": self._send_graph,
            "find-code": _find_code,
            "convert": _convert,
            "rehearse": _rehearse,
            "peak-memory": self._peak_memory,
        }
        if header["do"] in actions:
            return actions[header["do"]](header, arrays, blob)
        return super().answer(header, arrays, blob)

    def _open(self, header: dict[str, Any], arrays: list[Any], blob: bytes) -> bytes:
        self._backend, self._graph, self._data = None, None, blob
        self._sizes = header["sizes"]
        unreadable = ""
        if self._runtime != "onnxruntime":
            try:
                self._graph = read_graph(blob)
            except EdgeError as error:  # its runtime may take it all the same
                unreadable = str(error)
            description = inspection.describe_tflite(self._graph, blob, unreadable)
        else:
            description = inspection.describe_onnx(blob)
        try:
            self._backend = load(self._runtime, blob, header["threads"], header["sizes"])
        except (RuntimeError, ValueError) as error:
            meaning = inspection.explain(str(error), description, blob)
            if not meaning:
                raise
            raise EdgeError(meaning) from error
        stateful = self._graph is not None and self._graph.is_stateful
        contract = inspection.describe_contract(self._backend, stateful)
        return wire.pack({"contract": contract, "description": description})

    def _time(self, header: dict[str, Any], arrays: list[Any], blob: bytes) -> bytes:
        """Time a model of its own, so that the threads may be other ones."""
        backend = load(self._runtime, self._data, header["threads"], self._sizes)
        seconds = time_runs(backend, arrays, header["warm_up"], header["repeats"])
        return wire.pack({}, [seconds])

    def _send_graph(self, header: dict[str, Any], arrays: list[Any], blob: bytes) -> bytes:
        if self._graph is None:
            raise EdgeError("the file's graph cannot be read")
        return wire.pack(*graphs.encode(self._graph))

    def _peak_memory(self, header: dict[str, Any], arrays: list[Any], blob: bytes) -> bytes:
        """Measure in a child: a process that has just forked counts its peak afresh."""
        load_runtime(self._runtime)
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            os.close(reading)
            code = 1
            try:
                before = describe_memory()["resident"]
                run_rows(load(self._runtime, blob, header["threads"], header["sizes"]), arrays)
                os.write(writing, str(describe_memory()["peak"] - before).encode())
                code = 0
            finally:
                os._exit(code)
        os.close(writing)
        with os.fdopen(reading, "rb") as answer:
            added = answer.read()
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if status < 0:  # end as it did, so that a crash is seen as one
            os.kill(os.getpid(), -status)
        if status:
            raise RuntimeError("the model does not run")
        return wire.pack({"runtime": describe_memory()["resident"], "model": int(added)})


def _find_code(header: dict[str, Any], arrays: list[Any], blob: bytes) -> bytes:
    """Say what code a Keras file holds: a question of its own, answered before any has run."""
    return wire.pack({"notes": inspection.find_code_in_keras(blob)})


def _convert(header: dict[str, Any], arrays: list[Any], blob: bytes) -> bytes:
    """Turn a Keras file into a float ``.tflite``; code in the file runs here and nowhere else."""
    import tensorflow as tf

    from helpers.edge.convert import to_tflite
    from helpers.edge.quiet import quiet

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"model{header['suffix']}"
        path.write_bytes(blob)
        with quiet():
            model = tf.keras.models.load_model(path, compile=False, safe_mode=False)
    return wire.pack({}, blob=to_tflite(model).data)


def _rehearse(header: dict[str, Any], arrays: list[Any], blob: bytes) -> bytes:
    """Build a replica and differentiate it: what would crash TensorFlow does so here."""
    import tensorflow as tf

    from helpers.edge.replica import build_replica

    graph = graphs.decode(header["graph"], arrays)
    model = build_replica(graph, header["rounding"], logits=header["logits"])
    shape = graph.tensors[graph.inputs[0]].shape
    rows = np.random.default_rng(0).random((2, *shape[1:]), np.float32)
    with tf.GradientTape() as tape:
        given = tf.constant(rows)
        tape.watch(given)
        outputs = model(given)
        total = tf.add_n([tf.reduce_sum(output) for output in tf.nest.flatten(outputs)])
    tape.gradient(total, given)
    return wire.pack({})


def main() -> None:
    """Take over standard input and output as the pipe, and serve."""
    incoming, outgoing = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb", buffering=0)
    null = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1):
        os.dup2(null, number)

    def write(content: bytes) -> None:
        rest = memoryview(content)
        while rest:
            rest = rest[outgoing.write(rest) :]

    AuditServer(sys.argv[1], incoming, write).serve()


if __name__ == "__main__":
    main()
