"""Checks of settings and arrays, made before any work starts."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from helpers._checks import Requirements
from helpers.errors import RobustnessError

_require = Requirements(RobustnessError)  # each raises RobustnessError
require_whole = _require.whole
require_not_negative = _require.not_negative
require_positive = _require.positive
require_choice = _require.choice


def require_known(labels: NDArray[np.integer], scores: NDArray[np.floating]) -> None:
    """Raise RobustnessError if scores ``(n, classes)`` do not fit labels ``(n,)`` from 0 on."""
    if scores.ndim != 2 or labels.shape != (len(scores),) or labels.dtype.kind not in "iu":
        raise RobustnessError(
            f"scores of shape {scores.shape} and labels {labels.dtype} of shape {labels.shape}: "
            "expected (n, classes) and whole numbers (n,)."
        )
    if len(labels) and not 0 <= labels.min() <= labels.max() < scores.shape[1]:
        raise RobustnessError(
            f"labels from {labels.min()} to {labels.max()} do not fit the {scores.shape[1]} "
            "classes that are scored."
        )


def require_finite(name: str, values: NDArray[Any]) -> None:
    """Raise RobustnessError unless an array ``(n, ...)`` holds numbers, all of them finite."""
    if values.ndim < 2 or not values.size or not np.isfinite(values).all():
        raise RobustnessError(
            f"{name} of shape {values.shape} must be (n, ...) with n at least 1, and finite."
        )


def checked_pairs(
    inputs: ArrayLike, labels: ArrayLike, bounds: tuple[float, float] = (0.0, 1.0)
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return inputs as float32 and labels as int64, once they are seen to fit each other.

    Raises
    ------
    RobustnessError
        If the numbers of inputs and labels differ, an input lies outside the bounds or is not
        finite, or a label is not a class index.
    """
    rows, classes = np.array(inputs, np.float32), np.asarray(labels)
    if rows.ndim < 2 or not len(rows) or classes.shape != (len(rows),):
        raise RobustnessError(
            f"inputs of shape {rows.shape} and labels of shape {classes.shape}: expected (n, ...) "
            "and (n,), with n at least 1."
        )
    if classes.dtype.kind not in "iu" or classes.min() < 0:
        raise RobustnessError("labels must be class indices: whole numbers of at least 0.")
    low, high = bounds
    if not (rows.min() >= low and rows.max() <= high):  # NaN fails both
        raise RobustnessError(
            f"inputs lie between {rows.min():.4g} and {rows.max():.4g}; they must be finite and "
            f"within [{low:g}, {high:g}]."
        )
    return rows, classes.astype(np.int64)
