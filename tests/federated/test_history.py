"""Records of a run."""

import json

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from helpers.federated import History, RoundRecord

FINITE = st.floats(allow_nan=False, allow_infinity=False)


def a_record(number: int = 1, accuracy: tuple[float, ...] | None = (0.2, 0.6)) -> RoundRecord:
    return RoundRecord(
        round=number,
        clients=(0, 3),
        num_examples=42,
        train_loss=1.5,
        test_accuracy=None if accuracy is None else 0.5,
        test_loss=None if accuracy is None else 2.0,
        client_accuracy=None if accuracy is None else np.array(accuracy),
        bytes_up=100,
        bytes_down=200,
        seconds=0.25,
    )


@given(st.lists(FINITE, min_size=1, max_size=5))
def test_a_record_comes_back_from_json_bit_for_bit(values: list[float]) -> None:
    record = a_record(accuracy=tuple(values))
    back = RoundRecord.from_json(json.loads(json.dumps(record.to_json())))
    assert back.clients == record.clients
    assert back.client_accuracy is not None
    assert back.client_accuracy.tolist() == values
    assert back.to_json() == record.to_json()


def test_the_frame_has_a_row_a_round_and_the_spread_over_clients() -> None:
    frame = History([a_record(1), a_record(2)], []).to_frame()
    assert frame["round"].tolist() == [1, 2]
    assert frame["num_clients"].tolist() == [2, 2]
    np.testing.assert_allclose(frame["client_accuracy_mean"], 0.4)
    np.testing.assert_allclose(frame["client_accuracy_std"], 0.2)
    np.testing.assert_allclose(frame["client_accuracy_min"], 0.2)


def test_rounds_without_evaluation_are_nan_in_the_frame() -> None:
    frame = History([a_record(1, None), a_record(2)], []).to_frame()
    columns = ["test_accuracy", "test_loss", "client_accuracy_mean"]
    assert frame[columns].isna().to_numpy().tolist() == [[True] * 3, [False] * 3]
    assert frame["test_accuracy"].dtype == np.float64
