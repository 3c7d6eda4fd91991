"""Dermoscopic photographs of PH²: 200 lesions, each judged by a dermatologist.

A folder of images and ``labels.csv``, which says of each whether it is a common naevus, an atypical
naevus or a melanoma. The two kinds of naevi are one class here. Of each picture the middle square
is kept, made small. No split was published, so ours takes every other picture of each diagnosis, in
the order of their names: the parts are equally large, and do not depend on a seed.
"""

from __future__ import annotations

import csv
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from helpers.data.arrays import Arrays
from helpers.errors import DataError

CLASS_NAMES = ("naevus", "melanoma")
SIDE = 48
_DIAGNOSES = {"Common Nevus": 0, "Atypical Nevus": 0, "Melanoma": 1}
_NAME = re.compile(r"IMD\d{3}")
_MAX_PIXELS = 50_000_000


def read_folder(folder: Path) -> Arrays:
    """Read every picture that ``labels.csv`` names.

    Parameters
    ----------
    folder : pathlib.Path
        Holds ``labels.csv`` with the columns ``image_name`` and ``diagnosis``, and one
        ``.jpg``, ``.png`` or ``.bmp`` file a picture.

    Returns
    -------
    dict of str to numpy.ndarray
        ``x_train``, ``x_test`` uint8 ``(n, 48, 48, 3)``; ``y_train``, ``y_test`` int32 ``(n,)``.

    Raises
    ------
    DataError
        If a file is missing or damaged, a name or a diagnosis is not one of PH², or a part would
        lack a class.
    """
    diagnoses = read_labels(folder / "labels.csv")
    parts: dict[str, list[str]] = {"train": [], "test": []}
    for diagnosis in _DIAGNOSES:
        names = sorted(name for name, found in diagnoses.items() if found == diagnosis)
        parts["train"] += names[::2]
        parts["test"] += names[1::2]
    read: Arrays = {}
    for part, names in parts.items():
        labels = np.array([_DIAGNOSES[diagnoses[name]] for name in names], np.int32)
        if set(labels.tolist()) != {0, 1}:
            raise DataError(f"{folder}: the {part} part needs naevi and melanomas; add pictures.")
        read[f"x_{part}"] = np.stack([_picture(folder, name) for name in names])
        read[f"y_{part}"] = labels
    return read


def read_labels(path: Path) -> dict[str, str]:
    """Return the diagnosis of each picture.

    Raises
    ------
    DataError
        If the file is missing, or a line is not a name of PH² and one of the three diagnoses.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} is no table of diagnoses ({error}); put it there.") from error
    found: dict[str, str] = {}
    for number, row in enumerate(rows, start=2):
        name, diagnosis = row.get("image_name") or "", row.get("diagnosis") or ""
        if not _NAME.fullmatch(name) or name in found or diagnosis not in _DIAGNOSES:
            raise DataError(
                f"{path}, line {number}: {name!r} and {diagnosis!r} are not a new name such as "
                f"IMD002 and one of {', '.join(_DIAGNOSES)}."
            )
        found[name] = diagnosis
    return found


def _picture(folder: Path, name: str) -> NDArray[np.uint8]:
    """Read one picture: its middle square, made small."""
    from PIL import Image

    paths = (folder / f"{name}.{kind}" for kind in ("jpg", "png", "bmp"))
    path = next((path for path in paths if path.is_file()), None)
    if path is None:
        raise DataError(f"{folder} has no picture {name}.jpg, which labels.csv names; add it.")
    try:
        with Image.open(path) as file:
            if file.width * file.height > _MAX_PIXELS:
                raise DataError(f"{path} has more than {_MAX_PIXELS:,} pixels; make it smaller.")
            picture = file.convert("RGB")
    except (OSError, SyntaxError) as error:
        raise DataError(f"{path} is no picture that can be read ({error}); replace it.") from error
    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    square = (left, top, left + side, top + side)
    return np.asarray(picture.resize((SIDE, SIDE), Image.Resampling.BOX, box=square), np.uint8)
