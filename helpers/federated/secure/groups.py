"""Secure aggregation in groups: the server sees group means, and can compare those.

A robust rule has to compare what clients sent; secure aggregation hides exactly that. With groups
of g the server compares means of g clients: each client hides among g, and a Byzantine one spoils
its group. Grouping before a robust rule is the bucketing of Karimireddy et al. (ICLR 2022); that
the buckets are secret sums is what makes it a compromise.
"""

from __future__ import annotations

import math

import numpy as np

from helpers.errors import EdgesecError, TaskError
from helpers.federated.robust.matrix import as_matrix
from helpers.federated.secure.protocol import secure_sum
from helpers.federated.secure.settings import SecureSettings
from helpers.federated.validation import require_enough_clients, require_whole


def random_groups(num_clients: int, group_size: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Divide clients at random into groups of at least ``group_size``.

    Parameters
    ----------
    num_clients
        Number of clients n.
    group_size
        Smallest group; where it does not divide n, some groups have one client more.
    rng
        Source of the permutation.

    Returns
    -------
    list of np.ndarray
        Sorted positions of each group, int64 ``(size,)``.

    Raises
    ------
    TaskError
        If there are fewer clients than one group needs.
    """
    require_whole("num_clients", num_clients, at_least=1)
    require_whole("group_size", group_size, at_least=1)
    require_enough_clients("group_size", group_size, num_clients)
    order = rng.permutation(num_clients)
    return [np.sort(part) for part in np.array_split(order, num_clients // group_size)]


def group_means(updates: np.ndarray, group_size: int, rng: np.random.Generator) -> np.ndarray:
    """Average updates in random groups, in the clear.

    Parameters
    ----------
    updates
        One flattened update a row, real ``(n, d)``.
    group_size, rng
        As for :func:`random_groups`.

    Returns
    -------
    np.ndarray
        ``(groups, d)``, for a robust rule.

    Raises
    ------
    TaskError
        If there are fewer clients than one group needs, or the updates are no real matrix.
    """
    rows = as_matrix(updates)
    groups = random_groups(len(rows), group_size, rng)
    return np.stack([rows[group].mean(axis=0, dtype=np.float64) for group in groups]).astype(
        rows.dtype
    )


def secure_group_means(
    updates: np.ndarray,
    group_size: int,
    settings: SecureSettings,
    rng: np.random.Generator,
    *,
    round_number: int = 1,
) -> np.ndarray:
    """Average updates in random groups, each by a round of masking.

    Parameters
    ----------
    updates
        One flattened update a row, real ``(n, d)``.
    group_size
        At least 2; see :func:`random_groups`.
    settings
        Settings of each group's round.
    rng
        Source of the permutation. Keys come from the operating system.
    round_number
        Number of the round.

    Returns
    -------
    np.ndarray
        ``(groups, d)``: :func:`group_means` of the clipped updates, up to
        ``settings.error_bound``. A client whose update is not finite drops out of its group; a
        group that is lost for it is left out.

    Raises
    ------
    TaskError
        If the groups are too small or all of them are lost.
    """
    require_whole("group_size", group_size, at_least=2)
    rows = as_matrix(updates)
    means, reasons = [], []
    for group in random_groups(len(rows), group_size, rng):
        try:
            finished = secure_sum(
                rows[group],
                settings,
                clients=group.tolist(),
                round_number=round_number,
                keep_view=False,
            )
        except EdgesecError as error:
            reasons.append(str(error))
            continue
        means.append(finished.mean.astype(rows.dtype))
    if not means:
        raise TaskError(f"Every group was lost; the first because: {reasons[0]}")
    return np.stack(means)


def clean_groups(num_clients: int, num_byzantine: int, group_size: int) -> float:
    """Return how many of the groups hold no Byzantine client, on average over the draw.

    Every group is taken to have ``group_size`` clients; there are n // group_size. A rule that
    survives a minority of bad rows needs more than half of the groups clean.

    Raises
    ------
    TaskError
        If a number is out of range.
    """
    require_whole("num_clients", num_clients, at_least=1)
    require_whole("group_size", group_size, at_least=1)
    require_whole("num_byzantine", num_byzantine, at_least=0)
    if max(num_byzantine, group_size) > num_clients:
        raise TaskError(
            f"num_byzantine={num_byzantine} and group_size={group_size} must be at most "
            f"num_clients={num_clients}."
        )
    ways = math.comb(num_clients - group_size, num_byzantine)
    return num_clients // group_size * ways / math.comb(num_clients, num_byzantine)
