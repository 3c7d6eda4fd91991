"""MobileNetV2: what ships, how well it sees, and what a new head and a temperature change."""

from __future__ import annotations

import csv
import os
from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy import special

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

from helpers import data, models
from helpers.edge import convert
from helpers.edge.runtimes import open_model
from helpers.errors import TaskError
from helpers.models.mobilenet import WEIGHTS

if TYPE_CHECKING:
    import tensorflow as tf


@pytest.fixture(scope="module")
def network() -> tf.keras.Model:
    return models.pretrained_mobilenet_v2()


@pytest.fixture(scope="module")
def photographs() -> data.Dataset:
    """Training used the published training split, so the test split was never seen."""
    found = data.cifar10()
    if found.source == "synthetic":
        pytest.skip("no CIFAR-10 in the EDGESEC_DATA folder or the cache: no photographs to try")
    return found


@pytest.fixture(scope="module")
def shapes() -> data.Dataset:
    return data.cifar10(source="offline")


def logged() -> list[dict[str, str]]:
    with WEIGHTS.with_suffix(".csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_what_ships_is_small_finite_and_comes_with_its_log(network: tf.keras.Model) -> None:
    assert WEIGHTS.stat().st_size <= 2_000_000
    assert network.count_params() == 423_018
    assert all(np.isfinite(weight).all() for weight in network.get_weights())
    assert [int(row["epoch"]) for row in logged()] == list(range(1, len(logged()) + 1))


def test_it_sees_held_out_photographs_as_its_log_says(
    network: tf.keras.Model, photographs: data.Dataset
) -> None:
    x, y = photographs.x_test[:1000], photographs.y_test[:1000]
    accuracy = np.mean(np.argmax(network.predict(x, 250, verbose=0), axis=1) == y)
    assert accuracy == pytest.approx(float(logged()[-1]["test_accuracy"]), abs=0.04)


def test_int8_sees_nearly_as_well_as_float(
    network: tf.keras.Model, photographs: data.Dataset
) -> None:
    x, y = photographs.x_test[:250], photographs.y_test[:250]
    product = models.calibrated(network, photographs.x_test[-250:], photographs.y_test[-250:])
    runner = open_model(convert.to_tflite(product, "int8", x[:20]), isolated=False)
    float_labels = np.argmax(product.predict(x, 250, verbose=0), axis=1)
    int8_labels = np.argmax(runner.predict(x), axis=1)
    assert np.mean(int8_labels == float_labels) > 0.9
    assert np.mean(int8_labels == y) == pytest.approx(np.mean(float_labels == y), abs=0.04)


def test_a_new_head_learns_other_classes_and_leaves_the_rest_alone(
    network: tf.keras.Model, shapes: data.Dataset
) -> None:
    before = [weight.copy() for weight in network.get_weights()]
    renewed = models.with_new_head(network, shapes.x_train[:300], shapes.y_train[:300], 10)
    given = np.argmax(renewed(shapes.x_test[:100], training=False), axis=1)
    assert np.mean(given == shapes.y_test[:100]) > 0.25  # one in ten by chance
    for old, new in zip(before, network.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_a_temperature_changes_no_label_and_makes_labels_likeliest() -> None:
    import tensorflow as tf

    rng = np.random.default_rng(0)
    logits = rng.normal(size=(3000, 4)).astype(np.float32)
    truth = np.array([rng.choice(4, p=row) for row in special.softmax(logits / 0.4, axis=1)])
    plain = tf.keras.Sequential([tf.keras.layers.Input((4,)), tf.keras.layers.Activation("linear")])
    given = models.calibrated(plain, logits, truth).predict(logits, 500, verbose=0)
    np.testing.assert_array_equal(np.argmax(given, axis=1), np.argmax(logits, axis=1))
    # The temperature that the labels were drawn with is found again.
    np.testing.assert_allclose(given, special.softmax(logits / 0.4, axis=1), atol=0.05)


def test_initial_weights_follow_the_seed_alone() -> None:
    first, again, other = (models.mobilenet_v2(seed=seed).get_weights() for seed in (3, 3, 4))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(first, other, strict=True))


def test_imagenet_says_what_to_do_where_nothing_can_be_downloaded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import tensorflow as tf

    def refuse(**settings: object) -> None:
        assert settings["weights"] == "imagenet"
        raise Exception("URL fetch failure")

    monkeypatch.setattr(tf.keras.applications, "MobileNetV2", refuse)
    with pytest.raises(TaskError, match=r"URL fetch failure.*source='cifar10'"):
        models.pretrained_mobilenet_v2("imagenet")


def test_what_cannot_be_built_is_refused(network: tf.keras.Model) -> None:
    with pytest.raises(TaskError, match=r"width=0\.4"):
        models.mobilenet_v2(width=0.4)
    with pytest.raises(TaskError, match="raise enlarge"):
        models.mobilenet_v2((28, 28, 3), enlarge=1)
    with pytest.raises(TaskError, match="cifar10, imagenet"):
        models.pretrained_mobilenet_v2("mnist")  # type: ignore[arg-type]
    with pytest.raises(TaskError, match="each class from 0 to 3"):
        models.with_new_head(network, np.zeros((3, 32, 32, 3)), [0, 1, 2], 4)
    with pytest.raises(TaskError, match="n above 0"):
        models.calibrated(network, np.zeros((2, 32, 32, 3)), [0])
