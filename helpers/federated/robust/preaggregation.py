"""What is done to the updates before a rule sees them: mixing, bucketing, worker momentum.

Rules that choose or trim assume that honest updates resemble each other. On non-IID data they do
not, and a rule then throws away honest minorities. Averaging a few updates first brings the honest
ones together.
"""

from __future__ import annotations

import numpy as np

from helpers.errors import TaskError
from helpers.federated.robust.matrix import row_mean, squared_distances, usable_updates
from helpers.federated.validation import require_between, require_whole


def nearest_neighbour_mixing(updates: np.ndarray, num_byzantine: int) -> np.ndarray:
    """Replace each update by the mean of the n - f updates nearest to it, itself among them.

    Parameters
    ----------
    updates
        floating ``(n, d)``.
    num_byzantine
        Assumed number f of Byzantine updates. Apply the rule afterwards with the same f.

    Returns
    -------
    np.ndarray
        ``(n, d)`` in the order of the rows; rows that are not finite are left out.

    Raises
    ------
    TaskError
        If n <= 2f, or more than f updates are not finite.

    References
    ----------
    Allouah et al., *Fixing by mixing: a recipe for optimal Byzantine ML under heterogeneity*,
    AISTATS 2023, Algorithm 2.
    """
    rows, f = usable_updates(updates, num_byzantine)
    distances = squared_distances(rows)
    nearest = np.argsort(distances, axis=1, kind="stable")[:, : len(rows) - f]
    shares = np.zeros((len(rows), len(rows)))
    np.put_along_axis(shares, nearest, 1 / nearest.shape[1], axis=1)
    return (shares @ rows).astype(rows.dtype)


def bucketing(
    updates: np.ndarray, num_byzantine: int, bucket_size: int, rng: np.random.Generator
) -> np.ndarray:
    """Average the updates in buckets that are filled at random.

    Parameters
    ----------
    updates
        floating ``(n, d)``.
    num_byzantine
        Assumed number f of Byzantine updates. As many buckets may hold one, so apply the rule
        afterwards with the same f; it needs 2f < ceil(n / bucket_size).
    bucket_size
        Updates a bucket (s in the paper); the last may hold fewer.
    rng
        Source of the permutation.

    Returns
    -------
    np.ndarray
        ``(ceil(n / bucket_size), d)``.

    Raises
    ------
    TaskError
        If ``bucket_size`` is not a whole number above 0, n <= 2f, or more than f updates are not
        finite.

    References
    ----------
    Karimireddy, He and Jaggi, *Byzantine-robust learning on heterogeneous datasets via
    bucketing*, ICLR 2022, Algorithm 1.
    """
    require_whole("bucket_size", bucket_size, at_least=1)
    rows, _ = usable_updates(updates, num_byzantine)
    order = rng.permutation(len(rows))
    starts = range(0, len(rows), bucket_size)
    return np.stack([row_mean(rows[order[at : at + bucket_size]]) for at in starts])


def worker_momentum(
    updates: np.ndarray, previous: np.ndarray, started: np.ndarray, momentum: float
) -> np.ndarray:
    """Smooth each worker's updates over the rounds, so that honest ones vary less.

    m_t = momentum * m_(t-1) + (1 - momentum) * u_t, and m_1 = u_1.

    Parameters
    ----------
    updates
        This round's updates, floating ``(n, d)``.
    previous
        The workers' momenta before the round, ``(n, d)``.
    started
        Whether a worker has one yet, bool ``(n,)``.
    momentum
        From 0 (off) to below 1.

    Returns
    -------
    np.ndarray
        The workers' momenta after the round, which they send, ``(n, d)``.

    Raises
    ------
    TaskError
        If ``momentum`` is out of range, or the shapes differ.

    References
    ----------
    Karimireddy, He and Jaggi, ICML 2021, section 5.
    """
    require_between("momentum", momentum, 0.0, 1.0)
    begun = np.asarray(started)
    if updates.ndim != 2 or previous.shape != updates.shape or begun.shape != updates.shape[:1]:
        raise TaskError(
            f"updates {updates.shape}, previous {previous.shape} and started {begun.shape}: "
            "expected (n, d) twice, and (n,)."
        )
    keep = updates.dtype.type(momentum)
    smoothed = keep * previous + (1 - keep) * updates
    return np.where(begun[:, None], smoothed, updates)
