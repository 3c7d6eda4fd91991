"""Peer of robust_aggregators.py: ByzFL's rules on NumPy arrays and on torch tensors.

Run by robust_aggregators.py as ``byzfl_rules.py MATRIX.npy RESULTS.npz F REPEATS RULE...``;
the environment needs byzfl and torch. Writes each rule's result and prints its times as JSON.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import json
import sys
import time
import types
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

torch.set_num_threads(1)

# Only the rules are wanted: the package itself also imports its data sets, and with them
# torchvision, whose build has to match torch's.
_spec = importlib.util.find_spec("byzfl")
assert _spec is not None
_package = types.ModuleType("byzfl")
_package.__path__ = list(_spec.submodule_search_locations or [])
sys.modules["byzfl"] = _package

rules: Any = importlib.import_module("byzfl.aggregators")

# Rules that keep something between calls are made anew for each.
MAKERS: dict[str, Callable[[int], Any]] = {
    "Average": lambda f: rules.Average(),
    "Median": lambda f: rules.Median(),
    "TrMean": rules.TrMean,
    "Meamed": rules.Meamed,
    "Krum": rules.Krum,
    "MultiKrum": rules.MultiKrum,
    "GeometricMedian": lambda f: rules.GeometricMedian(nu=0.1, T=3),
    "CenteredClipping": lambda f: rules.CenteredClipping(L=3, tau=10.0),
    "NNM": rules.NNM,
}


def main() -> None:
    matrix, out = np.load(sys.argv[1]), sys.argv[2]
    f, repeats, names = int(sys.argv[3]), int(sys.argv[4]), sys.argv[5:]
    inputs = {"numpy": matrix, "torch": torch.from_numpy(matrix)}
    seconds: dict[str, dict[str, list[float]]] = {name: {} for name in names}
    results: dict[str, np.ndarray] = {}
    for rule in names:
        for kind, vectors in inputs.items():
            made, times = timed(rule, f, vectors, repeats)
            seconds[rule][kind] = times
            results[f"{rule} {kind}"] = np.asarray(made)
    np.savez(out, **results)
    versions = {name: importlib.metadata.version(name) for name in ("byzfl", "torch", "numpy")}
    print(json.dumps({"seconds": seconds, "versions": versions}))


def timed(rule: str, f: int, vectors: Any, repeats: int) -> tuple[Any, list[float]]:
    """Return a rule's result and the CPU seconds of a call; short calls are repeated."""
    made, times = MAKERS[rule](f)(vectors), []
    start = time.process_time()
    MAKERS[rule](f)(vectors)
    inner = max(1, round(0.02 / max(time.process_time() - start, 1e-5)))
    for _ in range(repeats):
        start = time.process_time()
        for _ in range(inner):
            MAKERS[rule](f)(vectors)
        times.append((time.process_time() - start) / inner)
    return made, times


if __name__ == "__main__":
    main()
