"""Files that survive a kill at any moment: atomic writes, locks, checkpoints."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, Generic, NamedTuple, TypeVar

import numpy as np

from helpers.errors import EdgesecError

Record = TypeVar("Record")

# The newest, and one to fall back on.
_KEPT = 2


def write_atomically(
    path: Path,
    content: str | bytes | Callable[[IO[bytes]], Any],
    error: type[EdgesecError] | None = None,
) -> None:
    """Write beside the file, flush to the disk, and rename over it.

    A reader finds the old content or the new, never a part, and so does whoever comes after a kill.
    A pipe or a device, such as ``/dev/null``, is written to and stays what it is.

    Parameters
    ----------
    path
        The file; its folder is made if missing.
    content
        Text, written as UTF-8; bytes; or what writes them into an open file.
    error
        Exception to raise, naming the file, where the disk refuses; OSError by default.
    """
    # Named after the thread, as two of them, in one process or several, may write the same file.
    unfinished = path.with_name(f".{path.name}.{threading.get_native_id()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and not path.is_file():
            with path.open("wb") as file:
                _put(file, content)
            return
        with unfinished.open("wb") as file:
            _put(file, content)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except BaseException as refused:
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)
        if error is None or not isinstance(refused, OSError):
            raise
        raise error(f"{path} cannot be written: {refused.strerror or refused}.") from refused


def _put(file: IO[bytes], content: str | bytes | Callable[[IO[bytes]], Any]) -> None:
    if callable(content):
        content(file)
    else:
        file.write(content.encode() if isinstance(content, str) else content)


def exists(path: Path) -> bool:
    """Whether there is such a file; a name that no file can have has none."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def take_lock(path: Path, shared: bool = False) -> int | None:
    """Lock a file until this process ends, however it ends.

    Parameters
    ----------
    path
        The file; made if missing.
    shared
        Whether others may hold it too, if they all say so.

    Returns
    -------
    int or None
        A handle whose closing frees the lock; None where another process holds it.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    return handle


@contextlib.contextmanager
def one_at_a_time(path: Path) -> Iterator[None]:
    """Hold a lock file, waiting for another process or thread that holds it."""
    with path.open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def hashes(arrays: Sequence[np.ndarray]) -> str:
    """Return the SHA-256 over shapes, dtypes and contents of some arrays."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.shape}{array.dtype.str}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


class Saved(NamedTuple, Generic[Record]):
    """What a checkpoint holds.

    Attributes
    ----------
    arrays
        State.
    records
        One a finished round or step.
    """

    arrays: list[np.ndarray]
    records: list[Record]


class SavedRun(Generic[Record]):
    """Checkpoints of one run in one folder, each a pair of files; the newest two are kept.

    Parameters
    ----------
    path
        Folder; made if missing.
    fingerprint
        Everything that decides the run's outcome, as plain JSON values.
    unit
        What a record counts, such as ``"round"``; the files are named after it.
    encode, decode
        Turn a record into plain JSON values and back.
    error
        Exception to raise.

    Raises
    ------
    EdgesecError
        If the folder cannot be written to; as ``error``.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        fingerprint: dict[str, Any],
        *,
        unit: str,
        encode: Callable[[Record], dict[str, Any]],
        decode: Callable[[dict[str, Any]], Record],
        error: type[EdgesecError],
    ) -> None:
        self._path, self._fingerprint, self._unit = Path(path), fingerprint, unit
        self._encode, self._decode, self._error = encode, decode, error
        try:
            self._path.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self._path):
                pass
        except OSError as refused:
            raise error(
                f"checkpoint_dir={str(path)!r} cannot be written to ({refused.strerror}): "
                "choose a folder of your own."
            ) from refused

    def save(self, state: Saved[Record]) -> None:
        """Write a checkpoint; a kill at any moment leaves the previous one usable."""
        name = f"{self._unit}-{len(state.records):06d}"
        named = {f"a{index}": array for index, array in enumerate(state.arrays)}
        write_atomically(self._path / f"{name}.npz", lambda file: np.savez(file, **named))
        # The JSON file comes last: a checkpoint exists once it is there.
        content = {
            "fingerprint": self._fingerprint,
            "arrays": hashes(state.arrays),
            "records": [self._encode(record) for record in state.records],
        }
        write_atomically(self._path / f"{name}.json", json.dumps(content))
        for old in self._newest_first()[_KEPT:]:
            old.unlink()
            old.with_suffix(".npz").unlink(missing_ok=True)

    def load(self, refusal: str = "") -> Saved[Record] | None:
        """Return the newest checkpoint that is whole, or None where there is none.

        Damaged ones are skipped with a warning.

        Parameters
        ----------
        refusal
            Why a run of which no checkpoint can be read must not start again, and what to do;
            empty where it may.

        Raises
        ------
        EdgesecError
            If a checkpoint belongs to another run; the message says what differs. If there are
            checkpoints, none of them can be read, and there is a `refusal`.
        """
        for path in self._newest_first():
            try:
                content = json.loads(path.read_text())
                written_by = content["fingerprint"]
            except (OSError, ValueError, KeyError, TypeError) as error:
                self._warn_damaged(path, error)
                continue
            self._require_same_run(written_by)
            try:
                return self._read(path, content)
            # A damaged zip archive raises anything from BadZipFile to EOFError and zlib.error.
            except Exception as error:
                self._warn_damaged(path, error)
        if refusal and self._newest_first():
            raise self._error(f"None of the checkpoints in {self._path} can be read. {refusal}")
        return None

    def _newest_first(self) -> list[Path]:
        return sorted(self._path.glob(f"{self._unit}-*.json"), reverse=True)

    def _read(self, path: Path, content: dict[str, Any]) -> Saved[Record]:
        with np.load(path.with_suffix(".npz"), allow_pickle=False) as archive:
            arrays = [archive[f"a{index}"] for index in range(len(archive.files))]
        if hashes(arrays) != content["arrays"]:
            raise ValueError("its arrays do not match their hash")
        return Saved(arrays, [self._decode(record) for record in content["records"]])

    def _warn_damaged(self, path: Path, error: Exception) -> None:
        warnings.warn(
            f"Checkpoint {path.stem} in {self._path} is damaged ({type(error).__name__}: {error}); "
            "falling back to the one before it.",
            stacklevel=5,
        )

    def _require_same_run(self, written_by: dict[str, Any]) -> None:
        names = self._fingerprint.keys() | written_by.keys()
        differing = sorted(n for n in names if self._fingerprint.get(n) != written_by.get(n))
        if not differing:
            return
        now = self._fingerprint
        changes = "; ".join(
            f"{name} was {_shown(written_by.get(name))}, is now {_shown(now.get(name))}"
            for name in differing
        )
        raise self._error(
            f"The checkpoints in {self._path} belong to another task: {changes}. Use another "
            "checkpoint_dir, or delete this one to start afresh."
        )


def _shown(value: Any) -> str:
    digest = isinstance(value, str) and len(value) == 64
    return f"{value[:8]}... (SHA-256)" if digest else repr(value)
