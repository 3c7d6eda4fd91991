from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.errors import PrivacyError
from helpers.privacy.dp_sgd import clipped_gradient_sum
from helpers.privacy.dp_sgd.clipping import plan

K = tf.keras.layers
CLASSES = 3
few = settings(deadline=None, max_examples=6)


def brute_force(model: tf.keras.Model, x: np.ndarray, y: np.ndarray, clip: float) -> list:
    """One tape an example, one clipped gradient after another: the definition."""
    total = [np.zeros(v.shape) for v in model.trainable_variables]
    for one_x, one_y in zip(x, y, strict=True):
        with tf.GradientTape() as tape:
            logits = model(one_x[None], training=True)
            loss = tf.nn.sparse_softmax_cross_entropy_with_logits([one_y], logits)
        found = tape.gradient(loss, model.trainable_variables)
        gradient = [
            np.zeros(v.shape) if g is None else tf.convert_to_tensor(g).numpy().astype(np.float64)
            for g, v in zip(found, model.trainable_variables, strict=True)
        ]
        norm = np.sqrt(sum((g**2).sum() for g in gradient))
        factor = clip / max(norm, clip)
        total = [t + factor * g for t, g in zip(total, gradient, strict=True)]
    return total


def assert_equal_to_brute_force(
    model: tf.keras.Model, x: np.ndarray, ruled: int, seed: int = 0
) -> None:
    """Compare at random weights and at a clip norm that clips some of the examples."""
    rng = np.random.default_rng(seed)
    for variable in model.trainable_variables:
        variable.assign_add(rng.normal(scale=0.2, size=variable.shape))
    y = rng.integers(0, CLASSES, len(x)).astype(np.int32)
    for clip in (0.5, 3.0):
        expected = brute_force(model, x, y, clip)
        for method in ("ghost", "per_example"):
            actual = clipped_gradient_sum(model, x, y, clip, method=method)
            for ours, theirs in zip(actual, expected, strict=True):
                np.testing.assert_allclose(ours, theirs, atol=1e-5, rtol=1e-4)
    assert len(plan(model).ruled) == ruled


def head(
    *layers: tf.keras.layers.Layer, shape: tuple[int, ...], dtype: str = "float32"
) -> tf.keras.Model:
    return tf.keras.Sequential(
        [K.Input(shape, dtype=dtype), *layers, K.Flatten(), K.Dense(CLASSES, use_bias=False)]
    )


def images(height: int = 7, width: int = 6, channels: int = 2, count: int = 4) -> np.ndarray:
    rng = np.random.default_rng(height + 10 * width)
    return rng.normal(size=(count, height, width, channels)).astype(np.float32)


convolutions = st.fixed_dictionaries(
    {
        "kernel_size": st.tuples(st.integers(1, 3), st.integers(1, 3)),
        "padding": st.sampled_from(["same", "valid"]),
        "use_bias": st.booleans(),
        "activation": st.sampled_from(["relu", "tanh", None]),
    }
).flatmap(
    lambda chosen: st.one_of(
        st.integers(1, 3).map(lambda stride: {**chosen, "strides": stride}),
        st.integers(1, 2).map(lambda rate: {**chosen, "dilation_rate": rate}),
    )
)


@few
@given(convolutions, st.integers(1, 20), st.integers(5, 8))
def test_conv2d_equals_brute_force(arguments: dict, filters: int, height: int) -> None:
    model = head(K.Conv2D(filters, **arguments), shape=(height, 6, 2))
    assert_equal_to_brute_force(model, images(height), ruled=2)


@few
@given(convolutions, st.integers(1, 3), st.integers(5, 8))
def test_depthwise_conv2d_equals_brute_force(arguments: dict, multiplier: int, height: int) -> None:
    layer = K.DepthwiseConv2D(depth_multiplier=multiplier, **arguments)
    assert_equal_to_brute_force(head(layer, shape=(height, 6, 2)), images(height), ruled=2)


@few
@given(
    st.lists(st.integers(1, 6), min_size=1, max_size=3),
    st.integers(1, 40),
    st.booleans(),
    st.sampled_from(["relu", "sigmoid", None]),
)
def test_dense_equals_brute_force_on_vectors_sequences_and_images(
    shape: list[int], units: int, use_bias: bool, activation: str | None
) -> None:
    layer = K.Dense(units, activation=activation, use_bias=use_bias)
    x = np.random.default_rng(units).normal(size=(4, *shape)).astype(np.float32)
    assert_equal_to_brute_force(head(layer, shape=tuple(shape)), x, ruled=2)


@few
@given(st.integers(1, 8), st.integers(1, 5), st.integers(1, 12))
def test_embedding_equals_brute_force_also_where_a_row_is_read_twice(
    rows: int, size: int, length: int
) -> None:
    ids = np.random.default_rng(rows).integers(0, rows, (4, length)).astype(np.int32)
    model = head(K.Embedding(rows, size), shape=(length,), dtype="int32")
    assert_equal_to_brute_force(model, ids, ruled=2)


