"""Evidence without a mark, and its limits."""

from typing import TYPE_CHECKING

import numpy as np
import pytest

from helpers import data
from helpers.errors import WatermarkError
from helpers.watermark.fingerprint import BoundaryFingerprint, DatasetInference
from helpers.watermark.folding import suspect_of
from helpers.watermark.null import measure
from helpers.watermark.suspect import Suspect
from tests.watermark.conftest import OWNER, answering, deployed, int8

if TYPE_CHECKING:
    import tensorflow as tf


@pytest.fixture(scope="module")
def print_of_owner(owner: "tf.keras.Model", digits: data.Dataset) -> BoundaryFingerprint:
    return BoundaryFingerprint.of(owner, digits.x_train, OWNER)


def test_the_points_lie_beside_the_owners_boundaries(
    owner: "tf.keras.Model", print_of_owner: BoundaryFingerprint
) -> None:
    logits = np.sort(suspect_of(owner).scores(print_of_owner.points), axis=1)
    assert len(print_of_owner.points) >= 32
    assert np.median(logits[:, -1] - logits[:, -2]) == pytest.approx(2.0, abs=0.5)


def test_the_file_agrees_on_them_and_others_do_not(
    owner: "tf.keras.Model",
    innocents: list[Suspect],
    print_of_owner: BoundaryFingerprint,
    digits: data.Dataset,
) -> None:
    file = deployed(int8(owner, digits.x_train))
    others = [print_of_owner.read(model, OWNER) for model in innocents]
    shown = print_of_owner.read(file, OWNER)
    assert shown.share > 0.9
    assert max(reading.share for reading in others) < shown.share - 0.1
    # Nine models give no p-value below a tenth, however far apart they lie
    null = measure(print_of_owner.chance, others)
    assert null.p_value(shown) == 1 / 10
    assert null.needed(shown.looked_for, 1e-9) is None


def test_nothing_is_embedded(
    owner: "tf.keras.Model", print_of_owner: BoundaryFingerprint, digits: data.Dataset
) -> None:
    copy = print_of_owner.embed(owner, digits.x_train, digits.y_train, OWNER)
    for one, other in zip(owner.get_weights(), copy.get_weights(), strict=True):
        assert np.array_equal(one, other)


def test_walks_that_do_not_arrive_are_no_fingerprint(
    owner: "tf.keras.Model", digits: data.Dataset
) -> None:
    with pytest.raises(WatermarkError, match="walks reached a boundary"):
        BoundaryFingerprint.of(owner, digits.x_train, OWNER, steps=1, step_size=1e-6)


def test_a_model_that_knows_its_data_by_heart_is_surer_of_it_and_one_that_does_not_is_not() -> None:
    rng = np.random.default_rng(0)
    private, unseen = (rng.normal(size=(40, 6, 6, 1)).astype(np.float32) for _ in range(2))
    labels = rng.integers(0, 3, 80)

    def nearest(x: np.ndarray) -> np.ndarray:
        """What memory alone says: the label of the closest private input."""
        apart = ((x[:, None] - private[None]) ** 2).sum(axis=(2, 3, 4))
        return np.asarray(labels[:40][apart.argmin(axis=1)])

    test = DatasetInference(private, labels[:40], unseen, labels[40:])
    assert test.evidence(answering(nearest, 3), OWNER) > 0.8
    # The law of a model that knows neither: one half, exactly, if it never changes its mind
    fair = DatasetInference(private, np.zeros(40, int), unseen, np.zeros(40, int))
    assert fair.evidence(answering(lambda x: np.zeros(len(x), int), 3), OWNER) == 0.5


def test_a_clip_holds_out_until_the_first_wrong_answer_though_the_next_may_be_right() -> None:
    private = np.array([0, 2], np.float32)[:, None, None] * np.ones((2, 3, 3), np.float32)
    unseen = np.full((2, 3, 3), 10, np.float32)

    def label(x: np.ndarray) -> np.ndarray:
        """Wrong for private clips at the second push alone, for unseen ones from the third on."""
        value = x[:, 0, 0, None]
        push = np.abs(value - [0, 2, 10]).min(axis=1).round(3)  # 0.1, 0.2, 0.4 and 0.8
        return np.where(value[:, 0] < 5, push == 0.2, push >= 0.4).astype(int)

    test = DatasetInference(private, np.zeros(2, int), unseen, np.zeros(2, int), steps=4)
    assert test.evidence(answering(label, 2), OWNER) == 0


def test_use_of_the_data_is_what_it_finds_and_not_copying(
    innocents: list[Suspect], digits: data.Dataset
) -> None:
    # Every innocent was trained on the owner's own data: whatever this shows, it shows of them all
    test = DatasetInference(
        digits.x_train[:150], digits.y_train[:150], digits.x_test[:150], digits.y_test[:150]
    )
    assert "trained on the owner's data" in test.shows
    assert all(0.3 < test.evidence(model, OWNER) < 0.8 for model in innocents[:2])
