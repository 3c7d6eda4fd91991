"""Rules that keep the updates whose neighbourhood is dense: Krum, Multi-Krum, Bulyan."""

from __future__ import annotations

import numpy as np

from helpers.errors import TaskError
from helpers.federated.robust.coordinate import mean_of_closest
from helpers.federated.robust.matrix import row_mean, squared_distances, usable_updates
from helpers.federated.validation import require_whole


def krum(updates: np.ndarray, num_byzantine: int, num_neighbours: int | None = None) -> np.ndarray:
    """Return the update that lies closest to its nearest neighbours.

    Parameters
    ----------
    updates
        floating ``(n, d)``.
    num_byzantine
        Assumed number f of Byzantine updates.
    num_neighbours
        Neighbours that an update is scored by. None is n - f - 2, as in the paper and in Flower;
        ByzFL and Allouah et al. (2023) use n - f - 1.

    Returns
    -------
    np.ndarray
        One of the rows, ``(d,)``.

    Raises
    ------
    TaskError
        If n < 2f + 3 with the paper's neighbours, n <= 2f with others, there are fewer neighbours
        than asked for, or more than f updates are not finite.

    References
    ----------
    Blanchard et al., *Machine learning with adversaries: Byzantine tolerant gradient descent*,
    NeurIPS 2017, section 4.
    """
    rows, num_byzantine = usable_updates(updates, num_byzantine)
    scores = krum_scores(squared_distances(rows), num_byzantine, num_neighbours)
    return rows[scores.argmin()].copy()


def multi_krum(
    updates: np.ndarray,
    num_byzantine: int,
    num_neighbours: int | None = None,
    num_selected: int | None = None,
) -> np.ndarray:
    """Average the updates with the best Krum scores.

    Parameters
    ----------
    updates
        floating ``(n, d)``.
    num_byzantine
        Assumed number f of Byzantine updates.
    num_neighbours
        As in :func:`krum`.
    num_selected
        Number of updates averaged (m in the paper, ``to_keep`` in Flower), from 1 to n - f. None
        is n - f.

    Returns
    -------
    np.ndarray
        Their mean, ``(d,)``.

    Raises
    ------
    TaskError
        As :func:`krum`, and if ``num_selected`` is out of range.

    References
    ----------
    Blanchard et al., NeurIPS 2017, section 5.
    """
    rows, num_byzantine = usable_updates(updates, num_byzantine)
    most = len(rows) - num_byzantine
    selected = most if num_selected is None else num_selected
    require_whole("num_selected", selected, at_least=1)
    if selected > most:
        raise TaskError(
            f"num_selected={selected} would average Byzantine updates: at most n - num_byzantine "
            f"= {most} can be honest."
        )
    scores = krum_scores(squared_distances(rows), num_byzantine, num_neighbours)
    return row_mean(rows[np.argsort(scores, kind="stable")[:selected]])


def krum_scores(
    distances: np.ndarray, num_byzantine: int, num_neighbours: int | None = None
) -> np.ndarray:
    """Sum each update's squared distances to its nearest neighbours.

    Parameters
    ----------
    distances
        Squared distances, float64 ``(n, n)``.
    num_byzantine
        Assumed number of Byzantine updates.
    num_neighbours
        As in :func:`krum`.

    Returns
    -------
    np.ndarray
        float64 ``(n,)``; small is central.

    Raises
    ------
    TaskError
        As :func:`krum`.
    """
    n = len(distances)
    if distances.shape != (n, n):
        raise TaskError(f"distances of shape {distances.shape} must be (n, n).")
    require_whole("num_byzantine", num_byzantine, at_least=0)
    if num_neighbours is None:
        # A lone honest update has itself only; with f = 0 there is nobody to defend against.
        if num_byzantine and n < 2 * num_byzantine + 3:
            raise TaskError(
                f"Krum with num_byzantine={num_byzantine} needs at least "
                f"2 * {num_byzantine} + 3 = {2 * num_byzantine + 3} usable updates; there are {n}. "
                f"Lower num_byzantine, or give num_neighbours={n - num_byzantine - 1} to leave "
                "the paper's condition knowingly."
            )
        num_neighbours = max(n - num_byzantine - 2, 0)
    else:
        require_whole("num_neighbours", num_neighbours, at_least=1)
        if num_neighbours > n - 1:
            raise TaskError(
                f"num_neighbours={num_neighbours}: each of {n} usable updates has {n - 1} others."
            )
    others = distances + np.diag(np.full(n, np.inf))
    return np.sort(others, axis=1)[:, :num_neighbours].sum(axis=1)


def bulyan(updates: np.ndarray, num_byzantine: int) -> np.ndarray:
    """Select n - 2f updates by repeated Krum, then average near the median of each coordinate.

    Krum alone lets an update through that is close in distance but far in one coordinate; the
    second step bounds every coordinate. As updates are taken away, the number of neighbours that
    scores the rest falls, to one where f < 3; of two that tie, the first in order is taken.

    Parameters
    ----------
    updates
        floating ``(n, d)``.
    num_byzantine
        Assumed number f of Byzantine updates.

    Returns
    -------
    np.ndarray
        For each coordinate the mean of the n - 4f selected values nearest to their median,
        ``(d,)``.

    Raises
    ------
    TaskError
        If n < 4f + 3 (for f above 0), or more than f updates are not finite.

    References
    ----------
    El Mhamdi, Guerraoui and Rouault, *The hidden vulnerability of distributed learning in
    Byzantium*, ICML 2018, section 4.
    """
    rows, num_byzantine = usable_updates(updates, num_byzantine)
    if num_byzantine and len(rows) < 4 * num_byzantine + 3:
        raise TaskError(
            f"Bulyan with num_byzantine={num_byzantine} needs at least "
            f"4 * {num_byzantine} + 3 = {4 * num_byzantine + 3} usable updates; there are "
            f"{len(rows)}, enough for num_byzantine={max((len(rows) - 3) // 4, 0)}."
        )
    distances = squared_distances(rows)
    left = np.arange(len(rows))
    chosen = []
    for _ in range(len(rows) - 2 * num_byzantine):
        neighbours = max(len(left) - num_byzantine - 2, 1)
        among = distances[np.ix_(left, left)]
        best = krum_scores(among, num_byzantine, neighbours).argmin() if len(left) > 1 else 0
        chosen.append(left[best])
        left = np.delete(left, best)
    return mean_of_closest(rows[chosen], len(rows) - 4 * num_byzantine)
