"""The server's arithmetic."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from helpers.errors import TaskError
from helpers.federated import ServerOptimizer, weighted_average
from helpers.federated.averaging import initial_server_state, server_step

VALUES = st.floats(-100, 100, width=32)


@st.composite
def some_updates(draw: st.DrawFn) -> tuple[list[list[np.ndarray]], list[int]]:
    clients = draw(st.integers(1, 6))
    shapes = [(2, 3), (4,), ()]
    updates = [
        [draw(arrays(np.float32, shape, elements=VALUES)) for shape in shapes]
        for _ in range(clients)
    ]
    counts = draw(st.lists(st.integers(1, 500), min_size=clients, max_size=clients))
    return updates, counts


@given(some_updates())
def test_the_average_is_numpys_weighted_average(
    case: tuple[list[list[np.ndarray]], list[int]],
) -> None:
    updates, counts = case
    for index, average in enumerate(weighted_average(updates, counts)):
        stacked = np.stack([u[index] for u in updates]).astype(np.float64)
        expected = np.average(stacked, axis=0, weights=counts)
        np.testing.assert_allclose(average, expected, rtol=1e-6, atol=1e-5)
        assert average.dtype == np.float32


@given(some_updates(), st.integers(2, 9))
def test_only_the_proportions_of_the_weights_count(
    case: tuple[list[list[np.ndarray]], list[int]], factor: int
) -> None:
    updates, counts = case
    scaled = weighted_average(updates, [factor * c for c in counts])
    for a, b in zip(weighted_average(updates, counts), scaled, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-5)


def test_a_client_of_weight_zero_does_not_count() -> None:
    updates = [[np.array([1.0])], [np.array([9.0])]]
    np.testing.assert_array_equal(weighted_average(updates, [3, 0])[0], [1.0])


@pytest.mark.parametrize(
    ("updates", "counts", "named"),
    [
        ([], [], "one value a client"),
        ([[np.ones(2)]], [1, 2], "1 updates came with 2"),
        ([[np.ones(2)], [np.ones(3)]], [1, 2], "update 1 has shapes"),
        ([[np.ones(2)], [np.ones(2)]], [0, 0], "positive sum"),
        ([[np.ones(2)], [np.ones(2)]], [1, -1], "not negative"),
        ([[np.ones(2)], [np.ones(2)]], [1, float("nan")], "finite"),
    ],
)
def test_what_cannot_be_averaged_is_refused(updates: list, counts: list, named: str) -> None:
    with pytest.raises(TaskError, match=named):
        weighted_average(updates, counts)


def test_fedavg_with_rate_one_replaces_the_model_by_the_average() -> None:
    weights, update = [np.array([1.0, 2.0], np.float32)], [np.array([0.5, -1.0], np.float32)]
    _, moved = server_step(ServerOptimizer.fedavg(), [], weights, update)
    np.testing.assert_array_equal(moved[0], [1.5, 1.0])


def test_fedavgm_of_a_constant_update_reaches_the_geometric_sum() -> None:
    optimizer = ServerOptimizer.fedavgm(learning_rate=0.5, momentum=0.9)
    weights = [np.zeros(3, np.float32)]
    state = initial_server_state(optimizer, weights)
    for _ in range(3):
        state, weights = server_step(optimizer, state, weights, [np.ones(3, np.float32)])
    # Velocities 1, 1.9, 2.71.
    np.testing.assert_allclose(weights[0], 0.5 * (1 + 1.9 + 2.71), rtol=1e-6)


def test_fedadam_of_a_constant_update_moves_by_the_rate_in_its_direction() -> None:
    # With bias correction both moments equal the update, whatever the decay rates.
    optimizer = ServerOptimizer.fedadam(learning_rate=0.1, epsilon=1e-12)
    weights = [np.zeros(2, np.float32)]
    state = initial_server_state(optimizer, weights)
    for _ in range(4):
        state, weights = server_step(
            optimizer, state, weights, [np.array([5.0, -0.01], np.float32)]
        )
    np.testing.assert_allclose(weights[0], [0.4, -0.4], rtol=1e-4)


def test_a_step_changes_none_of_its_arguments() -> None:
    for optimizer in (ServerOptimizer.fedavgm(), ServerOptimizer.fedadam()):
        weights, update = [np.ones(2, np.float32)], [np.ones(2, np.float32)]
        state = initial_server_state(optimizer, weights)
        server_step(optimizer, state, weights, update)
        assert all(not s.any() for s in state)
        assert weights[0].tolist() == update[0].tolist() == [1, 1]
