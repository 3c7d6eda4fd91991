"""Checks of settings and examples, made before any work starts."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from helpers._checks import Requirements
from helpers.errors import WatermarkError

_require = Requirements(WatermarkError)  # each raises WatermarkError
require_whole = _require.whole
require_positive = _require.positive


def require_finite(name: str, values: ArrayLike) -> None:
    """Raise WatermarkError if an array is empty, or holds NaN or infinity."""
    array = np.asarray(values)
    if not array.size or not np.isfinite(array).all():
        raise WatermarkError(
            f"{name} of shape {array.shape} must hold numbers, and neither NaN nor infinity."
        )


def require_examples(name: str, x: ArrayLike, y: ArrayLike) -> None:
    """Raise WatermarkError unless inputs ``(n, ...)`` are finite and each has a whole label."""
    inputs, labels = np.asarray(x), np.asarray(y)
    if inputs.ndim < 2 or labels.shape != (len(inputs),):
        raise WatermarkError(
            f"{name} of shape {inputs.shape} and labels of shape {labels.shape}: expected (n, ...) "
            "and (n,)."
        )
    require_finite(name, inputs)
    require_labels(labels)


def require_labels(labels: NDArray[Any]) -> None:
    """Raise WatermarkError unless labels are one whole number of at least 0 each, one at least."""
    whole = labels.ndim == 1 and labels.size and labels.dtype.kind in "iu"
    if not whole or labels.min() < 0:
        raise WatermarkError(
            f"Labels of type {labels.dtype} and shape {labels.shape} must be class numbers: whole, "
            "at least 0, one for each input."
        )
