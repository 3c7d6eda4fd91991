"""Real data for hospitals that differ: what ``edgesec federate up`` deals out."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np

from helpers import data
from helpers.data.standardise import feature_sums, standardiser
from helpers.errors import TaskError
from helpers.federated.task import ClientData

DatasetName = Literal["breast_cancer", "mnist"]
# How far the ranges of tumour size of two hospitals blur, see helpers.data.partition.by_feature.
_OVERLAP = 0.3


class Hospitals(NamedTuple):
    """Data of a consortium.

    Attributes
    ----------
    clients
        Each hospital's examples, features float32 ``(n, features)``.
    test
        Held-out examples of the consortium, which the server scores.
    num_classes
        Number of classes.
    """

    clients: list[ClientData]
    test: ClientData
    num_classes: int


def hospital_data(
    name: DatasetName = "breast_cancer", num_clients: int = 4, seed: int = 0
) -> Hospitals:
    """Split a real dataset over hospitals that see different patients.

    Parameters
    ----------
    name
        ``"breast_cancer"`` (569 diagnoses, 30 features): the hospitals differ by the size of the
        tumours that are referred to them, as a screening unit differs from a surgical centre.
        Features are standardised from the sums that each hospital adds up by itself.
        ``"mnist"`` (784 pixels): each hospital sees its own mix of digits, Dirichlet 0.5.
    num_clients
        Number of hospitals.
    seed
        Decides the split.

    Returns
    -------
    Hospitals

    Raises
    ------
    TaskError
        If the name is not known.
    """
    if name not in ("breast_cancer", "mnist"):
        raise TaskError(f'data={name!r} is not known: use "breast_cancer" or "mnist".')
    rng = np.random.default_rng(seed)
    source = data.load(name, source="offline")
    labels = source.y_train
    if name == "mnist":
        train, test = (x.reshape(len(x), -1) for x in (source.x_train, source.x_test))
        parts = data.partition.dirichlet(labels, num_clients, 0.5, rng, min_examples=10)
        clients = [ClientData(train[part], labels[part]) for part in parts]
        return Hospitals(clients, ClientData(test, source.y_test), source.num_classes)
    radius = source.x_train[:, source.feature_names.index("mean radius")]
    parts = data.partition.by_feature(radius, [1.0] * num_clients, rng, overlap=_OVERLAP)
    sums = [feature_sums(source.x_train[part]) for part in parts]
    scale = standardiser(sum(sums[1:], start=sums[0]))
    return Hospitals(
        [ClientData(scale(source.x_train[part]), labels[part]) for part in parts],
        ClientData(scale(source.x_test), source.y_test),
        source.num_classes,
    )
