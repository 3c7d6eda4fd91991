"""Mixing, bucketing and worker momentum."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.errors import TaskError
from helpers.federated import robust

sizes = st.tuples(st.integers(0, 999), st.integers(3, 15), st.integers(1, 6))


def drawn(seed: int, n: int, d: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, d))


@given(sizes)
def test_mixing_averages_each_update_with_its_nearest_neighbours(size: tuple) -> None:
    x = drawn(*size)
    f = (len(x) - 1) // 2
    mixed = robust.nearest_neighbour_mixing(x, f)
    for row, result in zip(x, mixed, strict=True):
        near = np.argsort(((x - row) ** 2).sum(axis=1))[: len(x) - f]
        np.testing.assert_allclose(result, x[near].mean(axis=0), atol=1e-12)


@given(sizes, st.integers(1, 5))
def test_every_update_is_in_exactly_one_bucket(size: tuple, bucket_size: int) -> None:
    x = drawn(*size)
    buckets = robust.bucketing(x, 0, bucket_size, np.random.default_rng(1))
    counts = np.full(-(-len(x) // bucket_size), bucket_size)
    counts[-1] -= counts.sum() - len(x)
    assert len(buckets) == len(counts)
    np.testing.assert_allclose(counts @ buckets, x.sum(axis=0), atol=1e-9)
    if bucket_size == 1:
        np.testing.assert_array_equal(np.sort(buckets, axis=0), np.sort(x, axis=0))


@given(sizes)
def test_both_bring_the_honest_updates_together(size: tuple) -> None:
    x = drawn(*size)
    for mixed in (
        robust.nearest_neighbour_mixing(x, (len(x) - 1) // 2),
        robust.bucketing(x, 0, 2, np.random.default_rng(0)),
    ):
        assert (mixed.max(axis=0) <= x.max(axis=0) + 1e-12).all()
        assert (mixed.min(axis=0) >= x.min(axis=0) - 1e-12).all()


@given(st.integers(0, 99), st.floats(0, 0.99))
def test_momentum_is_the_weighted_sum_of_all_rounds(seed: int, momentum: float) -> None:
    rounds = np.random.default_rng(seed).normal(size=(4, 3, 5))
    state, started = np.zeros((3, 5)), np.zeros(3, bool)
    for updates in rounds:
        state = robust.worker_momentum(updates, state, started, momentum)
        started[:] = True
    weights = (1 - momentum) * momentum ** np.arange(3, -1, -1)
    weights[0] = momentum**3
    np.testing.assert_allclose(state, np.tensordot(weights, rounds, axes=1), atol=1e-12)


def test_a_worker_without_momentum_starts_with_its_update() -> None:
    updates = np.ones((2, 3), np.float32)
    sent = robust.worker_momentum(updates, np.zeros((2, 3)), np.array([True, False]), 0.9)
    np.testing.assert_allclose(sent, [[0.1] * 3, [1.0] * 3], rtol=1e-6)


@pytest.mark.parametrize("momentum", [-0.1, 1.0, np.nan])
def test_momentum_out_of_range_is_refused(momentum: float) -> None:
    with pytest.raises(TaskError, match="momentum="):
        robust.worker_momentum(np.ones((1, 2)), np.ones((1, 2)), np.ones(1, bool), momentum)


def test_a_bucket_of_nothing_is_refused() -> None:
    with pytest.raises(TaskError, match="bucket_size=0"):
        robust.bucketing(np.ones((4, 2)), 1, 0, np.random.default_rng(0))
