"""The measures of difference against their definitions, other libraries, and chance."""

from __future__ import annotations

import numpy as np
import pytest

from helpers import data
from helpers.data import heterogeneity, partition
from helpers.errors import DataError


def test_sizes_shares_and_shifts_are_what_counting_gives() -> None:
    x = np.array([[0.0, 5.0], [2.0, 5.0], [4.0, 5.0], [6.0, 5.0]])
    parts = [np.array([0]), np.array([1, 2, 3])]
    found = heterogeneity.measure(x, np.array([0, 0, 1, 1]), parts, 2)
    assert found.sizes.tolist() == [1, 3]
    assert found.label_shares == pytest.approx(np.array([[1, 0], [1 / 3, 2 / 3]]))
    deviation = np.sqrt(5.0)
    assert found.feature_shifts[:, 0] == pytest.approx([-3 / deviation, 1 / deviation])
    assert found.feature_shifts[:, 1].tolist() == [0, 0]  # never varies


def test_label_information_is_scikit_learns_mutual_information_over_the_entropy() -> None:
    from scipy.stats import entropy
    from sklearn.metrics import mutual_info_score

    rng = np.random.default_rng(2)
    labels = rng.integers(0, 4, 300)
    parts = partition.dirichlet(labels, 6, 0.3, rng)
    owner = np.empty(300, int)
    for client, part in enumerate(parts):
        owner[part] = client
    found = heterogeneity.measure(rng.normal(size=(300, 2)), labels, parts, 4)
    expected = mutual_info_score(owner, labels) / entropy(np.bincount(labels))
    assert found.label_information == pytest.approx(expected)


def test_between_share_is_the_eta_squared_of_an_analysis_of_variance() -> None:
    from sklearn.feature_selection import f_classif

    ds = data.breast_cancer()
    parts = partition.by_feature(ds.x_train[:, 0], (3, 2, 1), np.random.default_rng(0), 0.2)
    owner = np.empty(len(ds.x_train), int)
    for client, part in enumerate(parts):
        owner[part] = client
    found = heterogeneity.measure(ds.x_train, ds.y_train, parts, 2).between_share
    f, n, k = f_classif(ds.x_train.astype(float), owner)[0], len(owner), 3
    assert found == pytest.approx(f * (k - 1) / (f * (k - 1) + n - k), rel=1e-6)


def test_examples_dealt_at_random_score_what_chance_gives() -> None:
    rng = np.random.default_rng(0)
    n, k, classes = 400, 5, 2
    x, labels = rng.normal(size=(n, 8)), np.arange(n) % classes
    found = [heterogeneity.measure(x, labels, partition.iid(labels, k, rng), 2) for _ in range(100)]
    between = np.mean([one.between_share.mean() for one in found])
    information = np.mean([one.label_information for one in found])
    assert between == pytest.approx((k - 1) / (n - 1), rel=0.1)
    law = (k - 1) * (classes - 1) / (2 * n * np.log(2))
    assert information == pytest.approx(law, rel=0.2)


def test_the_extremes_are_one_and_zero() -> None:
    labels = np.array([0, 0, 1, 1])
    x = labels[:, None].astype(float)
    apart = heterogeneity.measure(x, labels, [np.array([0, 1]), np.array([2, 3])], 2)
    alike = heterogeneity.measure(x, labels, [np.array([0, 2]), np.array([1, 3])], 2)
    assert apart.label_information == pytest.approx(1.0)
    assert apart.between_share == pytest.approx(1.0)
    assert alike.label_information == pytest.approx(0.0, abs=1e-12)
    assert alike.between_share == pytest.approx(0.0)
    one_class = heterogeneity.measure(x, labels * 0, [np.arange(4)], 2)
    assert one_class.label_information == 0.0


def test_what_cannot_be_measured_is_refused() -> None:
    with pytest.raises(DataError, match="one row a label"):
        heterogeneity.measure(np.ones((3, 2)), np.zeros(4, int), [np.arange(4)], 2)
    with pytest.raises(DataError, match=r"\[4, 0\] examples"):
        heterogeneity.measure(
            np.ones((4, 2)), np.zeros(4, int), [np.arange(4), np.array([], int)], 2
        )
