"""Settings and examples out of range are refused by name before any work, and give no number."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from helpers.errors import WatermarkError
from helpers.watermark.ambiguity import (
    brute_force_key,
    expected_best,
    forge_projection,
    tries_for,
)
from helpers.watermark.answers import KeyedAnswers, KeyedMistakes, second_answers
from helpers.watermark.extraction import extract
from helpers.watermark.fingerprint import BoundaryFingerprint, DatasetInference
from helpers.watermark.null import measure
from helpers.watermark.removal import distil, fine_tune, replace_head
from helpers.watermark.scheme import Reading
from helpers.watermark.suspect import Suspect
from helpers.watermark.triggers import NoiseTriggers, PatternTriggers, span
from helpers.watermark.uchida import WeightMessage
from tests.watermark.conftest import OWNER, answering

X = np.random.default_rng(0).random((12, 6, 5, 1)).astype(np.float32)
Y = np.arange(12) % 3
SPOILT = np.where(np.arange(12)[:, None, None, None] == 3, np.float32(np.nan), X)
NULL = measure(0.5, [Reading(3, 10)] * 8)

INFERENCE: Any = DatasetInference(X, Y, X[::-1], Y[::-1])
EDGE = np.zeros((5, 1), np.float32)
NOISE: Any = NoiseTriggers(EDGE, EDGE + 1, (6, 5, 1), 3)
PATTERN: Any = PatternTriggers(X, Y, 3, each=2, size=(3, 3))
ZERO = answering(lambda x: np.zeros(len(x), int), 3)
MISTAKES: Any = KeyedMistakes(X, Y, 3)

REFUSED: list[tuple[Callable[[], Any], str]] = [
    (lambda: replace(INFERENCE, steps=0), "steps=0 must be a whole number of at least 1"),
    (lambda: replace(INFERENCE, directions=0), "directions=0"),
    (lambda: replace(INFERENCE, directions=1.5), r"directions=1\.5"),
    (lambda: replace(INFERENCE, private_labels=Y[:5]), "private of shape .* labels of shape"),
    (lambda: replace(INFERENCE, private_labels=Y + 0.5), "must be class numbers"),
    (lambda: replace(INFERENCE, unseen=SPOILT), "unseen of shape .* neither NaN"),
    (lambda: replace(INFERENCE, unseen=X[:0], unseen_labels=Y[:0]), "unseen of shape"),
    (lambda: replace(INFERENCE, private=np.ones_like(X)), "all alike"),
    (lambda: BoundaryFingerprint(X, Y[:5]), "points of shape"),
    (lambda: BoundaryFingerprint(X, Y - 1), "must be class numbers"),
    (lambda: BoundaryFingerprint.of(None, X, OWNER, steps=0), "steps=0"),
    (lambda: BoundaryFingerprint.of(None, X, OWNER, gap=np.nan), "gap=nan"),
    (lambda: replace(NOISE, count=2.5), r"count=2\.5"),
    (lambda: replace(NOISE, classes=2.5), r"classes=2\.5"),
    (lambda: replace(NOISE, low=np.full((5, 1), np.nan)), "low of shape"),
    (lambda: replace(NOISE, shape=(0, 5, 1)), r"shape=\(0, 5, 1\) must be"),
    (lambda: replace(NOISE, shape=(6, 0, 1)), r"shape=\(6, 0, 1\) must be"),
    (lambda: replace(NOISE, shape=(6, 5.0)), r"shape=\(6, 5\.0\) must be"),
    (lambda: replace(NOISE, shape=(6,)), r"shape=\(6,\) must be two or more"),
    (lambda: replace(PATTERN, count=0), "count=0"),
    (lambda: replace(PATTERN, each=0), "each=0"),
    (lambda: replace(PATTERN, repeats=0), "repeats=0"),
    (lambda: replace(PATTERN, size=(0, 3)), r"size=\(0, 3\)"),
    (lambda: replace(PATTERN, weight=0.0), r"weight=0\.0"),
    (lambda: replace(PATTERN, weight=-1.0), r"weight=-1\.0"),
    (lambda: replace(PATTERN, carriers=SPOILT), "carriers of shape"),
    (lambda: replace(PATTERN, carrier_labels=Y[:0]), "must be class numbers"),
    (lambda: replace(MISTAKES, carriers=X[:5]), "carriers of shape"),
    (lambda: replace(MISTAKES, carriers=SPOILT), "neither NaN nor infinity"),
    (lambda: replace(MISTAKES, epochs=0), "epochs=0"),
    (lambda: KeyedAnswers(3, 0.4, X, Y[:5]), "questions of shape"),
    (lambda: KeyedAnswers(3, 0.4, SPOILT, Y), "neither NaN nor infinity"),
    (lambda: KeyedAnswers(3, 0.4, X, Y + 1), "do not fit 3 classes"),
    (lambda: KeyedAnswers(3, 0.4, X[:0], Y), "questions of shape"),
    (lambda: KeyedAnswers(3, 0.4, X[:0], Y[:0]).read(ZERO, OWNER), "longer log"),
    (lambda: KeyedAnswers(3, 0.4).falsify(X, Y + 1, OWNER), "do not fit 3 classes"),
    (lambda: second_answers(ZERO, X, Y - 1), "class numbers"),
    (lambda: span(SPOILT), "x of shape"),
    (lambda: WeightMessage(-1), "layer=-1"),
    (lambda: WeightMessage(0, margin=None), "margin=None"),  # type: ignore[arg-type]
    (lambda: WeightMessage(0, margin="1"), "margin='1'"),  # type: ignore[arg-type]
    (lambda: WeightMessage(0, margin=np.True_), "margin=.*True"),  # type: ignore[arg-type]
    (lambda: WeightMessage(0, bits=2.5), r"bits=2\.5"),  # type: ignore[arg-type]
    (lambda: WeightMessage(0, margin=np.nan), "margin=nan"),
    (lambda: WeightMessage(0, strength=np.inf), "strength=inf"),
    (lambda: WeightMessage(0, epochs=0), "epochs=0"),
    (lambda: fine_tune(X, Y, epochs=0), "epochs=0"),
    (lambda: fine_tune(X, Y, learning_rate=np.nan), "learning_rate=nan"),
    (lambda: replace_head(X, Y, epochs=0), "epochs=0"),
    (lambda: replace_head(X, Y, learning_rate=0.0), r"learning_rate=0\.0"),
    (lambda: distil(len, X, temperature=np.inf), "temperature=inf"),  # type: ignore[arg-type]
    (lambda: distil(len, X, epochs=0), "epochs=0"),  # type: ignore[arg-type]
    (lambda: extract(len, X, 0), "queries=0"),  # type: ignore[arg-type]
    (lambda: extract(len, X, 5, epochs=0), "epochs=0"),  # type: ignore[arg-type]
    (lambda: brute_force_key(lambda key: np.nan, 2), "Evidence must lie"),
    (lambda: expected_best(0, 3), "bits=0"),
    (lambda: expected_best(16, [3, -1]), "must all be at least 1"),
    (lambda: tries_for(16, 17), "must lie between 0 and the 16 bits"),
    (lambda: forge_projection(np.full(4, np.nan), [True, False]), "weights of shape"),
    (lambda: forge_projection(np.ones(4), [-1, 1]), "row of bits"),
    (lambda: measure(np.nan, [Reading(3, 10)] * 8), "chance=nan"),
    (lambda: NULL.needed(0, 1e-3), "looked_for=0"),
    (lambda: NULL.needed(64, np.nan), "alpha=nan"),
    (lambda: NULL.needed(64, 1.5), r"alpha=1\.5"),
]


@pytest.mark.parametrize(("ask", "message"), REFUSED)
def test_what_is_out_of_range_is_refused_by_name(ask: Callable[[], Any], message: str) -> None:
    with pytest.raises(WatermarkError, match=message):
        ask()


def place_of(x: Any) -> Any:
    """Which of X each input is."""
    return np.array([int(np.flatnonzero((row == X).all(axis=(1, 2, 3)))[0]) for row in x])


def second_best(x: Any) -> Any:
    """The right word's score on top, and below it the one that the owner's key chooses."""
    words, sides = Y[place_of(x)], (MISTAKES.along(x, OWNER) > 0).astype(int)
    return 2 * np.eye(3)[words] + np.eye(3)[MISTAKES.plan(OWNER)[sides, words]]


def test_what_is_in_range_gives_the_reading_that_the_answers_deserve() -> None:
    logged = KeyedAnswers(3, 0.4, X, Y)
    given = logged.falsify(X, Y, OWNER)[1]
    words, wrong = PATTERN.plan(OWNER)
    labels = NOISE.triggers(OWNER)[1]
    for scheme, marked, clean in (
        (NOISE, labels, (labels + 1) % 3),
        (PATTERN, np.repeat(wrong, PATTERN.each), np.repeat(words, PATTERN.each)),
    ):
        assert scheme.read(answering(lambda x, said=marked: said, 3), OWNER).share == 1
        assert scheme.read(answering(lambda x, said=clean: said, 3), OWNER).share == 0
    assert logged.read(answering(lambda x: given[place_of(x)], 3), OWNER).share == 1
    assert logged.read(answering(lambda x: Y[place_of(x)], 3), OWNER).share == 0
    assert logged.falsify(X[:0], Y[:0], OWNER)[1].shape == (0,)


def test_a_second_answer_on_each_side_of_each_word_is_the_keys() -> None:
    place = np.abs(MISTAKES.along(X, OWNER))
    asked = place >= np.quantile(place, MISTAKES.middle)
    cells = {*zip(MISTAKES.along(X[asked], OWNER) > 0, Y[asked], strict=True)}
    assert MISTAKES.read(Suspect(second_best), OWNER).found == len(cells)


def test_a_model_that_only_knows_its_private_clips_holds_out_longer_on_them() -> None:
    told: list[int] = []

    def at_home(x: Any) -> Any:
        """Right about the first kind that is asked, wrong about the second."""
        told.append(len(x))
        home = len(told) <= INFERENCE.directions
        answers = INFERENCE.private_labels if home else (INFERENCE.unseen_labels + 1) % 3
        return np.tile(answers, len(x) // len(answers))

    assert INFERENCE.read(answering(at_home, 3), OWNER).share == 1
    assert INFERENCE.read(ZERO, OWNER).share == 0.5


def test_a_service_leaves_a_question_that_is_not_finite_alone_and_answers_the_others() -> None:
    import tensorflow as tf

    layers = [tf.keras.layers.Input((6, 5, 1)), tf.keras.layers.Flatten(), tf.keras.layers.Dense(3)]
    model, scheme = tf.keras.Sequential(layers), KeyedAnswers(3, 0.4)
    service = scheme.embed(model, X, Y, OWNER)
    finite = np.arange(12) != 3
    assert np.array_equal(service(SPOILT).numpy()[finite], service(X).numpy()[finite])
    assert not np.array_equal(service(X), model(X))
    with pytest.raises(WatermarkError, match="knows 3 classes, the scheme 10"):
        KeyedAnswers(10, 0.4).embed(model, X, Y, OWNER)
