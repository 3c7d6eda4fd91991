"""Rules that limit how far one update can pull: geometric median, clipping, a trusted update."""

from __future__ import annotations

import math

import numpy as np

from helpers.errors import TaskError
from helpers.federated.robust.coordinate import coordinate_median
from helpers.federated.robust.matrix import (
    as_matrix,
    require_vector,
    row_mean,
    squared_norms,
    usable_updates,
)
from helpers.federated.validation import require_between, require_positive, require_whole


def mean(updates: np.ndarray, num_byzantine: int = 0) -> np.ndarray:
    """Average the finite updates: the rule that one Byzantine client defeats.

    Parameters
    ----------
    updates
        floating ``(n, d)``.
    num_byzantine
        Number of updates that may be dropped as NaN.

    Returns
    -------
    np.ndarray
        ``(d,)``.

    Raises
    ------
    TaskError
        If n <= 2f, or more than f updates are not finite.
    """
    return row_mean(usable_updates(updates, num_byzantine)[0])


def geometric_median(
    updates: np.ndarray,
    num_byzantine: int = 0,
    smoothing: float = 1e-6,
    max_iterations: int = 1000,
    tolerance: float = 1e-8,
    start: np.ndarray | None = None,
) -> np.ndarray:
    """Find the point with the smallest sum of distances to all updates (smoothed Weiszfeld).

    Parameters
    ----------
    updates
        floating ``(n, d)``.
    num_byzantine
        Assumed number of Byzantine updates; it only limits how many may be dropped as NaN.
    smoothing
        Distance below which an update's weight grows no further (nu in the paper), in the unit
        of the updates.
    max_iterations
        Most iterations made; the paper finds 3 enough for learning.
    tolerance
        Stop when a step is shorter than this share of the mean distance to the updates.
    start
        First point, ``(d,)``; None is the coordinate-wise median, which no minority can move
        far.

    Returns
    -------
    np.ndarray
        ``(d,)``.

    Raises
    ------
    TaskError
        If a setting is out of range, n <= 2f, or more than f updates are not finite.

    References
    ----------
    Pillutla, Kakade and Harchaoui, *Robust aggregation for federated learning*, IEEE Transactions
    on Signal Processing 70, 2022, Algorithm 2.
    """
    require_positive("smoothing", smoothing)
    require_whole("max_iterations", max_iterations, at_least=1)
    require_between("tolerance", tolerance, 0.0, 1.0)
    rows, _ = usable_updates(updates, num_byzantine)
    first = coordinate_median(rows) if start is None else start
    origin = require_vector("start", first, rows.shape[1])
    points = rows - origin
    norms, centre = squared_norms(points), np.zeros(rows.shape[1])
    for _ in range(max_iterations):
        weights = 1 / np.maximum(_distances(points, norms, centre), smoothing)
        total = weights.sum()
        moved = (weights / total) @ points
        step = moved - centre
        centre = moved
        # The harmonic mean of the distances: a far outlier must not loosen the stop.
        if math.sqrt(step @ step) <= tolerance / (total / len(weights)):
            break
    return (origin + centre).astype(rows.dtype)


def centred_clipping(
    updates: np.ndarray,
    num_byzantine: int = 0,
    l2_norm_clip: float | None = None,
    centre: np.ndarray | None = None,
    iterations: int = 3,
) -> np.ndarray:
    """Average the updates after clipping their differences to a reference.

    Parameters
    ----------
    updates
        floating ``(n, d)``.
    num_byzantine
        Assumed number of Byzantine updates; it only limits how many may be dropped as NaN.
    l2_norm_clip
        Clipping radius (tau in the paper), in the unit of the updates. None is the median
        distance to the centre, anew in each iteration.
    centre
        Reference, ``(d,)``: the aggregate of the round before. None is zero.
    iterations
        How often the result becomes the next centre.

    Returns
    -------
    np.ndarray
        ``(d,)``.

    Raises
    ------
    TaskError
        If a setting is out of range, n <= 2f, or more than f updates are not finite.

    References
    ----------
    Karimireddy, He and Jaggi, *Learning from history for Byzantine robust optimization*, ICML
    2021, Algorithm 2 (a fixed radius).
    """
    require_whole("iterations", iterations, at_least=1)
    rows, _ = usable_updates(updates, num_byzantine)
    zero = np.zeros(rows.shape[1])
    origin = zero if centre is None else require_vector("centre", centre, rows.shape[1])
    points = rows - origin
    norms, moved = squared_norms(points), zero
    for _ in range(iterations):
        shares = _clip_factors(_distances(points, norms, moved), l2_norm_clip) / len(points)
        moved = moved + shares @ points - shares.sum() * moved
    return (origin + moved).astype(rows.dtype)