@pytest.mark.parametrize(
    ("layer", "ruled"),
    [
        (lambda: K.LayerNormalization(), 2),
        (lambda: K.LayerNormalization(axis=[1, 2, 3], epsilon=0.1), 2),
        (lambda: K.LayerNormalization(axis=2, scale=False), 2),
        (lambda: K.LayerNormalization(axis=[3, 1]), 1),
        (lambda: K.GroupNormalization(2), 2),
        (lambda: K.GroupNormalization(-1, center=False, epsilon=0.1), 2),
        (lambda: K.GroupNormalization(1, axis=1), 1),
    ],
)
def test_normalisation_equals_brute_force(layer: Callable, ruled: int) -> None:
    assert_equal_to_brute_force(head(layer(), shape=(7, 6, 4)), images(channels=4), ruled)


def tokens(length: int = 6) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 9, (3, length)).astype(np.int32)


@pytest.mark.parametrize(
    ("layer", "ruled"),
    [
        (lambda: K.LSTM(4), 2),
        (lambda: K.Conv1D(3, 2), 2),
        (lambda: K.TimeDistributed(K.Dense(3)), 2),
    ],
)
def test_layers_without_a_rule_fall_back_to_one_example_at_a_time(
    layer: Callable, ruled: int
) -> None:
    model = head(K.Embedding(9, 4), layer(), shape=(6,), dtype="int32")
    assert_equal_to_brute_force(model, tokens(), ruled)


def test_a_grouped_convolution_falls_back() -> None:
    model = head(K.Conv2D(4, 2, groups=2), shape=(7, 6, 2))
    assert_equal_to_brute_force(model, images(), ruled=1)


def test_a_subclass_of_a_known_layer_is_not_taken_for_it() -> None:
    class Doubled(tf.keras.layers.Dense):
        def call(self, inputs: tf.Tensor) -> tf.Tensor:
            return super().call(inputs) + super().call(inputs**2)

    assert_equal_to_brute_force(head(Doubled(3), shape=(5,)), images().reshape(4, -1)[:, :5], 1)


def test_a_layer_called_twice_adds_up_its_gradients_before_the_norm() -> None:
    inputs = K.Input((5,))
    twice, emb = K.Dense(5, "tanh"), K.LayerNormalization()
    hidden = emb(twice(emb(twice(inputs))))
    model = tf.keras.Model(inputs, K.Dense(CLASSES)(hidden))
    assert_equal_to_brute_force(model, images().reshape(4, -1)[:, :5], ruled=3)


def test_models_in_models_and_subclassed_models_use_the_rules() -> None:
    class Own(tf.keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = K.Dense(4), K.Dense(CLASSES)
            self.unused = K.Dense(2)
            self.unused.build((None, 3))

        def call(self, inputs: tf.Tensor) -> tf.Tensor:
            return self.last(tf.nn.relu(self.first(inputs)))

    x = images().reshape(4, -1)[:, :5]
    own = Own()
    own(x)
    assert_equal_to_brute_force(own, x, ruled=3)
    inner = tf.keras.Sequential([K.Input((5,)), K.Dense(4, "relu"), K.Dense(5)])
    assert_equal_to_brute_force(head(inner, shape=(5,)), x, ruled=3)


def test_frozen_layers_get_no_gradient_and_take_no_part_in_the_norm() -> None:
    frozen = K.Dense(6, trainable=False)
    model = head(frozen, K.Dense(4), shape=(5,))
    assert_equal_to_brute_force(model, images().reshape(4, -1)[:, :5], ruled=2)
    assert (
        len(clipped_gradient_sum(model, images().reshape(4, -1)[:, :5], np.zeros(4, int), 1)) == 3
    )


def test_the_model_is_as_it_was_afterwards() -> None:
    model = head(K.Dense(4, "relu"), shape=(5,))
    layer = model.layers[0]
    before = layer.activation, layer.call.__func__
    x = images().reshape(4, -1)[:, :5]
    clipped_gradient_sum(model, x, np.zeros(4, np.int32), 1.0)
    assert (layer.activation, layer.call.__func__) == before
    with pytest.raises(PrivacyError):
        clipped_gradient_sum(model, x, np.zeros(4, np.int32), 1.0, loss=lambda y, z: z)
    assert (layer.activation, layer.call.__func__) == before


@few
@given(st.floats(0.01, 5), st.integers(1, 6))
def test_the_sum_is_never_longer_than_the_clip_norm_times_the_batch(
    clip: float, count: int
) -> None:
    model = head(K.Dense(4), shape=(5,))
    x = 50 * np.random.default_rng(count).normal(size=(count, 5)).astype(np.float32)
    total = clipped_gradient_sum(model, x, np.zeros(count, np.int32), clip)
    assert np.sqrt(sum((g**2).sum() for g in total)) <= count * clip * (1 + 1e-5)


def test_tensorflow_privacy_gives_the_same_clipped_mean(
    digits: tuple[np.ndarray, np.ndarray],
) -> None:
    import tensorflow_privacy as tfp

    from helpers import models

    x, y = digits[0][:32], digits[1][:32]
    model = models.small_cnn(filters=(4, 8))
    optimizer = tfp.VectorizedDPKerasSGDOptimizer(0.8, 0.0, num_microbatches=32)
    with tf.GradientTape(persistent=True) as tape:
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(y, model(x))
    theirs = optimizer._compute_gradients(losses, model.trainable_variables, tape=tape)
    ours = clipped_gradient_sum(model, x, y, 0.8)
    for gradient, (reference, _) in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(gradient / 32, reference, atol=1e-6)
