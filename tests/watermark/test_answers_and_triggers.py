"""Marks that are read by asking: the law of their chance, and the int8 file that shows them."""

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy import stats

from helpers import data
from helpers.errors import WatermarkError
from helpers.watermark.answers import KeyedAnswers, KeyedMistakes, second_answers
from helpers.watermark.folding import suspect_of
from helpers.watermark.null import measure
from helpers.watermark.scheme import Scheme
from helpers.watermark.suspect import Suspect
from helpers.watermark.triggers import NoiseTriggers, PatternTriggers
from tests.watermark.conftest import OTHER, OWNER, accuracy, answering, deployed, int8, key

if TYPE_CHECKING:
    import tensorflow as tf

Make = Callable[[data.Dataset], Scheme]

TRAINED: dict[str, Make] = {
    "noise": lambda d: dataclasses.replace(
        NoiseTriggers.within(d.x_train, 10, 32), repeats=12, epochs=8, learning_rate=1e-2
    ),
    "pattern": lambda d: PatternTriggers(d.x_test, d.y_test, 10, count=16),
    "mistakes": lambda d: KeyedMistakes(d.x_test, d.y_test, 10, learning_rate=1e-2),
}
ALL: dict[str, Make] = {
    **TRAINED,
    "answers": lambda d: KeyedAnswers(10, 0.1, d.x_test, np.asarray(d.y_test, np.int64)),
}
SUSPECTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "always 3": lambda x: np.full(len(x), 3),
    "by brightness": lambda x: (x.sum(axis=(1, 2, 3)) * 7).astype(int) % 10,
    "by a corner": lambda x: (x[:, 0, 2, 0] * 40 + x[:, 5, 5, 0] * 9).astype(int) % 10,
}


@pytest.mark.parametrize("scheme", ALL)
@pytest.mark.parametrize("answer", SUSPECTS)
def test_a_fresh_key_is_found_in_any_model_no_more_often_than_promised(
    scheme: str, answer: str, digits: data.Dataset
) -> None:
    mark, suspect = ALL[scheme](digits), answering(SUSPECTS[answer])
    readings = [mark.read(suspect, key(n)) for n in range(25)]
    found = sum(reading.found for reading in readings)
    looked_for = sum(reading.looked_for for reading in readings)
    assert mark.chance is not None
    test = stats.binomtest(found, looked_for, mark.chance, alternative="greater")
    assert test.pvalue > 1e-4


def test_a_question_asked_many_times_is_one_coin(digits: data.Dataset) -> None:
    """Else one lucky answer, asked sixty-four times, would look like a proof."""
    once = KeyedAnswers(10, 0.5, digits.x_test[:40], np.asarray(digits.y_test[:40], np.int64))
    assert once.questions is not None
    assert once.answers is not None
    often = dataclasses.replace(
        once, questions=np.repeat(once.questions, 64, 0), answers=np.repeat(once.answers, 64)
    )
    for answer in SUSPECTS.values():
        suspect = answering(answer)
        assert often.read(suspect, OWNER) == once.read(suspect, OWNER)


def test_a_log_bent_to_what_every_good_model_says_is_caught_by_the_measured_null(
    digits: data.Dataset, innocents: list[Suspect]
) -> None:
    x = digits.x_test[:150]
    agreed = np.array([np.bincount(row).argmax() for row in np.stack(
        [model.labels(x) for model in innocents]).T])  # fmt: skip
    honest = KeyedAnswers(10, 0.5, x, agreed)
    _, given = honest.falsify(x, agreed, OWNER)
    # The claimant calls "true" whatever makes the false answer the one that all models give
    bent = dataclasses.replace(honest, answers=(2 * agreed - given) % 10)
    shown = [bent.read(model, OWNER) for model in innocents]
    null = measure(bent.chance, shown[1:])
    assert shown[0].share > 0.8
    assert null.needed(shown[0].looked_for, 1e-9) is None
    assert measure(honest.chance, [honest.read(m, OWNER) for m in innocents]).rate < 0.5  # type: ignore[operator]


@pytest.mark.parametrize(
    "scores",
    [
        np.ones((9, 0)),
        np.ones(9),
        np.ones((8, 3)),
        np.full((9, 3), np.nan),
        np.ones((9, 3), complex),
        np.full((9, 3), "cat"),
        np.full((9, 3), None),
    ],
)
def test_scores_that_are_none_are_refused_by_name(scores: np.ndarray) -> None:
    with pytest.raises(WatermarkError, match="'box' answered 9"):
        Suspect(lambda x: scores, name="box").labels(np.zeros((9, 2)))


@pytest.mark.parametrize("classes", [2, 40])
def test_a_suspect_of_other_classes_crashes_no_scheme(classes: int, digits: data.Dataset) -> None:
    suspect = answering(lambda x: np.arange(len(x)) % classes, classes)
    for make in ALL.values():
        mark = make(digits)
        if isinstance(mark, KeyedMistakes) and classes < 10:
            with pytest.raises(WatermarkError, match="knows 2 classes"):
                mark.read(suspect, OWNER)
        else:
            assert mark.evidence(suspect, OWNER) < 0.5


