"""How different the clients of a partition are: in size, in labels, in features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from helpers.data import partition
from helpers.errors import DataError


@dataclass(frozen=True)
class Heterogeneity:
    """What one partition looks like, client by client and in all.

    Attributes
    ----------
    sizes : numpy.ndarray
        int64 ``(num_clients,)``, examples held.
    label_shares : numpy.ndarray
        ``(num_clients, num_classes)``, share of each class among a client's examples.
    feature_shifts : numpy.ndarray
        ``(num_clients, num_features)``, mean at a client minus the mean of all, in standard
        deviations of all; 0 for a feature that never varies.
    label_information : float
        Mutual information of client and label over the entropy of the label: 0 when every client
        has the same mix, 1 when the client gives the label away. Examples dealt at random score
        about ``(num_clients - 1) (num_classes - 1) / (2 n H)`` and not 0, with H in nats.
    between_share : numpy.ndarray
        ``(num_features,)``, share of a feature's variance that lies between the clients, in
        [0, 1] (eta squared). At random it is ``(num_clients - 1) / (n - 1)`` on average.
    """

    sizes: np.ndarray
    label_shares: np.ndarray
    feature_shifts: np.ndarray
    label_information: float
    between_share: np.ndarray


def measure(
    features: np.ndarray, labels: np.ndarray, parts: Sequence[np.ndarray], num_classes: int
) -> Heterogeneity:
    """Measure how the clients of a partition differ.

    Parameters
    ----------
    features : numpy.ndarray
        ``(n, num_features)``, a table in any units.
    labels : numpy.ndarray
        integers ``(n,)`` in ``0 .. num_classes - 1``.
    parts : sequence of numpy.ndarray
        A partition, no part of it empty.
    num_classes : int
        How many classes there are.

    Returns
    -------
    Heterogeneity
        Per client and in all.

    Raises
    ------
    DataError
        If features and labels do not belong together, or a client holds nothing.
    """
    table = np.asarray(features, dtype=np.float64)
    if table.ndim != 2 or len(table) != len(labels):
        raise DataError(
            f"features has shape {table.shape} beside {len(labels):,} labels; it must be "
            "(n, num_features), one row a label."
        )
    held = partition.counts(labels, parts, num_classes)
    sizes = held.sum(axis=1)
    if len(sizes) == 0 or sizes.min() == 0:
        raise DataError(f"The clients hold {sizes.tolist()} examples; each must hold at least one.")
    everyone = np.concatenate([table[part] for part in parts])
    spread = everyone.std(axis=0)
    varies = spread > 0
    gaps = np.array([table[part].mean(axis=0) for part in parts]) - everyone.mean(axis=0)
    shifts = np.divide(gaps, spread, out=np.zeros_like(gaps), where=varies)
    return Heterogeneity(
        sizes=sizes,
        label_shares=held / sizes[:, None],
        feature_shifts=shifts,
        label_information=_shared_information(held),
        between_share=np.average(shifts**2, axis=0, weights=sizes),
    )


def _shared_information(held: np.ndarray) -> float:
    """Mutual information of row and column of a table of counts, over the columns' entropy."""
    joint = held / held.sum()
    rows, columns = joint.sum(axis=1, keepdims=True), joint.sum(axis=0, keepdims=True)
    entropy = -_sum_of_p_log(columns, columns)
    if entropy == 0:
        return 0.0  # one class only: there is nothing to tell
    return min(
        1.0, max(0.0, _sum_of_p_log(joint, joint / (rows * np.maximum(columns, 1e-300))) / entropy)
    )


def _sum_of_p_log(p: np.ndarray, ratio: np.ndarray) -> float:
    return float(np.sum(p * np.log(np.where(p > 0, ratio, 1.0))))
