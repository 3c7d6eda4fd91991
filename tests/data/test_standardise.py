"""Sums that sites add up alone give the standardisation of the pooled rows, or a refusal."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers import data
from helpers.data.standardise import FeatureSums, feature_sums, standardiser
from helpers.errors import DataError


def over_all(tables: list[np.ndarray], centre: np.ndarray | None = None) -> FeatureSums:
    parts = [feature_sums(table, centre) for table in tables]
    return sum(parts[1:], start=parts[0])


@given(st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_sums_of_sites_give_the_mean_and_deviation_of_the_pooled_rows(
    num_sites: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    tables = [rng.normal(3.0, 2.0, (rng.integers(1, 9), 4)) for _ in range(num_sites)]
    pooled = np.concatenate(tables)
    found = standardiser(over_all(tables))
    assert found.mean == pytest.approx(pooled.mean(axis=0))
    expected = pooled.std(axis=0) if len(pooled) > 1 else np.ones(4)
    assert found.std == pytest.approx(expected, rel=1e-6)


def test_breast_cancer_comes_out_as_scikit_learn_standardises_it() -> None:
    from sklearn.preprocessing import StandardScaler

    x = data.breast_cancer().x_train
    found = standardiser(over_all(np.array_split(x, 5)))(x)
    expected = StandardScaler().fit_transform(x.astype(np.float64))
    assert found.dtype == np.float32
    assert found == pytest.approx(expected, abs=1e-4)


def test_a_public_centre_keeps_the_digits_that_squares_lose() -> None:
    rng = np.random.default_rng(0)
    x = 1e8 + rng.normal(size=(500, 1))
    centred = standardiser(over_all([x], np.array([1e8])), np.array([1e8]))
    assert centred.std == pytest.approx(x.std(axis=0), rel=1e-9)
    assert centred.mean == pytest.approx(x.mean(axis=0), rel=1e-15)
    with_zero = standardiser(over_all([x])).std
    assert abs(with_zero - x.std(axis=0)) > 1e-3  # what the centre is for


def test_a_column_that_never_varies_is_centred_and_not_blown_up() -> None:
    x = np.full((50, 2), 0.1)
    x[:, 1] = np.arange(50)
    shown = standardiser(feature_sums(x))(x)
    assert shown[:, 0] == pytest.approx(0.0, abs=1e-12)
    assert shown[:, 1].std() == pytest.approx(1.0)


def test_sums_that_no_rows_can_have_are_refused() -> None:
    sums = feature_sums(np.arange(12.0).reshape(6, 2))
    with pytest.raises(DataError, match=r"Column 1 would have the variance -"):
        standardiser(FeatureSums(6, sums.total, sums.total_squares * [1.0, 0.1]))
    with pytest.raises(DataError, match="over 0 rows"):
        standardiser(FeatureSums(0, np.zeros(2), np.zeros(2)))


def test_tables_that_do_not_fit_are_refused() -> None:
    with pytest.raises(DataError, match="One site sums 2 features"):
        _ = feature_sums(np.ones((3, 2))) + feature_sums(np.ones((3, 4)))
    with pytest.raises(DataError, match="1 values that are not finite"):
        feature_sums(np.array([[1.0, np.nan]]))
    with pytest.raises(DataError, match=r"centre has shape \(3,\)"):
        feature_sums(np.ones((3, 2)), np.ones(3))
    with pytest.raises(DataError, match="features has 3 columns"):
        standardiser(feature_sums(np.ones((3, 2))))(np.ones((3, 3)))
