"""A few dozen of the damaged files of ``benchmarks/audit_fuzz.py``: each ends in a clear word."""

from __future__ import annotations

import numpy as np
import pytest
from audit_fuzz import Cages, examine
from common.mutants import MUTATORS

from helpers.audit.cage import find_layers
from tests.audit.conftest import onnx_classifier
from tests.edge.conftest import wake_word


@pytest.mark.parametrize("kind", ["tflite", "onnx"])
def test_damaged_files_end_in_a_verdict_a_refusal_or_the_workers_end(kind: str) -> None:
    rng = np.random.default_rng(11)
    sound = {
        "tflite": wake_word("hey_jarvis").read_bytes(),
        "onnx": onnx_classifier(rng.normal(size=(4, 3)).astype(np.float32)),
    }
    cages, ends = Cages(find_layers()), []
    for mutate in MUTATORS[kind].values():
        for _ in range(5):
            ends.append(examine(mutate(sound[kind], rng), kind, cages))
    cages.close()
    kinds = [end.split(":")[0] for end in ends]
    assert set(kinds) <= {"verdict", "refused", "worker ended"}
    assert kinds.count("refused") > 10
    assert kinds.count("verdict") > 0
    # A worker is started anew only where a file has ended the last one.
    assert cages.started <= 1 + kinds.count("worker ended")
