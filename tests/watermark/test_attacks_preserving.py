"""Attacks that change every weight and no answer."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.errors import WatermarkError
from helpers.watermark.chain import channel_groups
from helpers.watermark.folding import suspect_of
from helpers.watermark.preserving import permute_neurons, rescale_channels

if TYPE_CHECKING:
    import tensorflow as tf

SEEDS = st.integers(0, 2**31)
INPUTS = np.random.default_rng(0).standard_normal((6, 8, 8, 1)).astype(np.float32)


def _settled(model: "tf.keras.Model") -> "tf.keras.Model":
    """Give every normalisation and bias numbers of its own, as training would."""
    rng = np.random.default_rng(7)
    for layer in model.layers:
        for name in ("bias", "gamma", "beta", "moving_mean", "moving_variance"):
            values = getattr(layer, name, None)
            if values is not None:
                values.assign(rng.uniform(0.2, 1.5, values.shape).astype(np.float32))
    return model


@pytest.fixture(scope="module")
def separable() -> "tf.keras.Model":
    """Depthwise-separable with batch normalisation, as a keyword spotter is."""
    import tensorflow as tf

    layers = tf.keras.layers
    tf.keras.utils.set_random_seed(1)
    stack: list[Any] = [
        layers.Input((8, 8, 1)),
        *(layers.Conv2D(6, 3), layers.BatchNormalization(), layers.ReLU(), layers.Dropout(0.1)),
        *(layers.DepthwiseConv2D(3), layers.BatchNormalization(), layers.ReLU()),
        *(layers.Conv2D(5, 1), layers.BatchNormalization(), layers.ReLU()),
        *(layers.GlobalAveragePooling2D(), layers.Dense(4)),
    ]
    return _settled(tf.keras.Sequential(stack))


@pytest.fixture(scope="module")
def flattened() -> "tf.keras.Model":
    """Activations inside the layers, a flattening, two dense layers, no normalisation."""
    import tensorflow as tf

    layers = tf.keras.layers
    inputs = tf.keras.Input((8, 8, 1))
    x = layers.Conv2D(6, 3, activation="relu")(inputs)
    x = layers.MaxPooling2D(2)(layers.ZeroPadding2D(1)(x))
    x = layers.Dense(7, activation="relu")(layers.Flatten()(x))
    return _settled(tf.keras.Model(inputs, layers.Dense(4)(x)))


def _answers(model: "tf.keras.Model") -> np.ndarray:
    return model(INPUTS, training=False).numpy()


@pytest.mark.parametrize("network", ["separable", "flattened"])
@pytest.mark.parametrize("attack", [permute_neurons, rescale_channels])
@settings(max_examples=8, deadline=None)
@given(seed=SEEDS)
def test_no_answer_changes_and_every_kernel_does(
    network: str, attack: Any, seed: int, request: pytest.FixtureRequest
) -> None:
    model = request.getfixturevalue(network)
    before = [kernel.copy() for kernel in suspect_of(model).kernels]
    attacked = attack(model, seed)
    np.testing.assert_allclose(_answers(attacked), _answers(model), rtol=1e-4, atol=1e-4)
    after = suspect_of(attacked).kernels
    assert all(np.abs(a - b).max() > 1e-3 for a, b in zip(after, before, strict=True))
    assert all(np.array_equal(a, b) for a, b in zip(suspect_of(model).kernels, before, strict=True))


def test_attacks_compose(separable: "tf.keras.Model") -> None:
    attacked = permute_neurons(rescale_channels(permute_neurons(separable, 1), 2, largest=10), 3)
    np.testing.assert_allclose(_answers(attacked), _answers(separable), rtol=1e-4, atol=1e-4)


def test_a_permutation_moves_weights_and_makes_none(separable: "tf.keras.Model") -> None:
    before, after = suspect_of(separable), suspect_of(permute_neurons(separable, 5))
    for a, b in zip(before.kernels, after.kernels, strict=True):
        np.testing.assert_array_equal(np.sort(a, axis=None), np.sort(b, axis=None))


def test_factors_stay_in_their_range(separable: "tf.keras.Model") -> None:
    before, after = suspect_of(separable), suspect_of(rescale_channels(separable, 5, largest=3))
    factors = after.biases[0] / before.biases[0]
    assert np.ptp(factors) > 0.5
    assert 1 / 3.01 < factors.min() < factors.max() < 3.01


def test_the_groups_are_the_channels_between_kernels(separable: "tf.keras.Model") -> None:
    assert [group.channels for group in channel_groups(separable)] == [6, 5]
    assert [len(list(group.links)) for group in channel_groups(separable)] == [2, 1]


def test_a_relu6_passes_no_factor() -> None:
    import tensorflow as tf

    layers = tf.keras.layers
    bounded = tf.keras.Sequential(
        [layers.Input((8, 8, 1)), layers.Conv2D(6, 3), layers.ReLU(6.0), layers.Conv2D(5, 1)]
    )
    permute_neurons(bounded)
    with pytest.raises(WatermarkError, match="cannot be rescaled"):
        rescale_channels(bounded)


def test_what_is_no_chain_is_refused_by_name() -> None:
    import tensorflow as tf

    layers = tf.keras.layers
    inputs = tf.keras.Input((8, 8, 4))
    branch = layers.Conv2D(4, 3, padding="same")(inputs)
    joined = layers.Conv2D(3, 1)(layers.Add(name="sum")([branch, inputs]))
    with pytest.raises(WatermarkError, match="'sum'"):
        permute_neurons(tf.keras.Model(inputs, joined))
    unknown = tf.keras.Sequential(
        [layers.Input((8, 8, 1)), layers.Conv2D(4, 3), layers.Conv2DTranspose(3, 3, name="up")]
    )
    with pytest.raises(WatermarkError, match="'up' is a Conv2DTranspose"):
        permute_neurons(unknown)
    with pytest.raises(WatermarkError, match="no two"):
        permute_neurons(tf.keras.Sequential([layers.Input((4,)), layers.Dense(3)]))
    with pytest.raises(WatermarkError, match="largest=1"):
        rescale_channels(tf.keras.Sequential([layers.Input((4,)), layers.Dense(3)]), largest=1)