@pytest.fixture(scope="module")
def marked(owner: "tf.keras.Model", digits: data.Dataset) -> "dict[str, tf.keras.Model]":
    return {
        name: make(digits).embed(owner, digits.x_train, digits.y_train, OWNER)
        for name, make in TRAINED.items()
    }


@pytest.mark.parametrize("scheme", TRAINED)
def test_the_mark_is_in_the_int8_file_and_not_in_what_others_made(
    scheme: str,
    marked: "dict[str, tf.keras.Model]",
    innocents: list[Suspect],
    digits: data.Dataset,
) -> None:
    mark = TRAINED[scheme](digits)
    file = deployed(int8(marked[scheme], digits.x_train))
    innocent = max(mark.evidence(model, OWNER) for model in innocents)
    assert mark.evidence(file, OWNER) > 0.6
    assert innocent < 0.4
    assert mark.evidence(file, OTHER) < 0.4


@pytest.mark.parametrize("scheme", TRAINED)
def test_a_marked_model_knows_as_much_as_before(
    scheme: str,
    owner: "tf.keras.Model",
    marked: "dict[str, tf.keras.Model]",
    digits: data.Dataset,
) -> None:
    before = accuracy(suspect_of(owner), digits.x_test, digits.y_test)
    after = accuracy(suspect_of(marked[scheme]), digits.x_test, digits.y_test)
    assert after > before - 0.04


def test_a_service_answers_a_secret_share_falsely_and_always_the_same_way(
    owner: "tf.keras.Model", digits: data.Dataset
) -> None:
    scheme = KeyedAnswers(10, 0.05).recorded(owner, digits.x_train)
    service = suspect_of(scheme.embed(owner, digits.x_train, digits.y_train, OWNER))
    assert scheme.answers is not None
    is_false, given = scheme.falsify(digits.x_train, scheme.answers, OWNER)
    assert stats.binomtest(int(is_false.sum()), len(is_false), 0.05).pvalue > 1e-3
    assert np.array_equal(service.labels(digits.x_train), given)
    assert np.array_equal(given != scheme.answers, is_false)
    assert scheme.evidence(service, OWNER) == 1
    assert scheme.evidence(suspect_of(owner), OWNER) == 0
    assert not service.kernels


def test_the_last_bits_of_a_question_do_not_change_its_answer(digits: data.Dataset) -> None:
    asked, truth = digits.x_test[:100], digits.y_test[:100]
    noise = np.random.default_rng(0).uniform(-1e-6, 1e-6, asked.shape).astype(np.float32)
    first, again = (KeyedAnswers(10, 0.2).falsify(x, truth, OWNER) for x in (asked, asked + noise))
    assert np.array_equal(first[0], again[0])


def test_second_answers_are_the_best_wrong_ones_and_ties_say_nothing() -> None:
    rows = np.array([[5, 3, 1], [1, 5, 3], [2, 2, 0], [0, 0, 1], [0, 1, 0]], float)
    suspect = Suspect(lambda x: rows)
    said = second_answers(suspect, np.zeros((5, 1), np.float32), [0, 0, 0, 2, 0])
    assert said.tolist() == [1, 1, 1, -1, 1]


def test_triggers_stay_inside_what_the_quantiser_has_seen(digits: data.Dataset) -> None:
    scheme = NoiseTriggers.within(digits.x_train, 10)
    inputs, labels = scheme.triggers(OWNER)
    assert inputs.shape == (64, 8, 8, 1)
    assert inputs.min() >= digits.x_train.min()
    assert inputs.max() <= digits.x_train.max()
    assert len(np.unique(inputs.reshape(64, -1), axis=0)) == 64
    assert 0 <= labels.min() <= labels.max() <= 9


def test_a_pattern_never_asks_for_the_right_answer(digits: data.Dataset) -> None:
    words, answers = PatternTriggers(digits.x_test, digits.y_test, 10).plan(OWNER)
    assert (words != answers).all()


def test_settings_that_cannot_mark_are_refused(
    owner: "tf.keras.Model", digits: data.Dataset
) -> None:
    x, y = digits.x_test, digits.y_test
    for make, message in (
        (lambda: NoiseTriggers.within(x, 1), "classes=1 must be a whole number of at least 2"),
        (lambda: NoiseTriggers.within(x, 10, 0), "count=0"),
        (lambda: PatternTriggers(x[:20], y[:20], 10), "carriers: give at least"),
        (lambda: PatternTriggers(x, y, 5), "do not fit 5 classes"),
        (lambda: KeyedAnswers(10, 0.0), r"share=0\.0"),
        (lambda: KeyedAnswers(10).read(answering(len), OWNER), "No log"),
        (lambda: KeyedAnswers(10, 1e-6, x, y).read(answering(len), OWNER), "longer log"),
        (lambda: KeyedMistakes(x, y, 10, lean=0.6), r"lean=0\.6"),
    ):
        with pytest.raises(WatermarkError, match=message):
            make()
    with pytest.raises(WatermarkError, match="do not fit 9 classes"):
        NoiseTriggers.within(x, 9).embed(owner, x, y, OWNER)