def norm_clipping(
    updates: np.ndarray, num_byzantine: int = 0, l2_norm_clip: float | None = None
) -> np.ndarray:
    """Average the updates after shrinking those that are longer than a bound.

    Parameters
    ----------
    updates
        floating ``(n, d)``.
    num_byzantine
        Assumed number of Byzantine updates; it only limits how many may be dropped as NaN.
    l2_norm_clip
        Largest Euclidean norm, in the unit of the updates. None is the median of their norms.

    Returns
    -------
    np.ndarray
        ``(d,)``.

    Raises
    ------
    TaskError
        If ``l2_norm_clip`` is not positive, n <= 2f, or more than f updates are not finite.

    References
    ----------
    Sun et al., *Can you really backdoor federated learning?*, 2019, section 4 (a fixed bound).
    """
    rows, _ = usable_updates(updates, num_byzantine)
    factors = _clip_factors(np.sqrt(squared_norms(rows)), l2_norm_clip)
    return (factors @ rows / len(rows)).astype(rows.dtype)


def _distances(points: np.ndarray, norms: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """Distance of float64 points ``(n, d)`` of known squared norms to a centre, ``(n,)``."""
    return np.sqrt(np.maximum(norms - 2 * (points @ centre) + centre @ centre, 0.0))


def _clip_factors(norms: np.ndarray, l2_norm_clip: float | None) -> np.ndarray:
    """Factors that shrink vectors to the bound, or to the median of their norms, ``(n,)``."""
    if l2_norm_clip is None:
        radius = float(np.median(norms))
    else:
        require_positive("l2_norm_clip", l2_norm_clip)
        radius = l2_norm_clip
    return np.minimum(1.0, radius / np.maximum(norms, np.finfo(np.float64).tiny))


def fltrust(updates: np.ndarray, server_update: np.ndarray) -> np.ndarray:
    """Weigh updates by their agreement with one that the server trained on data it trusts.

    Every update is scaled to the norm of the server's, so that only its direction counts, and
    weighed by the cosine of its angle to it where that is positive. NaN updates are left out;
    unlike the other rules this one needs no honest majority.

    Parameters
    ----------
    updates
        floating ``(n, d)``.
    server_update
        The server's own update, ``(d,)``.

    Returns
    -------
    np.ndarray
        ``(d,)``; zero when no update agrees with the server's.

    Raises
    ------
    TaskError
        If the server's update is not finite, zero, or of another size.

    References
    ----------
    Cao et al., *FLTrust: Byzantine-robust federated learning via trust bootstrapping*, NDSS 2021,
    section III-B.
    """
    matrix = as_matrix(updates)
    trusted = require_vector("server_update", server_update, matrix.shape[1])
    length = float(np.linalg.norm(trusted))
    if length == 0:
        raise TaskError("server_update is zero: the server's own data taught it nothing.")
    norms = np.sqrt(squared_norms(matrix))
    kept = np.isfinite(norms) & (norms > 0)
    points, norms = matrix[kept].astype(np.float64), norms[kept]
    trust = np.maximum(points @ trusted / (norms * length), 0.0)
    if not trust.sum() > 0:
        return np.zeros(matrix.shape[1], matrix.dtype)
    return ((trust * length / norms) @ points / trust.sum()).astype(matrix.dtype)
