"""Bytes on the network."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.errors import TaskError
from helpers.federated import bytes_per_round

SHAPES = [(784, 64), (64,), (64, 10), (10,)]


def test_thirty_clients_with_50890_float32_parameters_move_twelve_megabytes() -> None:
    traffic = bytes_per_round(SHAPES, 30)
    assert traffic.up == traffic.down == 30 * 4 * 50_890
    assert traffic.total == 12_213_600


def test_directions_can_have_their_own_width() -> None:
    traffic = bytes_per_round(SHAPES, 2, bytes_per_value=4, bytes_per_value_up=1)
    assert traffic == (2 * 50_890, 2 * 4 * 50_890)


def test_half_bytes_are_rounded_up_for_each_client() -> None:
    assert bytes_per_round([(3,)], 5, bytes_per_value=0.5).up == 5 * 2


@given(st.integers(0, 500), st.integers(0, 500))
def test_traffic_grows_linearly_with_clients(a: int, b: int) -> None:
    parts = bytes_per_round(SHAPES, a).total + bytes_per_round(SHAPES, b).total
    assert bytes_per_round(SHAPES, a + b).total == parts


def test_a_scalar_weight_counts_as_one_value() -> None:
    assert bytes_per_round([()], 1).up == 4


@pytest.mark.parametrize("wrong", [{"num_clients": -1}, {"num_clients": 1, "bytes_per_value": 0}])
def test_impossible_counts_are_refused(wrong: dict) -> None:
    with pytest.raises(TaskError):
        bytes_per_round(SHAPES, **wrong)
