"""Attacks that train: what they keep, what they change, and the evidence they leave alone."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from helpers import data, models
from helpers.errors import WatermarkError
from helpers.watermark.extraction import extract
from helpers.watermark.folding import suspect_of
from helpers.watermark.key import Key
from helpers.watermark.removal import (
    as_it_is,
    distil,
    fine_tune,
    independent,
    overwrite,
    replace_head,
    softmax,
    thief_key,
)
from helpers.watermark.survival import Victim
from helpers.watermark.suspect import Suspect
from helpers.watermark.uchida import WeightMessage

if TYPE_CHECKING:
    import tensorflow as tf

DIGITS = data.load("digits", source="offline")
OWNER = DIGITS.x_train[:700], DIGITS.y_train[:700]
THIEF = DIGITS.x_train[700:], DIGITS.y_train[700:]


def student(seed: int) -> "tf.keras.Model":
    return models.small_cnn((8, 8, 1), 10, filters=(16,), seed=seed)


@pytest.fixture(scope="module")
def victim() -> Victim:
    model = student(0)
    models.fit_keywords(model, *OWNER, epochs=20, learning_rate=1e-2, progress=False)
    return Victim(model, suspect_of(model), {})


def accuracy(suspect: Suspect) -> float:
    return float(np.mean(suspect.labels(DIGITS.x_test) == DIGITS.y_test))


def agreement(a: Suspect, b: Suspect) -> float:
    return float(np.mean(a.labels(DIGITS.x_test) == b.labels(DIGITS.x_test)))


def test_fine_tuning_trains_a_copy(victim: Victim) -> None:
    before = [w.copy() for w in victim.model.get_weights()]
    tuned: Any = fine_tune(*THIEF, epochs=2, learning_rate=5e-3)(victim, 1)
    assert accuracy(suspect_of(tuned)) > accuracy(victim.deployed) - 0.05
    assert all(
        np.array_equal(a, b) for a, b in zip(before, victim.model.get_weights(), strict=True)
    )
    moved = [np.abs(a - b).max() for a, b in zip(before, tuned.get_weights(), strict=True)]
    assert min(moved) > 0


def test_a_new_head_leaves_the_body_alone_unless_told_otherwise(victim: Victim) -> None:
    before = suspect_of(victim.model).kernels
    for body in (False, True):
        made = suspect_of(replace_head(*THIEF, epochs=15, learning_rate=1e-2, body=body)(victim, 2))
        assert accuracy(made) > 0.8
        assert not np.allclose(made.kernels[-1], before[-1], atol=0.01)
        assert np.array_equal(made.kernels[0], before[0]) is not body


def test_a_student_learns_from_scores_without_labels(victim: Victim) -> None:
    made = suspect_of(distil(student, THIEF[0], epochs=20, learning_rate=1e-2)(victim, 3))
    assert agreement(made, victim.deployed) > 0.85
    assert not np.allclose(made.kernels[0], victim.deployed.kernels[0], atol=0.1)


@pytest.mark.parametrize("method", ["knockoff", "copycat"])
def test_art_steals_by_asking_the_device_alone(victim: Victim, method: Any) -> None:
    asked: list[int] = []

    def counted(x: np.ndarray) -> np.ndarray:
        asked.append(len(x))
        return victim.deployed.ask(x)

    device = Victim(None, Suspect(counted), {})
    state = np.random.get_state(legacy=False)["state"]["key"].copy()  # noqa: NPY002
    made = extract(student, THIEF[0], 500, method, epochs=25, learning_rate=1e-2)(device, 4)
    assert sum(asked) == 500
    assert agreement(suspect_of(made), victim.deployed) > 0.8
    after = np.random.get_state(legacy=False)["state"]["key"]  # noqa: NPY002
    assert np.array_equal(after, state)


def test_overwriting_leaves_two_marks(victim: Victim) -> None:
    scheme = WeightMessage(layer=1, bits=32, epochs=10)

    own = Key(bytes(32))
    marked = scheme.embed(victim.model, *OWNER, own)
    made = overwrite(scheme, *THIEF)(Victim(marked, suspect_of(marked), {}), 5)
    suspect = suspect_of(made)
    assert scheme.evidence(suspect, thief_key(5)) > 0.9
    assert scheme.evidence(suspect, own) > 0.8


def test_an_innocent_is_trained_apart_and_a_change_is_an_attack(victim: Victim) -> None:
    seeds: list[int] = []

    def train(seed: int) -> "tf.keras.Model":
        seeds.append(seed)
        return victim.model

    assert independent(train)(victim, 2) is victim.model
    assert seeds == [10_002]
    assert as_it_is(lambda model: victim.deployed)(victim, 0) is victim.deployed


def test_scores_become_probabilities_without_overflow() -> None:
    made = softmax(np.array([[1e4, 0.0], [-1e4, -1e4]]))
    np.testing.assert_allclose(made, np.array([[1, 0], [0.5, 0.5]]))


def test_what_cannot_run_is_refused(victim: Victim) -> None:
    import tensorflow as tf

    with pytest.raises(WatermarkError, match="queries=9999"):
        extract(student, THIEF[0], 9999)
    with pytest.raises(WatermarkError, match="method='bribe'"):
        extract(student, THIEF[0], 5, "bribe")  # type: ignore[arg-type]
    with pytest.raises(WatermarkError, match="temperature=0"):
        distil(student, THIEF[0], temperature=0)
    softened = tf.keras.Sequential([tf.keras.layers.Input((4,)), tf.keras.layers.Softmax()])
    with pytest.raises(WatermarkError, match="Softmax"):
        replace_head(*THIEF)(Victim(softened, victim.deployed, {}), 0)
    two = Victim(None, Suspect(lambda x: np.zeros((len(x), 2), np.float32)), {})
    with pytest.raises(WatermarkError, match="10 classes"):
        extract(student, THIEF[0], 50)(two, 0)
