"""Checks of settings and data, made before any training starts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from helpers._checks import Requirements
from helpers.errors import TaskError

_require = Requirements(TaskError)  # each raises TaskError
require_whole = _require.whole
require_positive = _require.positive
require_between = _require.between
require_rate = _require.rate


def require_enough_clients(name: str, value: int, num_clients: int, otherwise: str = "") -> None:
    """Raise TaskError if there are fewer clients; it ends in what to do ``otherwise``."""
    if value > num_clients:
        raise TaskError(
            f"{name}={value} is more than the {num_clients} clients there are{otherwise}."
        )


class _Examples(Protocol):
    @property
    def x(self) -> np.ndarray: ...
    @property
    def y(self) -> np.ndarray: ...


def clean_data(
    clients: Sequence[_Examples], test: _Examples
) -> tuple[list[tuple[np.ndarray, np.ndarray]], tuple[np.ndarray, np.ndarray]]:
    """Check all data of a task and convert it to float32 features and int32 labels.

    Parameters
    ----------
    clients
        Objects with ``x`` of shape ``(n, ...)`` and integer ``y`` of shape ``(n,)``.
    test
        The same for the test set.

    Returns
    -------
    clients, test
        Pairs of float32 ``(n, ...)`` and int32 ``(n,)``; arrays that already fit are not copied.

    Raises
    ------
    TaskError
        If a set is empty, of another shape than the first client's, not numeric, or holds NaN,
        infinity or labels that are not integers.
    """
    cleaned = [_clean_pair(f"client {index}", data) for index, data in enumerate(clients)]
    cleaned_test = _clean_pair("the test set", test)
    shape = cleaned[0][0].shape[1:]
    named = [(f"client {i}", x) for i, (x, _) in enumerate(cleaned)]
    for who, x in [*named, ("the test set", cleaned_test[0])]:
        if x.shape[1:] != shape:
            raise TaskError(
                f"{who} has examples of shape {x.shape[1:]}, client 0 of shape {shape}: "
                "all must have one shape."
            )
    return cleaned, cleaned_test


def _clean_pair(who: str, data: _Examples) -> tuple[np.ndarray, np.ndarray]:
    if not hasattr(data, "x") or not hasattr(data, "y"):
        raise TaskError(f"{who} is a {type(data).__name__}; wrap its arrays in ClientData(x, y).")
    x, y = np.asarray(data.x), np.asarray(data.y)
    if y.ndim != 1:
        raise TaskError(
            f"{who} has labels of shape {y.shape}; one integer class an example is needed, shape "
            "(n,). Turn one-hot labels into classes with y.argmax(axis=1)."
        )
    if x.ndim < 2 or len(x) != len(y):
        raise TaskError(
            f"{who} has features of shape {x.shape} for {len(y)} labels: the shape must be "
            f"({len(y)}, ...) with at least one feature dimension."
        )
    if len(y) == 0:
        raise TaskError(f"{who} has no examples. Drop it, or partition with min_examples=1.")
    return _clean_features(who, x), _clean_labels(who, y)


def _clean_features(who: str, x: np.ndarray) -> np.ndarray:
    if not (np.issubdtype(x.dtype, np.number) or x.dtype == bool) or np.iscomplexobj(x):
        raise TaskError(f"{who} has features of dtype {x.dtype}; real numbers are needed.")
    x = np.ascontiguousarray(x, dtype=np.float32)
    # A finite sum proves that all values are finite, without a boolean array the size of the data.
    with np.errstate(invalid="ignore"):
        total = x.sum(dtype=np.float64)
    if not np.isfinite(total):
        bad = int((~np.isfinite(x).reshape(len(x), -1).all(axis=1)).argmax())
        raise TaskError(
            f"{who} has NaN or infinity in its features, first in example {bad}: "
            "clean or impute the data."
        )
    return x


def _clean_labels(who: str, y: np.ndarray) -> np.ndarray:
    whole = np.issubdtype(y.dtype, np.integer) or (
        np.issubdtype(y.dtype, np.floating) and bool(np.all(np.isfinite(y) & (y == np.floor(y))))
    )
    if not whole:
        raise TaskError(f"{who} has labels of dtype {y.dtype} that are not whole class numbers.")
    if y.min() < 0 or y.max() > np.iinfo(np.int32).max:
        raise TaskError(
            f"{who} has labels from {y.min()} to {y.max()}: classes count from 0 upwards."
        )
    return np.ascontiguousarray(y, dtype=np.int32)
