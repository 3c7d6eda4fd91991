from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
import tensorflow as tf

from helpers.errors import PrivacyError
from helpers.privacy.inversion import (
    correlations,
    evaluator_accuracy,
    invert,
    match_records,
)

GREY = np.full((6, 6, 1), 0.5, np.float32)


def linear_model(templates: np.ndarray) -> tf.keras.Model:
    """A classifier whose logits are how well an image fits each template."""
    classes = len(templates)
    model = tf.keras.Sequential(
        [
            tf.keras.Input(templates.shape[1:]),
            tf.keras.layers.Flatten(),
            tf.keras.layers.Dense(classes),
        ]
    )
    flat = templates.reshape(classes, -1).T
    model.set_weights([flat - flat.mean(axis=1, keepdims=True), np.zeros(classes)])
    return model


def templates() -> np.ndarray:
    return np.random.default_rng(0).normal(0, 1, (4, 6, 6, 1)).astype(np.float32)


@pytest.mark.parametrize("kind", ["logits", "probabilities"])
def test_a_linear_classifier_gives_its_templates_back(
    kind: Literal["logits", "probabilities"],
) -> None:
    model = linear_model(templates())
    attacked = model if kind == "logits" else lambda x: tf.nn.softmax(model(x))
    found = invert(
        attacked, [0, 1, 2, 3], GREY, kind=kind, steps=100, total_variation=0.0, prior=1.0
    )
    assert match_records(found.images, templates()).identified == 1
    assert (found.confidence > 0.9).all()
    assert found.losses[-1] < found.losses[0]
    assert found.images.min() >= 0
    assert found.images.max() <= 1


def test_more_of_a_term_gives_more_of_what_it_asks_for() -> None:
    model = linear_model(templates())

    def roughness(images: np.ndarray) -> float:
        return float(
            np.abs(np.diff(images, axis=1)).mean() + np.abs(np.diff(images, axis=2)).mean()
        )

    plain = invert(model, [0], GREY, steps=100, total_variation=0.0, prior=0.0)
    smooth = invert(model, [0], GREY, steps=100, total_variation=5.0, prior=0.0)
    near = invert(model, [0], GREY, steps=100, total_variation=0.0, prior=50.0)
    assert roughness(smooth.images) < 0.7 * roughness(plain.images)
    assert np.abs(near.images - 0.5).mean() < 0.7 * np.abs(plain.images - 0.5).mean()


def test_a_model_without_a_gradient_is_refused_with_a_way_out() -> None:
    model = linear_model(templates())
    with pytest.raises(PrivacyError, match="replica of the file"):
        invert(lambda x: tf.constant(model(x).numpy()), [0], GREY)


@pytest.mark.parametrize(
    ("labels", "start", "settings", "message"),
    [
        ([], GREY, {}, "at least one class index"),
        ([-1], GREY, {}, "0 or more"),
        ([0], GREY[0], {}, "one image"),
        ([0], np.stack([GREY, GREY]), {}, "or 1 of them"),
        ([0], GREY + 1, {}, r"in \[0, 1\]"),
        ([0], np.full((6, 6, 1), np.nan), {}, "without NaN"),
        ([0], GREY, {"steps": 0}, "steps=0"),
        ([0], GREY, {"prior": -1.0}, "prior=-1.0"),
        ([0], GREY, {"kind": "scores"}, "choose one of"),
    ],
)
def test_a_search_that_cannot_start_says_why(
    labels: list, start: np.ndarray, settings: dict, message: str
) -> None:
    with pytest.raises(PrivacyError, match=message):
        invert(linear_model(templates()), labels, start, **settings)


def test_correlation_is_that_of_numpy_and_ignores_brightness_and_contrast() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.random((3, 5, 5, 1)), rng.random((4, 5, 5, 1))
    expected = np.corrcoef(a.reshape(3, -1), b.reshape(4, -1))[:3, 3:]
    assert np.allclose(correlations(a, b), expected)
    assert np.allclose(correlations(0.3 * a + 0.2, b), expected)
    assert (correlations(np.full((1, 5, 5, 1), 0.7), b) == 0).all()


def test_an_image_like_every_record_identifies_none() -> None:
    rng = np.random.default_rng(2)
    common = rng.random((8, 8))
    records = common + 0.1 * rng.random((10, 8, 8))
    blurred = np.repeat(records.mean(axis=0, keepdims=True), 10, axis=0)
    vague, exact = match_records(blurred, records), match_records(records, records)
    assert vague.own.mean() > 0.9
    assert vague.others.mean() > 0.9
    assert vague.identified == 0.1
    assert exact.identified == 1
    assert np.allclose(exact.own, 1)
    # The same picture for all: its best record is one of ten.
    assert sorted(vague.rank) == list(range(1, 11))


def test_the_evaluator_judges_by_its_own_eyes() -> None:
    images = np.stack([np.full((2, 2, 1), v, np.float32) for v in (0.1, 0.9, 0.9)])

    def bright(pictures: np.ndarray) -> np.ndarray:
        level = pictures.mean(axis=(1, 2, 3))
        return np.stack([1 - level, level], axis=1)

    assert evaluator_accuracy(images, [0, 1, 0], bright) == pytest.approx(2 / 3)
    with pytest.raises(PrivacyError, match=r"\(n, classes\)"):
        evaluator_accuracy(images, [0, 1, 0], lambda pictures: pictures.mean(axis=(1, 2, 3)))


@pytest.mark.parametrize(
    ("images", "records", "message"),
    [
        (np.zeros((2, 3, 3)), np.zeros((2, 4, 4)), "of one shape"),
        (np.full((2, 3, 3), np.nan), np.zeros((2, 3, 3)), "NaN"),
        (np.zeros((1, 3, 3)), np.zeros((1, 3, 3)), "at least two"),
        (np.zeros((2, 3, 3)), np.zeros((3, 3, 3)), "one image a record"),
    ],
)
def test_pictures_that_cannot_be_compared_are_refused(
    images: np.ndarray, records: np.ndarray, message: str
) -> None:
    with pytest.raises(PrivacyError, match=message):
        match_records(images, records)
