"""Thousands of damaged model files: does the audit always end in a verdict or a clear refusal?

Run from the repository root:

    python benchmarks/audit_fuzz.py              # what is missing, for 5 minutes
    python benchmarks/audit_fuzz.py --minutes 60 # longer
    python benchmarks/audit_fuzz.py --quick      # a small pass over every part, apart

Each unit takes one sound model and one way to damage it, and examines a number of damaged copies
as ``helpers.audit.model`` does: open, run on zeros, read the graph back, and for one of the models
build the replica. What may happen: a verdict; a refusal with its reason; the sandboxed
process crashes, hangs or swells, and this one says so. What may not: any other exception here, or
no answer in time. Sound models are made here, come with the package pymicro-wakeword, and, if
EDGESEC_MODELS names a folder, lie in it. Workers are kept from one file to the next where the file
has not ended them, which is the one difference to the command. Every finished unit is written at
once and is not done again, so the command can be stopped and repeated.
"""

from __future__ import annotations

import argparse
import functools
import os
import re
import time
from collections import Counter
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

import numpy as np
from common.figures import command_of, machine, record_path
from common.mutants import MUTATORS
from common.store import Row, Store, Unit

from helpers.audit.cage import Budget, Cage, find_layers
from helpers.audit.files import Format
from helpers.audit.model import UntrustedModel
from helpers.errors import (
    AuditError,
    ModelContractError,
    ModelCrashError,
    ModelMemoryError,
    ModelRefusedError,
    ModelTimeoutError,
)
from helpers.sandbox import Layers

ROOT = Path(__file__).parents[1]
OWN = ROOT / "build" / "benchmarks" / "sound"
REPLICAS = "own int8.tflite"  # a replica takes a second or two, so one model has it built
COPIES = {"tflite": 60, "onnx": 60, "keras": 10, "h5": 10}
QUICK_COPIES = 2
BUDGET = Budget(seconds=60, memory=2**30)
KERAS_BUDGET = Budget(seconds=120, memory=2**31)
SLACK = 2.0  # one question may take its limit, and a new worker as long again
_ENDS = {ModelCrashError: "crash", ModelTimeoutError: "time-out", ModelMemoryError: "memory"}


class KeptCage(Cage):
    """A cage that stays for the next file."""

    def close(self) -> None:
        """Stay; :meth:`dismiss` closes."""

    def dismiss(self) -> None:
        """End the worker."""
        super().close()


class Cages:
    """Starts workers, and only where the last one of its kind has ended."""

    def __init__(self, layers: Layers) -> None:
        self._layers, self._kept = layers, dict[str, KeptCage]()
        self.started = 0

    def __call__(self, runtime: str) -> Cage:
        """Return an open cage."""
        kept = self._kept.get(runtime)
        if kept is None or not kept.is_open:
            budget = KERAS_BUDGET if runtime == "tflite" else BUDGET
            kept = self._kept[runtime] = KeptCage(runtime, budget, self._layers)
            self.started += 1
        return kept

    def close(self) -> None:
        """End all workers."""
        for kept in self._kept.values():
            kept.dismiss()


def examine(data: bytes, format: Format, cages: Cages, replicas: bool = False) -> str:
    """Examine one file; return how that ended.

    Parameters
    ----------
    data, format
        The file.
    cages
        Where it runs.
    replicas
        Whether to build the replica of a classifier, in this process in the end.
    """
    try:
        model = UntrustedModel(data, format, 1, cages)
        ended = _try(lambda: model.raw_predict(model.zeros()))
        ended = ended or f"verdict: {model.task.kind}"
        _try(model.weights)
        if replicas and model.task.kind == "classifier" and not _try(model.replica):
            ended += ", replica"
    except tuple(_ENDS) as error:
        return f"worker ended: {_ENDS[type(error)]}"
    except ModelRefusedError as error:
        return f"refused: {_reason(str(error))}"
    return ended


def _try(action: Any) -> str:
    try:
        action()
    except ModelContractError:
        return "verdict: contract named, not run"
    except ModelRefusedError:
        return "verdict: opened, refused to run"
    return ""


def _reason(message: str) -> str:
    """The kind of a refusal: its first words, without what is the file's own."""
    general = re.sub(r"\(.*?\)|'.*?'|\d+|[:.]", " ", message.removeprefix("Refused: "))
    return " ".join(general.split()[:5])


