"""A practitioner's own examples, checked against the model before any work is done.

They come as an ``.npz`` of plain arrays; pickled objects are refused, since reading those would run
code. ``x`` and ``y`` are examples and their true classes. The rest is optional:

* ``members_x`` and ``members_y``: examples that the model was trained on;
* ``nonmembers_x`` and ``nonmembers_y``: examples of the same kind that it was not trained on;
* ``triggers_x`` and ``triggers_y``: a watermark's triggers, and the class that the owner's model
  gives each;
* ``fingerprint_x`` and ``fingerprint_y``: points of a fingerprint, and the class that the owner's
  model gives each.
"""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from helpers.audit.spans import RANGES
from helpers.errors import AuditError

if TYPE_CHECKING:
    from helpers.edge.artefact import TensorContract

PAIRS = ("", "members_", "nonmembers_", "triggers_", "fingerprint_")
_ALIASES = {"x": ("images", "x_test"), "y": ("labels", "y_test")}
MOST_BYTES = 4 * 2**30
_LEAST_SIDE = 8  # of a picture
_SLACK = 0.02  # of a range; an int8 input from -1 reaches .992


@dataclass(frozen=True, eq=False)
class Examples:
    """Inputs as the model takes them, and their classes.

    Attributes
    ----------
    x
        float32 ``(n, ...)``, real numbers, not codes.
    y
        int64 ``(n,)``.
    """

    x: NDArray[np.float32]
    y: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.x)


@dataclass(frozen=True, eq=False)
class AuditData:
    """What the practitioner supplied.

    Attributes
    ----------
    name
        Of the file.
    sha256
        Of its bytes.
    examples
        To measure on.
    members, nonmembers, triggers, fingerprint
        Where they were supplied.
    span
        What the model takes black and white as; None if the inputs are no pictures.
    """

    name: str
    sha256: str
    examples: Examples
    members: Examples | None = None
    nonmembers: Examples | None = None
    triggers: Examples | None = None
    fingerprint: Examples | None = None
    span: tuple[float, float] | None = None


def read_npz(path: str | os.PathLike[str]) -> dict[str, NDArray]:
    """Read the arrays of an ``.npz`` file; nothing in it can run.

    Raises
    ------
    AuditError
        If it is no such file, holds objects or arrays without a name that is known, or would fill
        more than 4 GiB.
    """
    if not Path(path).is_file():  # a pipe would be waited for
        raise AuditError(f"{path} is no regular file: examples come as an .npz file.")
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
        if size > MOST_BYTES:
            raise AuditError(
                f"{path} would fill {size / 2**30:.1f} GiB of memory, more than "
                f"{MOST_BYTES / 2**30:.0f}: supply fewer examples."
            )
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
    except AuditError:
        raise
    # A damaged archive raises anything from BadZipFile to EOFError and zlib.error.
    except Exception as error:
        raise AuditError(f"{path} is no .npz of plain arrays: {error}") from error
    for name, others in _ALIASES.items():
        found = next((other for other in others if other in arrays), None)
        if name not in arrays and found is not None:
            arrays[name] = arrays.pop(found)
    known = [f"{pair}{axis}" for pair in PAIRS for axis in "xy"]
    strange = sorted(arrays.keys() - set(known))
    if strange or "x" not in arrays or "y" not in arrays:
        raise AuditError(
            f"{path} holds {', '.join(arrays) or 'nothing'}: expected x and y, and besides them at "
            f"most {', '.join(known[2:])}."
        )
    return arrays


def load_data(
    path: str | os.PathLike[str],
    contract: TensorContract,
    classes: int,
    span: tuple[float, float] | None = None,
    label_offset: int = 0,
) -> AuditData:
    """Read examples and check them against what a model takes.

    Parameters
    ----------
    path
        ``.npz`` file.
    contract
        Of the model's input.
    classes
        That the model tells apart.
    span
        What the model takes black and white as; None reads it from the model's input and the data.
    label_offset
        Added to each class, for a model with a background class.

    Returns
    -------
    AuditData
        With every input in the numbers that the model takes; pictures in uint8 are brought into
        ``span``.

    Raises
    ------
    AuditError
        If an array is missing, of another shape or type, not finite, or outside what the input can
        express; if a class is none of the model's; or if pictures are in uint8 and nothing says
        what the model takes white as.
    """
    arrays = read_npz(path)
    name = Path(path).name
    for label in (key for key in arrays if key.endswith("y") and arrays[key].dtype.kind in "iu"):
        arrays[label] = arrays[label].astype(np.int64) + label_offset
    if span is None:
        span = find_span(contract, arrays["x"])
    parts = {
        pair: _examples(arrays, pair, contract, classes, span, name)
        for pair in PAIRS
        if {f"{pair}x", f"{pair}y"} & arrays.keys()
    }
    if len({"members_", "nonmembers_"} & parts.keys()) == 1:
        raise AuditError(
            f"{name} has members or non-members, not both: telling them apart takes both."
        )
    with Path(path).open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return AuditData(
        name, digest, parts[""], parts.get("members_"), parts.get("nonmembers_"),
        parts.get("triggers_"), parts.get("fingerprint_"), span,
    )  # fmt: skip


