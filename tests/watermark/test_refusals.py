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
from helpers.watermark.removal import distil, fine_tune
from helpers.watermark.scheme import Reading
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
    (lambda: replace(NOISE, shape=(0, 5, 1)), "shape=0"),
    (lambda: replace(NOISE, shape=(6,)), "at least two sizes"),
    (lambda: replace(PATTERN, count=0), "count=0"),
    (lambda: replace(PATTERN, each=0), "each=0"),
    (lambda: replace(PATTERN, repeats=0), "repeats=0"),
    (lambda: replace(PATTERN, size=(0, 3)), "size=0"),
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
    (lambda: KeyedAnswers(3, 0.4).falsify(X, Y + 1, OWNER), "do not fit 3 classes"),
    (lambda: second_answers(answering(lambda x: np.zeros(12, int), 3), X, Y - 1), "class numbers"),
    (lambda: span(SPOILT), "x of shape"),
    (lambda: WeightMessage(-1), "layer=-1"),
    (lambda: WeightMessage(0, bits=2.5), r"bits=2\.5"),  # type: ignore[arg-type]
    (lambda: WeightMessage(0, margin=np.nan), "margin=nan"),
    (lambda: WeightMessage(0, strength=np.inf), "strength=inf"),
    (lambda: WeightMessage(0, epochs=0), "epochs=0"),
    (lambda: fine_tune(X, Y, epochs=0), "epochs=0"),
    (lambda: fine_tune(X, Y, learning_rate=np.nan), "learning_rate=nan"),
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


def test_what_is_in_range_still_gives_a_reading() -> None:
    suspect = answering(lambda x: np.abs(x[:, 0, 0, 0] * 3).astype(int) % 3, 3)
    for scheme in (INFERENCE, NOISE, PATTERN, MISTAKES, KeyedAnswers(3, 0.4, X, Y)):
        assert 0 <= scheme.read(suspect, OWNER).share <= 1
    assert KeyedAnswers(3, 0.4).falsify(X[:0], Y[:0], OWNER)[1].shape == (0,)