@functools.cache
def sound_models() -> dict[str, tuple[Format, str, bytes]]:
    """Return sound models by name: format, how to damage them, content."""
    import pymicro_wakeword

    wake_words = Path(pymicro_wakeword.__file__).parent / "models"
    paths = {"pymicro-wakeword hey_jarvis.tflite": wake_words / "hey_jarvis.tflite"}
    folder = os.environ.get("EDGESEC_MODELS")
    for path in sorted(Path(folder).rglob("*")) if folder else []:
        if path.suffix in (".tflite", ".onnx"):
            paths[f"{path.parent.name} {path.name}"] = path
    if not (OWN / "own.h5").exists():  # the last that is made
        make_own_models()
    paths |= {path.name: path for path in sorted(OWN.iterdir(), key=lambda path: path.suffix)[::-1]}
    models: dict[str, tuple[Format, str, bytes]] = {}
    for name, path in paths.items():
        kind: Any = path.suffix.removeprefix(".")
        models[name] = ("keras" if kind == "h5" else kind, kind, path.read_bytes())
    return models


def make_own_models() -> None:
    """Write one small network in every format."""
    import tensorflow as tf

    from helpers.edge.convert import to_onnx, to_tflite

    tf.keras.utils.set_random_seed(0)
    layers = tf.keras.layers
    network = tf.keras.Sequential(
        [
            tf.keras.Input((8, 8, 1)),
            layers.Conv2D(4, 3, activation="relu"),
            layers.DepthwiseConv2D(3, padding="same"),
            layers.MaxPool2D(2),
            layers.Flatten(),
            layers.Dense(5),
            layers.Softmax(),
        ]
    )
    rows = np.random.default_rng(0).random((50, 8, 8, 1), np.float32)
    OWN.mkdir(parents=True, exist_ok=True)
    to_tflite(network).save(OWN / "own float.tflite")
    to_tflite(network, "int8", rows).save(OWN / "own int8.tflite")
    to_onnx(network).save(OWN / "own.onnx")
    network.save(OWN / "own.keras")
    network.save(OWN / "own.h5")


def examine_copies(name: str, mutation: str, copies: int, seed: int) -> Row:
    """Examine damaged copies of one model; count how each ended."""
    format, kind, content = sound_models()[name]
    rng = np.random.default_rng([seed, *name.encode(), *mutation.encode()])
    cages, ends, errors = Cages(_layers()), Counter[str](), list[str]()
    slowest = 0.0
    for _ in range(copies):
        data = MUTATORS[kind][mutation](content, rng)
        start = time.monotonic()
        try:
            ends[examine(data, format, cages, replicas=name == REPLICAS)] += 1
        except AuditError as error:
            ends[f"refused: {type(error).__name__}"] += 1
        except Exception as error:  # what must not happen
            ends["error here"] += 1
            errors.append(f"{type(error).__name__}: {error}"[:300])
        slowest = max(slowest, time.monotonic() - start)
    cages.close()
    return {
        "ends": dict(ends.most_common()),
        "errors_here": errors,
        "slowest_seconds": round(slowest, 2),
        "over_time": slowest > SLACK * KERAS_BUDGET.seconds,
        "workers_started": cages.started,
    }


@functools.cache
def _layers() -> Layers:
    return find_layers()


def units(quick: bool) -> list[Unit]:
    """Return every unit: one model, one way to damage it."""
    planned = []
    for name, (_, kind, _) in sound_models().items():
        copies = QUICK_COPIES if quick else COPIES[kind]
        for mutation in MUTATORS[kind]:
            settings = {"model": name, "mutation": mutation, "copies": copies, "seed": 0}
            work = functools.partial(examine_copies, name, mutation, copies, 0)
            planned.append(Unit("fuzz", settings, work))
    return planned


def summarise(rows: list[Row]) -> Row:
    """Return the totals: how many files ended in which way."""
    ends: Counter[str] = Counter()
    for row in rows:
        ends.update(row["ends"])
    groups: Counter[str] = Counter()
    for end, count in ends.items():
        groups[end.split(":")[0]] += count
    return {
        "files": sum(ends.values()),
        "groups": dict(groups.most_common()),
        "ends": dict(ends.most_common()),
        "errors_here": sum(len(row["errors_here"]) for row in rows),
        "units_over_time": sum(row["over_time"] for row in rows),
        "slowest_seconds": max((row["slowest_seconds"] for row in rows), default=0),
        "workers_started": sum(row["workers_started"] for row in rows),
    }


def main() -> None:
    """Collect what is missing."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--quick", action="store_true", help="two copies a unit, written apart")
    parser.add_argument("--again", action="store_true", help="do units again that are there")
    arguments = parser.parse_args()
    store = Store(
        record_path(__file__, arguments.quick),
        machine("ai-edge-litert", "onnxruntime", "tensorflow-cpu"),
        command_of(__file__),
        summarise,
    )
    planned = units(arguments.quick)
    left = store.run(planned, time.monotonic() + 60 * arguments.minutes, arguments.again)
    print(f"{left} units left; {summarise(store.rows)}")


if __name__ == "__main__":
    main()