def range_of(contract: TensorContract) -> tuple[float, float] | None:
    """Return the smallest and largest number that an input of whole numbers expresses, or None."""
    kind = np.dtype(contract.dtype)
    if kind.kind not in "iu":
        return None
    ends = (np.iinfo(kind).min, np.iinfo(kind).max)
    low, high = ((contract.scale or 1.0) * (end - contract.zero_point) for end in ends)
    return float(low), float(high)


def find_span(contract: TensorContract, x: NDArray) -> tuple[float, float] | None:
    """Return what a model takes black and white as, or None where the inputs are no pictures.

    A quantized input says it by its scale. For any other the data have to: they lie between 0 and
    1, -1 and 1, or 0 and 255, and fill more than half of it.

    Raises
    ------
    AuditError
        If they cannot say: uint8 pixels for a model of real numbers.
    """
    shape = contract.shape
    if len(shape) != 4 or shape[3] not in (1, 3) or min(shape[1:3]) < _LEAST_SIDE:
        return None
    stated = range_of(contract)
    if stated is not None:
        return next((span for span in RANGES.values() if _near(span, stated)), None)
    if not x.size or x.dtype.kind not in "uif":
        return None
    low, high = float(x.min()), float(x.max())
    if x.dtype == np.uint8:
        raise AuditError(
            "x is uint8 and the model takes real numbers, which may go from 0 to 1, from -1 to 1 "
            "or from 0 to 255: say which with --range."
        )
    for span in (RANGES["0,1"], RANGES["-1,1"], RANGES["0,255"]):
        if span[0] <= low and high <= span[1] and high - low > (span[1] - span[0]) / 2:
            return span
    return None


def _near(span: tuple[float, float], stated: tuple[float, float]) -> bool:
    slack = _SLACK * (span[1] - span[0])
    return all(abs(a - b) <= slack for a, b in zip(span, stated, strict=True))


def _examples(
    arrays: Mapping[str, NDArray],
    pair: str,
    contract: TensorContract,
    classes: int,
    span: tuple[float, float] | None,
    name: str,
) -> Examples:
    """Check one pair of arrays and bring the inputs into the model's numbers."""
    for axis in "xy":
        if f"{pair}{axis}" not in arrays:
            raise AuditError(f"{name} lacks {pair}{axis}: inputs and classes come in pairs.")
    x, y = arrays[f"{pair}x"], arrays[f"{pair}y"]
    shape = tuple(contract.shape[1:])
    if x.dtype.kind not in "uif" or x.shape[1:] != shape or not len(x):
        raise AuditError(
            f"{name}: {pair}x is {x.dtype} {x.shape}; the model takes {('n', *shape)} real numbers."
        )
    if y.dtype.kind not in "iu" or y.shape != (len(x),):
        raise AuditError(
            f"{name}: {pair}y is {y.dtype} {y.shape}; it must be one whole number for each of "
            f"{len(x)} inputs, its class. Of a model that gives no classes, say --answers values "
            "or embedding."
        )
    if y.min() < 0 or y.max() >= classes:
        raise AuditError(
            f"{name}: {pair}y goes from {y.min()} to {y.max()}, the model answers {classes} "
            f"classes, 0 to {classes - 1}. Where it has a background class, use --label-offset; "
            "where it gives no classes, say --answers values or embedding."
        )
    values = x.astype(np.float32)
    if x.dtype == np.uint8 and span is not None:
        values = np.float32(span[0]) + values * np.float32((span[1] - span[0]) / 255)
    _require_expressible(values, f"{name}: {pair}x", contract, span)
    return Examples(values, y.astype(np.int64))


def _require_expressible(
    values: NDArray[np.float32],
    what: str,
    contract: TensorContract,
    span: tuple[float, float] | None,
) -> None:
    if not np.isfinite(values).all():
        raise AuditError(f"{what} holds NaN or infinity.")
    limits = range_of(contract) if span is None else span
    if limits is None:
        return
    slack = _SLACK * (limits[1] - limits[0])
    low, high = float(values.min()), float(values.max())
    if low < limits[0] - slack or high > limits[1] + slack:
        clipped = float(np.mean((values < limits[0] - slack) | (values > limits[1] + slack)))
        if span is not None or clipped > 0.5:
            raise AuditError(
                f"{what} goes from {low:g} to {high:g}, the model takes {limits[0]:g} to "
                f"{limits[1]:g}. Give real numbers in that range, or uint8 pictures; --range says "
                "what the model takes black and white as."
            )
