"""Damaged files: the caller refuses them or runs them, and is still there afterwards."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from helpers.edge.artefact import Artefact
from helpers.edge.runtimes.process import Worker
from helpers.edge.runtimes.runner import RemoteEngine
from helpers.edge.tflite.graph import read_graph
from helpers.errors import EdgeError
from tests.edge.conftest import WAKE_WORDS, edited, wake_word

NASTY = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def mutated(content: bytes, rng: np.random.Generator) -> bytes:
    """One file with a few bits flipped, words replaced, or pieces copied over others."""
    damaged = bytearray(content)
    kind = rng.integers(3)
    for _ in range(int(rng.integers(1, 6))):
        at = int(rng.integers(len(damaged) - 8)) // 4 * 4
        if kind == 0:
            damaged[at + int(rng.integers(4))] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            struct.pack_into("<I", damaged, at, NASTY[int(rng.integers(len(NASTY)))])
        else:
            other, size = int(rng.integers(len(damaged) - 64)), int(rng.integers(1, 64))
            piece = damaged[other : other + size]
            damaged[at : at + size] = piece[: len(damaged) - at]
    return bytes(damaged)


def test_300_damaged_files_are_refused_or_run_and_the_caller_survives(
    artefacts: dict[str, Artefact],
) -> None:
    rng = np.random.default_rng(7)
    files = [wake_word(name).read_bytes() for name in WAKE_WORDS]
    files += [artefact.data for artefact in artefacts.values()]
    worker, outcomes = Worker("litert"), {"refused": 0, "failed": 0, "ran": 0}
    for number in range(300):
        content = mutated(files[number % len(files)], rng)
        try:
            read_graph(content)
        except EdgeError:
            outcomes["refused"] += 1
            continue
        try:
            engine = RemoteEngine(Artefact(content, "tflite", f"mutant {number}"), worker, 1)
            engine.run([c.encode(np.zeros(c.shape)) for c in engine.contract.inputs])
            outcomes["ran"] += 1
        except EdgeError:  # refused by the runtime, or its worker died: the next gets a new one
            outcomes["failed"] += 1
            worker.close()
            worker = Worker("litert")
    worker.close()
    # Most damage lies in structure and is found in Python; damage to weights runs.
    assert outcomes["refused"] > 100
    assert outcomes["ran"] > 20


def crashing_file() -> bytes:
    """A file that fuzzing found: a slice without its begin, which LiteRT reads all the same."""

    def cut(model: object) -> None:
        operations = model.subgraphs[0].operators  # type: ignore[attr-defined]
        sliced = [
            o for o in operations if type(o.builtinOptions).__name__ == "StridedSliceOptionsT"
        ]
        for operation in sliced:
            operation.inputs[1] = -1

    return edited(wake_word("hey_jarvis").read_bytes(), cut)


def test_a_file_that_crashes_the_runtime_is_refused_by_reading_it() -> None:
    with pytest.raises(EdgeError, match="lacks an input"):
        read_graph(crashing_file())


def test_a_file_that_gets_past_reading_and_crashes_the_runtime_ends_only_the_worker() -> None:
    worker = Worker("litert")
    with pytest.raises(EdgeError, match=r"crashed with SIGSEGV .* this process is unharmed"):
        RemoteEngine(Artefact(crashing_file(), "tflite", "crash.tflite"), worker, 1)
    with pytest.raises(EdgeError, match="has ended"):
        worker.ask("memory")
