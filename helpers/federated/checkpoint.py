"""Checkpoints that survive a kill at any moment: one pair of files a round, written atomically."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import numpy as np

from helpers.errors import TaskError
from helpers.federated.history import RoundRecord

if TYPE_CHECKING:
    from helpers.federated.task import FederatedTask

# The newest, and one to fall back on.
_KEPT = 2


class Checkpoint(NamedTuple):
    """State of an engine after a round.

    Attributes
    ----------
    arrays
        What the engine's ``state()`` returned.
    records
        Records of all rounds so far.
    """

    arrays: list[np.ndarray]
    records: list[RoundRecord]


def fingerprint(task: FederatedTask, engine: str) -> dict[str, Any]:
    """Describe everything that decides the outcome of a task, as plain JSON values.

    Two runs with the same fingerprint give the same weights; the number of rounds is no part of
    it, so that a run can be prolonged.
    """
    from helpers.federated.model_check import describe_layers

    return {
        "engine": engine,
        "layers": describe_layers(task),
        "initial weights": hashes(task.initial_weights),
        "clients": hashes([a for client in task.clients for a in (client.x, client.y)]),
        "test": hashes([task.test.x, task.test.y]),
        "epochs": task.local.epochs,
        "batch_size": task.local.batch_size,
        "learning_rate": task.local.learning_rate,
        "proximal_mu": task.local.proximal_mu,
        "server": repr(task.server),
        "clients_per_round": task.num_sampled,
        "weighting": task.weighting,
        "seed": int(task.seed),
        "loss": task.loss,
        "aggregator": described(task.aggregator),
        "adversary": described(task.adversary),
        "worker_momentum": task.worker_momentum,
        "server_data": hashes([task.server_task.stacked.x, task.server_task.stacked.y])
        if task.server_task is not None
        else None,
    }


def described(part: Any) -> str:
    """Return an aggregator or adversary as text that is the same in every process."""

    def plain(value: Any) -> Any:
        if is_dataclass(value) and not isinstance(value, type):
            named = {f.name: getattr(value, f.name) for f in fields(value)}
            return {"type": type(value).__name__, **named}
        if isinstance(value, Mapping):
            return dict(value)
        if isinstance(value, np.ndarray | np.generic):
            return value.tolist()
        # An object's own repr may hold its address; its code's name is the best there is.
        named_code = value if hasattr(value, "__qualname__") else type(value)
        return f"{named_code.__module__}.{named_code.__qualname__}"

    return json.dumps(part, default=plain, sort_keys=True)


def hashes(arrays: Sequence[np.ndarray]) -> str:
    """Return the SHA-256 over shapes, dtypes and contents of some arrays."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.shape}{array.dtype.str}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


class CheckpointFolder:
    """Checkpoints of one task in one folder.

    Parameters
    ----------
    path
        Folder; made if missing.
    task_fingerprint
        What :func:`fingerprint` returned.

    Raises
    ------
    TaskError
        If the folder cannot be written to.
    """

    def __init__(self, path: str | os.PathLike[str], task_fingerprint: dict[str, Any]) -> None:
        self._path = Path(path)
        self._fingerprint = task_fingerprint
        try:
            self._path.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self._path):
                pass
        except OSError as error:
            raise TaskError(
                f"checkpoint_dir={str(path)!r} cannot be written to ({error.strerror}): "
                "choose a folder of your own."
            ) from error

    def save(self, checkpoint: Checkpoint) -> None:
        """Write a checkpoint; a kill at any moment leaves the previous one usable."""
        name = f"round-{len(checkpoint.records):06d}"
        arrays = {f"a{index}": array for index, array in enumerate(checkpoint.arrays)}
        write_atomically(self._path / f"{name}.npz", lambda file: np.savez(file, **arrays))
        # The JSON file comes last: a checkpoint exists once it is there.
        content = {
            "fingerprint": self._fingerprint,
            "arrays": hashes(checkpoint.arrays),
            "records": [record.to_json() for record in checkpoint.records],
        }
        encoded = json.dumps(content).encode()
        write_atomically(self._path / f"{name}.json", lambda file: file.write(encoded))
        for old in self._newest_first()[_KEPT:]:
            old.unlink()
            old.with_suffix(".npz").unlink(missing_ok=True)

    def load(self) -> Checkpoint | None:
        """Return the newest checkpoint that is whole, or None where there is none.

        Damaged ones are skipped with a warning.

        Raises
        ------
        TaskError
            If a checkpoint belongs to another task; the message says what differs.
        """
        for path in self._newest_first():
            try:
                content = json.loads(path.read_text())
                written_by = content["fingerprint"]
            except (OSError, ValueError, KeyError, TypeError) as error:
                self._warn_damaged(path, error)
                continue
            self._require_same_task(written_by)
            try:
                return _read_checkpoint(path, content)
            # A damaged zip archive raises anything from BadZipFile to EOFError and zlib.error.
            except Exception as error:
                self._warn_damaged(path, error)
        return None

    def _newest_first(self) -> list[Path]:
        return sorted(self._path.glob("round-*.json"), reverse=True)

    def _warn_damaged(self, path: Path, error: Exception) -> None:
        warnings.warn(
            f"Checkpoint {path.stem} in {self._path} is damaged ({type(error).__name__}: {error}); "
            "falling back to the one before it.",
            stacklevel=5,
        )

    def _require_same_task(self, written_by: dict[str, Any]) -> None:
        names = self._fingerprint.keys() | written_by.keys()
        differing = sorted(n for n in names if self._fingerprint.get(n) != written_by.get(n))
        if not differing:
            return
        now = self._fingerprint
        changes = "; ".join(
            f"{name} was {_shown(written_by.get(name))}, is now {_shown(now.get(name))}"
            for name in differing
        )
        raise TaskError(
            f"The checkpoints in {self._path} belong to another task: {changes}. Use another "
            "checkpoint_dir, or delete this one to start afresh."
        )


def _shown(value: Any) -> str:
    digest = isinstance(value, str) and len(value) == 64
    return f"{value[:8]}... (SHA-256)" if digest else repr(value)


def _read_checkpoint(path: Path, content: dict[str, Any]) -> Checkpoint:
    with np.load(path.with_suffix(".npz"), allow_pickle=False) as archive:
        arrays = [archive[f"a{index}"] for index in range(len(archive.files))]
    if hashes(arrays) != content["arrays"]:
        raise ValueError("its arrays do not match their hash")
    return Checkpoint(arrays, [RoundRecord.from_json(record) for record in content["records"]])


def write_atomically(path: Path, write: Callable[[IO[bytes]], Any]) -> None:
    """Write beside the file, flush to the disk, and rename over it."""
    partial = path.with_suffix(path.suffix + ".partial")
    with partial.open("wb") as file:
        write(file)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
