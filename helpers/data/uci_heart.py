"""The UCI heart-disease files of four hospitals, prepared as Fed-Heart-Disease of FLamby is.

Each file is one hospital: 14 comma-separated columns, ``?`` where nothing was recorded, the
diagnosis in the last as 0 (none) to 4. FLamby (Ogier du Terrail et al. 2022) prepares them so,
and so do we:

- drop *slope*, *ca* and *thal*, which all hospitals but Cleveland often left blank;
- drop every patient who still lacks a value: 740 of the 920 remain, and Switzerland keeps 46 of
  its 123;
- chest pain and resting ECG become indicator columns, the first level being the one left out;
- the label is whether the diagnosis is above 0;
- each hospital is split on its own, by label, into 66 % train and 34 % test with FLamby's seed.

One trap is left as FLamby leaves it: a cholesterol of 0 means *not recorded*. All Swiss patients
have it, and a quarter of those of Long Beach, so a model can read the hospital from that column.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from helpers.data.arrays import Arrays
from helpers.errors import DataError

_NUM_COLUMNS = 14
_CHEST_PAIN, _RESTING_ECG = 2, 6
_OFTEN_BLANK = (10, 11, 12)  # slope, ca, thal
_LEVELS = {_CHEST_PAIN: (2.0, 3.0, 4.0), _RESTING_ECG: (1.0, 2.0)}  # the first level left out
_TRAIN_FRACTION = 0.66  # FLamby's, as is the seed
_SPLIT_SEED = 43


def decode(paths: list[Path]) -> Arrays:
    """Turn the four files, in the order of the catalogue, into a split table with its sites.

    Parameters
    ----------
    paths : list of pathlib.Path
        One file a hospital.

    Returns
    -------
    dict of str to numpy.ndarray
        ``x_train``, ``x_test`` float32 ``(n, 13)``; ``y_...`` and ``site_...`` int32 ``(n,)``.

    Raises
    ------
    DataError
        If a file is not in the format of UCI, or holds too few whole rows to split.
    """
    parts: dict[str, list[np.ndarray]] = {}
    for site, path in enumerate(paths):
        x, y = _features(complete_rows(read(path)), path)
        for part, rows in zip(("train", "test"), _split(y, path), strict=True):
            parts.setdefault(f"x_{part}", []).append(x[rows])
            parts.setdefault(f"y_{part}", []).append(y[rows])
            parts.setdefault(f"site_{part}", []).append(np.full(len(rows), site, np.int32))
    return {key: np.concatenate(arrays) for key, arrays in parts.items()}


def read(path: Path) -> np.ndarray:
    """Return one file as float64 ``(n, 14)``, with NaN where nothing was recorded.

    Raises
    ------
    DataError
        If it cannot be read, or a row is not 14 numbers or question marks.
    """
    try:
        lines = path.read_text(encoding="ascii").splitlines()
        rows = [
            [math.nan if cell.strip() == "?" else float(cell) for cell in line.split(",")]
            for line in lines
            if line.strip()
        ]
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path} is not a heart-disease file of UCI ({error}). Replace or remove it."
        ) from error
    wrong = next((row for row in rows if len(row) != _NUM_COLUMNS), None)
    if not rows or wrong is not None:
        found = "no rows" if wrong is None else f"a row of {len(wrong)} columns"
        raise DataError(
            f"{path} holds {found}; a heart-disease file of UCI has {_NUM_COLUMNS} columns a row, "
            "separated by commas. Replace or remove it."
        )
    return np.array(rows, dtype=np.float64)


def complete_rows(table: np.ndarray) -> np.ndarray:
    """Drop the columns often blank, then every row that lacks a value: ``(n, 11)``."""
    kept = np.delete(table, _OFTEN_BLANK, axis=1)
    return kept[~np.isnan(kept).any(axis=1)]


def _features(rows: np.ndarray, path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Encode complete rows: 8 columns as they are, then 3 and 2 indicators; the label."""
    diagnosis = rows[:, -1]
    indicators = []
    for column, levels in _LEVELS.items():
        known = (levels[0] - 1, *levels)
        if not np.isin(rows[:, column], known).all():
            raise DataError(f"{path}: column {column} must be one of {known}; replace the file.")
        indicators.append(rows[:, column, None] == np.array(levels))
    plain = np.delete(rows[:, :-1], (_CHEST_PAIN, _RESTING_ECG), axis=1)
    x = np.concatenate([plain, *indicators], axis=1)
    return x.astype(np.float32), (diagnosis > 0).astype(np.int32)


def _split(labels: np.ndarray, path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return the train and test rows of one hospital, in the order of the file, as FLamby does."""
    from sklearn.model_selection import train_test_split

    held = np.bincount(labels, minlength=2)
    try:
        train, test = train_test_split(
            np.arange(len(labels)),
            train_size=_TRAIN_FRACTION,
            test_size=1 - _TRAIN_FRACTION,
            random_state=_SPLIT_SEED,
            stratify=labels if held.min() > 2 else None,
        )
    except ValueError as error:
        raise DataError(
            f"{path} holds {len(labels)} complete rows, too few to split. Replace or remove it."
        ) from error
    return np.sort(train), np.sort(test)
