from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from helpers import data
from helpers.edge.artefact import Artefact
from helpers.edge.quantise import cluster, prune, round_model, round_weights
from helpers.edge.reading import read_weights
from helpers.edge.tflite.patch import replace_constants
from helpers.errors import EdgeError

if TYPE_CHECKING:
    import tensorflow as tf


@given(
    arrays.arrays(np.float32, (3, 4), elements=st.floats(-100, 100, width=32)),
    st.integers(2, 8),
)
def test_rounding_leaves_few_levels_and_errs_by_half_a_step(weights: np.ndarray, bits: int) -> None:
    values, scales = round_weights(weights, bits)
    codes = values / scales
    np.testing.assert_allclose(codes, np.rint(codes), atol=1e-4)
    assert np.abs(np.rint(codes)).max() <= 2 ** (bits - 1) - 1
    assert (np.abs(values - weights) <= 0.5 * scales + 1e-5 * np.abs(weights)).all()


@given(arrays.arrays(np.float32, (2, 5), elements=st.floats(-10, 10, width=32)))
def test_rounding_twice_changes_nothing_more(weights: np.ndarray) -> None:
    once, _ = round_weights(weights, 4)
    np.testing.assert_allclose(round_weights(once, 4)[0], once, rtol=1e-5, atol=1e-6)


def test_two_bits_leave_three_values_a_channel() -> None:
    values, scales = round_weights(np.random.default_rng(0).normal(size=(50, 3)), 2)
    assert scales.shape == (3,)
    assert all(len(np.unique(values[:, channel])) == 3 for channel in range(3))


@pytest.mark.parametrize("bits", [1, 9, 2.5, True])
def test_bits_out_of_range_are_named(bits: int) -> None:
    with pytest.raises(EdgeError, match="bits="):
        round_weights([1.0, 2.0], bits)


@pytest.mark.parametrize("axis", [2, -3, 0.5, True])
def test_an_axis_that_is_none_is_refused(axis: Any) -> None:
    with pytest.raises(EdgeError, match=f"axis={axis!r} is none of the 2"):
        round_weights(np.ones((3, 4)), 4, axis)


def test_no_weights_are_nothing_to_round() -> None:
    with pytest.raises(EdgeError, match="nothing to round"):
        round_weights(np.ones((0, 4)), 4)


def test_a_rounded_model_keeps_its_normalisation(network: tf.keras.Model) -> None:
    rounded = round_model(network, 3)
    for before, after in zip(network.layers, rounded.layers, strict=True):
        same = [
            np.array_equal(a, b)
            for a, b in zip(before.get_weights(), after.get_weights(), strict=True)
        ]
        name = type(before).__name__
        assert all(same[1:])
        assert all(same[:1]) == (name not in ("Conv2D", "DepthwiseConv2D", "Dense"))


def test_pruning_leaves_the_share_of_zeros_asked_for(
    network: tf.keras.Model, digits: data.Dataset
) -> None:
    pruned = prune(network, digits.x_train[:128], digits.y_train[:128], 0.75)
    kernels = [layer.kernel.numpy() for layer in pruned.layers if hasattr(layer, "kernel")]
    for kernel in kernels:
        assert np.mean(kernel == 0) == pytest.approx(0.75, abs=0.5 / kernel.size + 1e-9)


def test_clustering_leaves_as_many_values_as_asked_for(
    network: tf.keras.Model, digits: data.Dataset
) -> None:
    clustered = cluster(network, digits.x_train[:128], digits.y_train[:128], 6)
    kernels = [layer.kernel.numpy() for layer in clustered.layers if hasattr(layer, "kernel")]
    assert all(len(np.unique(kernel)) <= 6 for kernel in kernels)


def test_settings_out_of_range_are_named(network: tf.keras.Model) -> None:
    with pytest.raises(EdgeError, match=r"sparsity=1.5"):
        prune(network, [], [], 1.5)
    with pytest.raises(EdgeError, match="clusters=1"):
        cluster(network, [], [], 1)


def test_a_constant_is_replaced_and_every_other_byte_stays(artefacts: dict[str, Artefact]) -> None:
    original = artefacts["float32"]
    layer = read_weights(original.data)[0]
    stored = original.graph().tensors[layer.tensor].data
    assert stored is not None
    patched = replace_constants(original.data, {layer.tensor: stored * 2})
    np.testing.assert_array_equal(read_weights(patched)[0].kernel, layer.kernel * 2)
    changed = np.frombuffer(patched, np.uint8) != np.frombuffer(original.data, np.uint8)
    assert 0 < changed.sum() <= stored.nbytes
    with pytest.raises(EdgeError, match="no constant of shape"):
        replace_constants(original.data, {layer.tensor: stored[:1]})
