"""The message in the weights, from the projection to the file on the device."""

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from helpers import data
from helpers.errors import WatermarkError
from helpers.watermark.folding import suspect_of
from helpers.watermark.suspect import Suspect
from helpers.watermark.uchida import WeightMessage, balance
from tests.watermark.conftest import OTHER, OWNER, accuracy, deployed, int8, key

if TYPE_CHECKING:
    import tensorflow as tf

SCHEME = WeightMessage(2, bits=128, epochs=2, learning_rate=5e-3)
SHAPES = st.sampled_from([(12, 9), (1, 1, 8, 16), (3, 3, 6, 5)])


@pytest.fixture(scope="module")
def marked(owner: "tf.keras.Model", digits: data.Dataset) -> "tf.keras.Model":
    return SCHEME.embed(owner, digits.x_train, digits.y_train, OWNER)


@given(SHAPES, st.integers(0, 2**31))
@settings(max_examples=25)
def test_no_scale_of_a_channel_changes_a_balanced_kernel(shape: tuple[int, ...], seed: int) -> None:
    rng = np.random.default_rng(seed)
    kernel = rng.normal(size=shape).astype(np.float32)
    into, out = np.exp(rng.normal(size=shape[-2])), np.exp(rng.normal(size=shape[-1]))
    scaled = (into[:, None] * kernel * out).astype(np.float32)
    np.testing.assert_allclose(balance(scaled), balance(kernel), rtol=2e-3, atol=2e-4)


@given(SHAPES, st.integers(0, 2**31))
@settings(max_examples=25)
def test_every_channel_of_a_balanced_kernel_has_the_same_energy(
    shape: tuple[int, ...], seed: int
) -> None:
    kernel = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    energy = balance(kernel) ** 2
    for axis in (-1, -2):
        others = tuple(a for a in range(kernel.ndim) if a != kernel.ndim + axis)
        np.testing.assert_allclose(energy.mean(axis=others), 1, rtol=5e-3)


@pytest.mark.parametrize("exponent", [-18, 18])
def test_a_scale_at_the_edge_of_float32_hides_no_mark(exponent: int) -> None:
    kernel = np.random.default_rng(1).normal(size=(16, 16)).astype(np.float32)
    factors = np.float32(10.0) ** np.linspace(0, exponent, 16, dtype=np.float32)
    scaled = factors[:, None] * kernel * factors[::-1]
    one_column = kernel * np.where(np.arange(16) == 3, np.float32(10.0**exponent), np.float32(1))
    for hidden in (scaled, one_column):
        np.testing.assert_allclose(balance(hidden), balance(kernel), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    "kernel",
    [
        np.full((24, 24), np.nan, np.float32),
        np.full((24, 24), np.inf, np.float32),
        np.ones(576, np.float32),
        np.ones((4, 4), np.float32),
        np.broadcast_to(np.float32(1), (100_000, 1_000)),
    ],
)
def test_a_kernel_that_cannot_hold_the_message_is_refused(kernel: np.ndarray) -> None:
    bias = np.zeros(kernel.shape[-1], np.float32)
    suspect = Suspect(lambda x: x, [kernel] * 3, [bias] * 3)
    with pytest.raises(WatermarkError, match="Kernel 2"):
        SCHEME.read(suspect, OWNER)


def test_a_channel_that_is_pruned_away_stays_away_and_the_rest_stays_finite() -> None:
    kernel = np.random.default_rng(0).normal(size=(1, 1, 6, 8)).astype(np.float32)
    kernel[..., 3] = kernel[..., 2, :] = 0
    left = balance(kernel)
    assert np.isfinite(left).all()
    assert not left[..., 3].any()
    assert not left[..., 2, :].any()


def test_the_same_balance_comes_from_an_array_and_from_a_tensor() -> None:
    import tensorflow as tf

    kernel = np.random.default_rng(0).normal(size=(3, 3, 6, 5)).astype(np.float32)
    np.testing.assert_allclose(balance(tf.constant(kernel)), balance(kernel), rtol=1e-5)


def test_the_whole_message_is_in_the_model_and_in_its_int8_file(
    marked: "tf.keras.Model", digits: data.Dataset
) -> None:
    file = deployed(int8(marked, digits.x_train))
    assert SCHEME.evidence(suspect_of(marked), OWNER) == 1
    assert SCHEME.evidence(file, OWNER) == 1
    for other, shown in zip(suspect_of(marked).kernels, file.kernels, strict=True):
        assert other.shape == shown.shape


def test_a_suspect_answers_as_its_model_does_however_many_it_is_asked(
    owner: "tf.keras.Model", digits: data.Dataset
) -> None:
    suspect, x = suspect_of(owner), np.resize(digits.x_test, (300, *digits.x_test.shape[1:]))
    expected = owner.predict(x, verbose=0)
    np.testing.assert_allclose(suspect.scores(x), expected, rtol=1e-5, atol=1e-5)
    assert suspect.scores(x[:0]).shape == expected[:0].shape


def test_the_model_knows_as_much_as_before_and_the_original_is_untouched(
    owner: "tf.keras.Model", marked: "tf.keras.Model", digits: data.Dataset
) -> None:
    before, after = (
        accuracy(suspect_of(model), digits.x_test, digits.y_test) for model in (owner, marked)
    )
    assert after > before - 0.03
    assert SCHEME.evidence(suspect_of(owner), OWNER) < 0.7
    assert not marked.losses


def test_another_key_reads_coin_flips(marked: "tf.keras.Model") -> None:
    found = [SCHEME.read(suspect_of(marked), key(n)).found for n in range(40)]
    assert stats.binomtest(sum(found), 40 * SCHEME.bits).pvalue > 1e-3
    assert SCHEME.read(suspect_of(marked), OTHER).found < 90


@given(st.integers(0, 10_000))
@settings(max_examples=3)
def test_a_fresh_key_agrees_with_any_kernel_in_half_of_the_bits_even_a_constant_one(
    start: int,
) -> None:
    flat = Suspect(lambda x: x, [np.ones((1, 1, 16, 16), np.float32)], [np.zeros(16, np.float32)])
    scheme = WeightMessage(0, bits=64)
    found = sum(scheme.read(flat, key(start + n)).found for n in range(60))
    assert stats.binomtest(found, 60 * 64).pvalue > 1e-5


def test_what_cannot_hold_or_show_a_message_is_refused(
    owner: "tf.keras.Model", digits: data.Dataset
) -> None:
    x, y = digits.x_train, digits.y_train
    with pytest.raises(WatermarkError, match="bits=0"):
        WeightMessage(2, bits=0)
    with pytest.raises(WatermarkError, match="kernels 0 to 3"):
        WeightMessage(4).embed(owner, x, y, OWNER)
    with pytest.raises(WatermarkError, match="at most a quarter"):
        WeightMessage(2, bits=300).embed(owner, x, y, OWNER)
    with pytest.raises(WatermarkError, match="shows no weights"):
        SCHEME.read(Suspect(lambda x: x), OWNER)
    nan = Suspect(lambda x: x, [np.full((20, 20), np.nan, np.float32)], [np.zeros(20, np.float32)])
    with pytest.raises(WatermarkError, match="not a finite"):
        WeightMessage(0).read(nan, OWNER)
    with pytest.raises(WatermarkError, match="another architecture"):
        SCHEME.read(nan, OWNER)
