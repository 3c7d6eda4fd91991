"""The matrix of client updates: what every rule checks before it trusts a row, and distances."""

from __future__ import annotations

import numpy as np

from helpers.errors import DivergenceError, TaskError
from helpers.federated.validation import require_whole

# The squared norm of a usable update. Sums and differences of two such numbers stay finite.
_LARGEST_SQUARED_NORM = 1e300
# A squared distance below this share of the squared norms has lost half of float64's digits in
# |a|^2 + |b|^2 - 2ab, and is computed from the difference instead.
_CANCELLATION = 1e-8
# Coordinates handled at a time, so that float64 copies of a large model's updates stay small.
BLOCK = 1 << 16


def usable_updates(updates: np.ndarray, num_byzantine: int = 0) -> tuple[np.ndarray, int]:
    """Drop the updates that hold NaN, infinity or numbers too large to compare.

    An honest client that computes never sends such an update, so each one dropped is one of the
    assumed Byzantine ones: n and f fall together and n - f, on which the rules rest, stays. One
    NaN therefore cannot poison a result, and an adversary gains nothing by sending it.

    Parameters
    ----------
    updates
        One flattened update a row, real ``(n, d)``.
    num_byzantine
        Assumed number f of Byzantine rows.

    Returns
    -------
    updates, num_byzantine
        The rows that are left, floating ``(n - k, d)`` (the very array where k is 0), and f - k.

    Raises
    ------
    TaskError
        If the array is not a matrix of real numbers, f is not a whole number, or 2f >= n.
    DivergenceError
        If more than f rows must be dropped.
    """
    matrix = as_matrix(updates)
    require_whole("num_byzantine", num_byzantine, at_least=0)
    if 2 * num_byzantine >= len(matrix):
        raise TaskError(
            f"num_byzantine={num_byzantine} of {len(matrix)} updates: no rule can tell the honest "
            f"from the rest unless 2 * num_byzantine < n, so at most {(len(matrix) - 1) // 2}."
        )
    bad = np.flatnonzero(~(squared_norms(matrix) <= _LARGEST_SQUARED_NORM))
    if not len(bad):
        return matrix, int(num_byzantine)
    if len(bad) > num_byzantine:
        raise DivergenceError(
            f"Updates {bad.tolist()} hold NaN, infinity or numbers whose squares overflow: that is "
            f"{len(bad)}, more than num_byzantine={num_byzantine}. Raise num_byzantine, or find "
            "out why honest clients diverge (a learning rate too high, features not scaled)."
        )
    return np.delete(matrix, bad, axis=0), int(num_byzantine) - len(bad)


def as_matrix(updates: np.ndarray) -> np.ndarray:
    """Return updates as a floating ``(n, d)`` array with n and d at least 1, or raise TaskError."""
    matrix = np.asarray(updates)
    if matrix.ndim != 2 or 0 in matrix.shape:
        raise TaskError(
            f"updates have shape {matrix.shape}; one flattened update a row is needed, (n, d)."
        )
    if not np.issubdtype(matrix.dtype, np.floating):
        if not np.issubdtype(matrix.dtype, np.integer):
            raise TaskError(f"updates have dtype {matrix.dtype}; real numbers are needed.")
        matrix = matrix.astype(np.float64)
    return matrix


def require_vector(name: str, vector: np.ndarray, size: int) -> np.ndarray:
    """Return a finite float64 ``(size,)``, or raise TaskError naming it."""
    array = np.asarray(vector, dtype=np.float64)
    if array.shape != (size,) or not np.isfinite(array).all():
        raise TaskError(
            f"{name} of shape {array.shape} must be a finite vector of shape ({size},)."
        )
    return array


def row_mean(rows: np.ndarray) -> np.ndarray:
    """Average rows ``(n, d)`` in float64 and return ``(d,)`` in their dtype."""
    return rows.mean(axis=0, dtype=np.float64).astype(rows.dtype)


def squared_norms(matrix: np.ndarray) -> np.ndarray:
    """Squared Euclidean norm of each row, float64 ``(n,)``; NaN or infinity where it overflows."""
    total = np.zeros(len(matrix))
    with np.errstate(over="ignore", invalid="ignore"):
        for start in range(0, matrix.shape[1], BLOCK):
            block = matrix[:, start : start + BLOCK].astype(np.float64, copy=False)
            total += np.einsum("nd,nd->n", block, block)
    return total


def squared_distances(matrix: np.ndarray) -> np.ndarray:
    """Squared Euclidean distance of every two rows.

    One matrix product instead of n * n / 2 differences; the few pairs that lie so close that the
    product cancels (colluders who send the same, far from the origin) are then done exactly.

    Parameters
    ----------
    matrix
        floating ``(n, d)``, rows of :func:`usable_updates`.

    Returns
    -------
    np.ndarray
        float64 ``(n, n)``, symmetric, with a zero diagonal.
    """
    products = np.zeros((len(matrix), len(matrix)))
    for start in range(0, matrix.shape[1], BLOCK):
        block = matrix[:, start : start + BLOCK].astype(np.float64, copy=False)
        products += block @ block.T
    norms = np.diag(products)
    sums = norms[:, None] + norms[None, :]
    distances = sums - 2 * products
    for one, other in np.argwhere(np.triu(distances <= _CANCELLATION * sums, k=1)):
        gap = matrix[one].astype(np.float64) - matrix[other]
        distances[one, other] = distances[other, one] = gap @ gap
    np.fill_diagonal(distances, 0.0)
    return distances
