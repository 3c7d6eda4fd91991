"""Resume a private run without drawing other noise for a step, or forgetting that it was taken.

The batch and the noise of every step are functions of one seed and the step's number. That seed is
drawn once and saved before the first step, also where the operating system chose it, so that a
step which a kill undid is taken again with the same batch and the same noise: nothing new is
released. The records say how many steps there are to account for.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
import tensorflow as tf

from helpers._files import Saved, SavedRun, hashes
from helpers.errors import PrivacyError

Record = TypeVar("Record")


@dataclass
class PrivateRun(Generic[Record]):
    """The randomness and the name of a run, and where it stands.

    Attributes
    ----------
    root
        Seed of every batch and all noise.
    name
        Name under which a ledger pays for it once; empty for a run that cannot be resumed.
    records
        Of the steps taken so far.
    """

    root: np.random.SeedSequence
    name: str
    records: list[Record]
    _folder: SavedRun[Record] | None
    _variables: Sequence[tf.Variable]

    def save(self) -> None:
        """Write a checkpoint, if the run has a folder."""
        if self._folder is None:
            return
        identity = {"entropy": self.root.entropy, "name": self.name}
        encoded = np.frombuffer(json.dumps(identity).encode(), np.uint8)
        arrays = [encoded, *(variable.numpy() for variable in self._variables)]
        self._folder.save(Saved([np.asarray(array) for array in arrays], self.records))


def start_or_resume(
    folder: SavedRun[Record] | None,
    variables: Sequence[tf.Variable],
    seed: int | None,
    steps: int,
) -> PrivateRun[Record]:
    """Begin a run, or continue the one that is saved in a folder.

    Parameters
    ----------
    folder
        Its checkpoints; None for a run that keeps none.
    variables
        Weights and optimiser state; set to those of the checkpoint where there is one.
    seed
        Seed of a new run; None takes it from the operating system.
    steps
        Steps that the run is to have in total.

    Returns
    -------
    PrivateRun
        With no records where it begins.

    Raises
    ------
    PrivacyError
        If the checkpoints belong to another run or a longer one, or none of them can be read.
    """
    if folder is None:
        return PrivateRun(np.random.SeedSequence(seed), "", [], None, variables)
    saved = folder.load(
        "Starting again would forget the steps that were taken, and what they cost: restore the "
        "folder, or account for those steps too and use another checkpoint_dir."
    )
    if saved is None:
        return PrivateRun(np.random.SeedSequence(seed), uuid.uuid4().hex, [], folder, variables)
    if len(saved.records) > steps:
        raise PrivacyError(
            f"The checkpoints already hold {len(saved.records)} steps, more than steps={steps}: "
            "ask for at least as many, or use another checkpoint_dir."
        )
    identity = json.loads(saved.arrays[0].tobytes())
    for variable, array in zip(variables, saved.arrays[1:], strict=True):
        variable.assign(array)
    root = np.random.SeedSequence(identity["entropy"])
    return PrivateRun(root, identity["name"], saved.records, folder, variables)


def open_folder(
    path: str | os.PathLike[str] | None,
    record_type: type[Record],
    model: tf.keras.Model,
    data: Sequence[np.ndarray],
    settings: dict[str, Any],
) -> SavedRun[Record] | None:
    """Open a folder for the checkpoints of a run.

    Parameters
    ----------
    path
        Folder; None is none.
    record_type
        Dataclass of plain values, one a step.
    model
        Its layers and frozen weights are part of what must stay the same; trained weights are not,
        since a checkpoint has its own.
    data
        Arrays trained on.
    settings
        Plain JSON values that must stay the same.

    Returns
    -------
    SavedRun or None
        The folder.

    Raises
    ------
    PrivacyError
        If it cannot be written to.
    """
    if path is None:
        return None
    fingerprint = {
        **settings,
        "layers": [_described(layer) for layer in model.submodules if _is_layer(layer)],
        "frozen weights": hashes([np.asarray(w) for w in model.non_trainable_weights]),
        "data": hashes(data),
    }
    return SavedRun(
        path,
        fingerprint,
        unit="step",
        encode=lambda record: dict(vars(record)),
        decode=lambda values: record_type(**values),
        error=PrivacyError,
    )


def _is_layer(module: tf.Module) -> bool:
    return isinstance(module, tf.keras.layers.Layer)


def _described(layer: tf.keras.layers.Layer) -> str:
    activation = getattr(getattr(layer, "activation", None), "__name__", "")
    return f"{type(layer).__name__} {activation} {[tuple(w.shape) for w in layer.weights]}"
