"""Rules that treat each coordinate by itself: median, trimmed mean, mean around the median."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from helpers.errors import TaskError
from helpers.federated.robust.matrix import BLOCK, usable_updates
from helpers.federated.validation import require_whole


def coordinate_median(updates: np.ndarray, num_byzantine: int = 0) -> np.ndarray:
    """Take the median of each coordinate.

    Parameters
    ----------
    updates
        floating ``(n, d)``.
    num_byzantine
        Assumed number of Byzantine updates; it only limits how many may be dropped as NaN.

    Returns
    -------
    np.ndarray
        ``(d,)``; the mean of the two middle values where n is even.

    Raises
    ------
    TaskError
        If n <= 2f, or more than f updates are not finite.

    References
    ----------
    Yin et al., *Byzantine-robust distributed learning: towards optimal statistical rates*, ICML
    2018, Definition 1.
    """
    rows, _ = usable_updates(updates, num_byzantine)
    return _by_blocks(rows, lambda block: np.median(block, axis=0))


def trimmed_mean(updates: np.ndarray, num_byzantine: int) -> np.ndarray:
    """Average each coordinate without its f largest and f smallest values.

    Parameters
    ----------
    updates
        floating ``(n, d)``.
    num_byzantine
        Number f of values cut from each end.

    Returns
    -------
    np.ndarray
        ``(d,)``.

    Raises
    ------
    TaskError
        If n <= 2f, or more than f updates are not finite.

    References
    ----------
    Yin et al., ICML 2018, Definition 2, with beta = f / n.
    """
    rows, f = usable_updates(updates, num_byzantine)
    kept = slice(f, len(rows) - f)

    def trim(block: np.ndarray) -> np.ndarray:
        return np.sort(block, axis=0)[kept].mean(axis=0, dtype=np.float64)

    return _by_blocks(rows, trim)


def meamed(updates: np.ndarray, num_byzantine: int) -> np.ndarray:
    """Average the n - f values of each coordinate that are nearest to its median.

    Parameters
    ----------
    updates
        floating ``(n, d)``.
    num_byzantine
        Number f of values left out.

    Returns
    -------
    np.ndarray
        ``(d,)``.

    Raises
    ------
    TaskError
        If n <= 2f, or more than f updates are not finite.

    References
    ----------
    Xie, Koyejo and Gupta, *Generalized Byzantine-tolerant SGD*, 2018, section 4 (mean around
    median).
    """
    rows, f = usable_updates(updates, num_byzantine)
    return mean_of_closest(rows, len(rows) - f)


def mean_of_closest(rows: np.ndarray, count: int) -> np.ndarray:
    """Average, in each coordinate, the ``count`` values nearest to the median, ``(d,)``.

    Raises
    ------
    TaskError
        If ``rows`` is not ``(n, d)`` with at least ``count`` rows, or ``count`` not positive.
    """
    require_whole("count", count, at_least=1)
    if rows.ndim != 2 or count > len(rows):
        raise TaskError(f"count={count} values of rows {rows.shape}: expected (n, d) with as many.")

    def near(block: np.ndarray) -> np.ndarray:
        gaps = np.abs(block - np.median(block, axis=0))
        nearest = np.argpartition(gaps, count - 1, axis=0)[:count]
        return np.take_along_axis(block, nearest, axis=0).mean(axis=0, dtype=np.float64)

    return _by_blocks(rows, near)


def _by_blocks(rows: np.ndarray, rule: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    result = np.empty(rows.shape[1], rows.dtype)
    for start in range(0, rows.shape[1], BLOCK):
        result[start : start + BLOCK] = rule(rows[:, start : start + BLOCK])
    return result
