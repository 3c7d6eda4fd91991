"""Certificates without votes (intervals, Lipschitz margins), and training for all kinds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers import data
from helpers.edge import convert
from helpers.edge.runtimes import open_model
from helpers.errors import RobustnessError
from helpers.robustness.certification import interval_training, intervals, lipschitz, training
from helpers.robustness.certification.outcome import certified_accuracy_curve
from helpers.robustness.certification.smoothing import Classifier, Smoothing, certify
from helpers.robustness.gradients import Pgd
from tests.robustness.conftest import Examples

if TYPE_CHECKING:
    import tensorflow as tf


def mixed() -> tf.keras.Model:
    """One layer of every kind that has bounds, with weights and statistics drawn at random."""
    import tensorflow as tf

    tf.keras.utils.set_random_seed(2)
    layers = tf.keras.layers
    model = tf.keras.Sequential(
        [
            layers.Input((8, 8, 2)),
            layers.ZeroPadding2D(1),
            layers.Conv2D(6, 3, strides=2, padding="same"),
            layers.BatchNormalization(),
            layers.ReLU(6.0),
            layers.DepthwiseConv2D(3, padding="same", activation="relu"),
            layers.MaxPooling2D(2),
            layers.Conv2D(4, 2, activation="relu", use_bias=False),
            layers.AveragePooling2D(1),
            layers.Flatten(),
            layers.Dropout(0.5),
            layers.Dense(7, activation="relu"),
            layers.Dense(3),
        ]
    )
    rng = np.random.default_rng(3)
    model.set_weights([rng.normal(0, 0.6, w.shape) for w in model.get_weights()])
    norm = model.layers[2]
    gamma, beta, mean, _ = norm.get_weights()
    norm.set_weights([gamma, beta, mean, np.abs(gamma) + 0.5])
    return model


@pytest.fixture(scope="module")
def plain(digits: data.Dataset) -> tf.keras.Model:
    import tensorflow as tf

    tf.keras.utils.set_random_seed(0)
    layers = tf.keras.layers
    return tf.keras.Sequential(
        [
            layers.Input((8, 8, 1)),
            layers.Conv2D(8, 3, activation="relu"),
            layers.Flatten(),
            layers.Dense(32, activation="relu"),
            layers.Dense(10),
        ]
    )


@pytest.fixture(scope="module")
def bounded(plain: tf.keras.Model, digits: data.Dataset) -> tf.keras.Model:
    how = interval_training.IntervalTraining(epochs=12, learning_rate=0.003)
    return interval_training.fit_interval(plain, digits.x_train, digits.y_train, 0.1, how)


MIXED: dict[str, Any] = {}


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), reach=st.floats(0, 0.5))
def test_every_output_of_the_box_lies_within_the_bounds(seed: int, reach: float) -> None:
    import tensorflow as tf

    model = MIXED.setdefault("model", mixed())
    rng = np.random.default_rng(seed)
    middle = rng.uniform(0, 1, (1, 8, 8, 2))
    corner = rng.integers(0, 2, (20, 8, 8, 2)) * 2.0 - 1
    inside = rng.uniform(-1, 1, (20, 8, 8, 2))
    points = middle + reach * np.concatenate([corner, inside])
    ends = (tf.constant(middle + side * reach) for side in (-1, 1))
    low, high = (np.asarray(end) for end in intervals.propagate(model, intervals.Box(*ends)))
    found = np.asarray(model(points.astype(np.float32), training=False))
    slack = 1e-4 * (1 + np.abs(found).max())  # the network itself adds up in float32
    assert (low - slack <= found).all()
    assert (found <= high + slack).all()


def test_a_box_without_size_is_the_network_itself() -> None:
    import tensorflow as tf

    model, x = mixed(), np.random.default_rng(0).uniform(0, 1, (5, 8, 8, 2))
    low, high = intervals.propagate(model, intervals.Box(tf.constant(x), tf.constant(x)))
    np.testing.assert_allclose(low, high, atol=1e-9)
    np.testing.assert_allclose(low, model(x.astype(np.float32)), rtol=1e-3, atol=1e-3)


def test_of_a_linear_network_the_radius_is_exact() -> None:
    """There the worst change is known: half the lead over the L1 norm of the difference."""
    import tensorflow as tf

    layers = tf.keras.layers
    model = tf.keras.Sequential([layers.Input((6,)), layers.Dense(3)])
    x = np.random.default_rng(4).uniform(0.4, 0.6, (5, 6)).astype(np.float32)
    logits, kernel = model(x).numpy(), model.get_weights()[0]
    y = np.argmax(logits, axis=1)
    exact = [
        min(
            (logits[i, y[i]] - logits[i, k]) / np.abs(kernel[:, y[i]] - kernel[:, k]).sum()
            for k in range(3)
            if k != y[i]
        )
        for i in range(5)
    ]
    found = intervals.certified_linf_radii(model, x, y, most=0.4)
    small = np.array(exact) < 0.39
    assert small.any()
    np.testing.assert_allclose(found[small], np.array(exact)[small], atol=1e-5)


def test_a_layer_without_bounds_is_refused(network: tf.keras.Model, examples: Examples) -> None:
    with pytest.raises(RobustnessError, match="softmax"):
        intervals.certified_linf_radii(network, examples[0], examples[1])


def test_a_layer_that_only_derives_from_a_known_one_is_refused() -> None:
    """A transposed convolution is a Conv2D to Python, and computes something else."""
    import tensorflow as tf

    layers = tf.keras.layers
    model = tf.keras.Sequential(
        [layers.Input((4, 4, 1)), layers.Conv2DTranspose(2, 3), layers.Flatten(), layers.Dense(2)]
    )
    with pytest.raises(RobustnessError, match="Conv2DTranspose"):
        intervals.certified_linf_radii(model, np.zeros((1, 4, 4, 1)), np.array([0]))


def test_trained_bounds_certify_what_pgd_cannot_take(
    bounded: tf.keras.Model, examples: Examples
) -> None:
    x, y = examples
    radii = intervals.certified_linf_radii(bounded, x, y)
    assert (radii >= 0.05).mean() > 0.5
    adversarial = Pgd(bounded)(x, y, 0.05, steps=20, restarts=2)
    answers = np.argmax(bounded(adversarial), axis=1)
    assert (answers == y)[radii >= 0.05].all()


def test_training_for_bounds_is_what_makes_them_useful(
    network: tf.keras.Model, bounded: tf.keras.Model, examples: Examples
) -> None:
    from helpers.robustness.losses import logits_of

    before = intervals.certified_linf_radii(logits_of(network), *examples)
    after = intervals.certified_linf_radii(bounded, *examples)
    assert np.median(after) > 3 * np.median(before)


def test_the_radius_grows_and_the_clean_loss_fades() -> None:
    how = interval_training.IntervalTraining(clean_share=0.2, growth_share=0.4)
    assert how.schedule(0.1) == (0.0, 1.0)
    assert how.schedule(0.4) == pytest.approx((0.5, 0.75))
    assert how.schedule(0.9) == pytest.approx((1.0, 0.5))
    with pytest.raises(RobustnessError, match="room"):
        interval_training.IntervalTraining(clean_share=0.8, growth_share=0.4)


@pytest.fixture(scope="module")
def slow(digits: data.Dataset) -> tf.keras.Model:
    return lipschitz.fit_lipschitz(digits.x_train, digits.y_train, hidden=(64, 32), epochs=12)


def test_a_lipschitz_network_keeps_its_constant_and_its_certificates(
    slow: tf.keras.Model, examples: Examples
) -> None:
    x, y = examples
    constant = lipschitz.dense_constant(slow)
    assert constant == pytest.approx(1, abs=0.01)
    scores = slow(x).numpy()
    radii = lipschitz.margin_radii(scores, constant)
    right = np.argmax(scores, axis=1) == y
    assert (right & (radii > 0.1)).mean() > 0.5
    adversarial = Pgd(slow, "l2", "margin")(x, y, 0.1, steps=20)
    answers = np.argmax(slow(adversarial), axis=1)
    assert (answers == y)[right & (radii > 0.1)].all()


@pytest.mark.filterwarnings("error:The initializer:UserWarning")
def test_the_seed_of_a_lipschitz_network_decides_its_weights() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.random((32, 6), np.float32), rng.integers(0, 2, 32)
    first, again, other = (
        lipschitz.fit_lipschitz(x, y, hidden=(8, 8), epochs=1, seed=seed).get_weights()
        for seed in (3, 3, 4)
    )
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.allclose(first[0], other[0], atol=0.1)


def test_int8_leaves_the_network_and_what_was_measured_is_no_bound(
    slow: tf.keras.Model, digits: data.Dataset, examples: Examples
) -> None:
    file = convert.to_tflite(slow, "int8", digits.x_train[:100])
    runner = open_model(file, isolated=False)
    network = lambda rows: slow(rows).numpy()  # noqa: E731
    measured = lipschitz.largest_deviation(network, runner.predict, examples[0][:30])
    assert measured > 0.005
    searched = lipschitz.search_deviation(
        network, runner.predict, examples[0][:30], radius=0.1, rounds=30
    )
    assert searched > 1.1 * measured


def test_margins_lose_the_deviation_twice() -> None:
    scores = np.array([[1.0, 0.2, 0.0]])
    assert lipschitz.margin_radii(scores)[0] == pytest.approx(0.8 / np.sqrt(2))
    assert lipschitz.margin_radii(scores, 2.0, 0.1)[0] == pytest.approx(0.6 / np.sqrt(2) / 2)
    assert lipschitz.margin_radii(scores, 1.0, 0.5)[0] == 0


@pytest.mark.parametrize(
    ("over", "sigma", "radii"),
    [("pixels", 0.4, [0.15, 0.3, 0.45]), ("brightness", 0.3, [0.3, 0.5])],
)
def test_training_on_noise_makes_certificates_larger(
    plain: tf.keras.Model,
    digits: data.Dataset,
    examples: Examples,
    over: Any,
    sigma: float,
    radii: list[float],
) -> None:
    x, y = examples[0][:80], examples[1][:80]
    how = training.NoiseTraining(epochs=10, learning_rate=0.004, over=over)
    accuracy = []
    for noise in (1e-6, sigma):
        model = training.fit_smoothed(plain, digits.x_train, digits.y_train, noise, how)
        found = certify(Classifier.of_model(model), x, Smoothing(sigma, 300, 50, over=over))
        accuracy.append(certified_accuracy_curve(found, y, radii).y.mean())
    assert accuracy[1] > accuracy[0]


def test_consistency_training_makes_copies_agree(
    plain: tf.keras.Model, digits: data.Dataset, examples: Examples
) -> None:
    shares = []
    for method in ("noise", "consistency"):
        how = training.NoiseTraining(method, epochs=5, learning_rate=0.004)
        model = training.fit_smoothed(plain, digits.x_train, digits.y_train, 0.25, how)
        found = certify(Classifier.of_model(model), examples[0][:60], Smoothing(0.25, 300, 50))
        shares.append(found.counts.max(axis=1).mean() / 300)
    assert shares[1] > shares[0]
